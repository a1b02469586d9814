"""The driver that PyTorch needs and the one that is there; memory and disk as a container and the system tell them."""

from pathlib import Path

import pytest
import torch

from signbridge.core.errors import SignBridgeError
from signbridge.vlm import machine
from signbridge.vlm.loading import device_from_environment

OPEN_DRIVER = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder)\nGCC 12.2\n"
)
DRIVER = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Sat Aug 12 18:55:14 UTC 2023\nGCC version:  gcc 11.4.0\n"


@pytest.fixture
def built_for(monkeypatch, tmp_path):
    """Set PyTorch's CUDA and the driver that is installed."""

    def build(cuda: str | None, driver: str | None = None) -> None:
        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(machine, "NVIDIA_DRIVER", tmp_path / "version")
        monkeypatch.setattr(machine, "_nvidia_smi", lambda: "")
        if driver:
            (tmp_path / "version").write_text(DRIVER.format(driver))

    return build


@pytest.mark.parametrize(("cuda", "least"), [("12.6", 525), ("13.0", 580), (None, None)])
def test_each_cuda_needs_its_driver(built_for, cuda, least):
    built_for(cuda)
    assert machine.least_driver() == least


def test_an_old_driver_is_named_beside_the_one_that_is_needed(built_for):
    built_for("13.0", "535.104.05")
    said = machine.why_no_gpu()
    assert "for CUDA 13.0 needs an NVIDIA driver from 580 on, and 535.104.05 is there" in said
    assert f"pip install torch=={machine.torch_release()} --index-url https://download.pytorch.org/whl/cu126" in said


def test_a_missing_driver_is_said(built_for):
    built_for("12.6")
    assert "needs an NVIDIA driver from 525 on, and none was found" in machine.why_no_gpu()


def test_a_build_for_cpus_is_said_and_which_drivers_others_need(built_for):
    built_for(None, "580.65.06")
    said = machine.why_no_gpu()
    assert "for CPUs alone" in said
    assert "CUDA 12 from 525 on and CUDA 13 from 580 on" in said
    assert "whl/cu130" in said
    assert "(580.65.06 found)" in said


def test_a_hidden_gpu_is_told_from_an_old_driver(built_for, monkeypatch):
    built_for("12.6", "535.104.05")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    said = machine.why_no_gpu()
    assert "535.104.05 is new enough" in said
    assert "CUDA_VISIBLE_DEVICES ('')" in said
    assert "needs" not in said


def test_the_version_of_the_open_driver_is_found_too(built_for, tmp_path):
    built_for("13.0")
    (tmp_path / "version").write_text(OPEN_DRIVER)
    assert machine.driver_version() == "580.65.06"


def test_a_gpu_that_was_asked_for_and_is_not_there_is_explained(built_for, monkeypatch):
    built_for("13.0", "535.104.05")
    monkeypatch.setenv("SIGNBRIDGE_DEVICE", "cuda")
    with pytest.raises(SignBridgeError, match=r"SIGNBRIDGE_DEVICE=cuda: .* from 580 on, and 535"):
        device_from_environment()


def test_free_memory_is_the_systems_or_the_containers_whichever_is_less(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 32000 kB\nMemFree: 100 kB\nMemAvailable:   20000 kB\n")
    most, taken = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr(machine, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "CONTAINER", ((most, taken), (tmp_path / "no", tmp_path / "none")))
    assert machine.free_memory() == 20000 * 1024  # not MemFree: what is cached of files is given up when it is needed
    most.write_text("max\n")
    taken.write_text("5000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 1000000\n")
    assert machine.free_memory() == 20000 * 1024
    most.write_text("9000000\n")
    assert machine.free_memory() == 9_000_000 - 5_000_000 + 1_000_000
    monkeypatch.setattr(machine, "CONTAINER", ())
    monkeypatch.setattr(machine, "MEMORY", tmp_path / "nowhere")
    assert machine.free_memory() is None


def test_room_on_a_disk_is_that_of_the_nearest_folder_that_is_there(tmp_path):
    assert machine.standing(tmp_path / "not/yet/there") == tmp_path
    assert machine.free_disk(tmp_path / "not/yet/there") > 0
    assert machine.standing(Path("/")) == Path("/")
