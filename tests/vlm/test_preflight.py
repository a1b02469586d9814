"""Before anything is fetched or loaded: what stops, with which figures, and that a small model costs nothing."""

import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.llava_shape import llava_1_5_7b_config
from signbridge.core.errors import SignBridgeError
from signbridge.vlm import hub as hub_client
from signbridge.vlm import preflight as module
from signbridge.vlm.catalog import FolderModel, HubModel
from signbridge.vlm.model_run import model_run
from signbridge.vlm.needs import needs_of
from signbridge.vlm.preflight import check, check_device, named_or_chosen, preflight
from tests.conftest import ROOT
from tests.vlm import hub_server
from tests.vlm.conftest import CPU, PROMPT, tiny_random

GPU = torch.device("cuda")
GIB = 2**30
WEIGHTS = 14_126_000_000  # bytes to fetch of LLaVA-1.5-7B


def llava(**changes: object) -> HubModel:
    entry = {
        "source": "hub", "hub_id": hub_server.HUB_ID, "revision": hub_server.REVISION, "quantization": "nf4",
        "dequantize": "auto", "dtype": "float16", "prompt": PROMPT, "max_new_tokens": 20,
    }  # fmt: skip
    return HubModel.model_validate(entry | changes)


@pytest.fixture
def hub(workspace, tmp_path, monkeypatch) -> Iterator[hub_server.Hub]:
    """The hub with LLaVA-1.5-7B: its configuration, and weights of which only the size is told."""
    source = tmp_path / "source"
    source.mkdir()
    llava_1_5_7b_config().save_pretrained(source)
    with hub_server.serving(monkeypatch, source, tmp_path / "cache") as hub:
        hub.sizes["model.safetensors"] = WEIGHTS
        yield hub


@pytest.fixture
def machine(monkeypatch):
    """Set what the machine has: GPU memory free and in all, main memory, disk; in bytes."""

    def has(gpu: int = 80 * GIB, free: int | None = None, ram: int = 64 * GIB, disk: int = 10**12) -> None:
        monkeypatch.setattr(module, "free_bytes", lambda device: gpu if free is None else free)
        monkeypatch.setattr(module, "all_bytes", lambda device: gpu)
        monkeypatch.setattr(module, "free_memory", lambda: ram)
        monkeypatch.setattr(module, "free_disk", lambda folder: disk)
        monkeypatch.setattr(module, "driver_version", lambda: "580.65.06")
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")

    has()
    return has


def problems(model: HubModel, device: torch.device = GPU) -> str:
    said = "; ".join(str(problem) for problem in preflight("llava", model, device).problems)
    assert all(len(line) < 400 for line in said.splitlines())
    return said


def test_a_model_that_fits_goes_and_only_its_configuration_was_fetched(hub, machine):
    found = preflight("llava", llava(), GPU)
    assert found.problems == []
    assert hub.fetched == ["config.json"]
    rows = {row.what: (row.needed, row.there) for row in found.rows}
    assert rows["device"][1].startswith("cuda: Some GPU, driver 580.65.06, torch")
    assert rows["model"] == ("14.1 GB more", "to be fetched from the hub: some/model, 14.1 GB")
    assert rows["GPU memory"][0] == "13.5 GiB"  # NF4 weights are expanded where there is so much memory
    assert rows["GPU memory"][1].endswith("80.0 GiB free of 80.0 GiB, for batches of 64")
    assert rows["disk, extract"][0] == "0.5 GB"  # 300 images, in .scratch/ and in data/, then in DVC's cache
    assert rows["disk, extract_controls"][0] == "1.5 GB"
    assert rows["disk, packed weights"][0] == "4.4 GB"
    assert rows["hub token"][0] == "no"


def test_a_gpu_too_small_even_for_one_image_stops_with_figures(hub, machine):
    machine(gpu=4 * GIB, free=3 * GIB)
    said = problems(llava())
    assert (
        "cuda: llava needs 4.1 GiB with one image at a time (3.8 GiB of weights), 3.0 GiB of 4.0 GiB are free" in said
    )
    assert "models.yaml" not in said
    assert "or set quantization: nf4 for it in models.yaml" in problems(llava(quantization="none"))
    machine(gpu=16 * GIB)
    assert problems(llava()) == ""


def test_weights_that_the_memory_of_the_card_has_expanded_must_be_free_for_that(hub, machine):
    machine(gpu=16 * GIB, free=8 * GIB)
    assert problems(llava()) == ""
    machine(gpu=80 * GIB, free=8 * GIB)
    said = problems(llava())
    assert "needs 13.5 GiB with one image at a time (13.2 GiB of weights), 8.0 GiB of 80.0 GiB are free" in said
    assert "or set dequantize: never for it in models.yaml" in said
    assert problems(llava(dequantize="never")) == ""
    adapted = problems(llava(dequantize="never", adapter="adapter"))  # whose weights are expanded for it all the same
    assert "(13.2 GiB of weights)" in adapted
    assert "models.yaml" not in adapted


def test_too_little_main_memory_stops_with_figures(hub, machine):
    machine(ram=2 * GIB)
    assert "main memory: llava needs 3.0 GiB on cuda, 2.0 GiB are free" in problems(llava())
    machine(ram=6 * GIB)
    assert problems(llava()) == ""
    machine(gpu=16 * GIB, ram=6 * GIB)  # `gpu`: memory of the device, here the main memory in all
    assert "main memory: llava needs 7.1 GiB on cpu, 6.0 GiB are free" in problems(llava(), CPU)


def test_a_disk_too_small_stops_before_the_download_with_figures(hub, machine):
    machine(disk=20 * 10**9)
    said = problems(llava())
    assert (
        "llava needs 20.5 GB on this disk (14.1 GB to fetch, 4.4 GB for its packed weights), 20.0 GB are free" in said
    )
    assert "HF_HOME" in said
    assert hub.fetched == ["config.json"]
    machine(disk=21 * 10**9)
    assert problems(llava()) == ""
    machine(disk=17 * 10**9)
    assert problems(llava(quantization="none")) == "", "nothing is packed"


def test_packed_weights_that_are_kept_already_take_no_more_disk(machine, tmp_path, monkeypatch):
    needs = needs_of(llava_1_5_7b_config(), llava())
    monkeypatch.setattr(module, "packed_folder", lambda *_: tmp_path / "kept")
    assert module._packed_copy(llava(), tmp_path, GPU, needs) == int(1.1 * needs.weights)
    (tmp_path / "kept").mkdir()
    assert module._packed_copy(llava(), tmp_path, GPU, needs) == 0
    assert module._packed_copy(llava(), None, GPU, needs) > 0, (
        "the model is not at hand, so nor is what is packed of it"
    )


def test_a_gated_repository_without_a_token_stops_in_one_sentence(hub, machine, monkeypatch):
    hub.gated = True
    monkeypatch.setattr("signbridge.vlm.hub.get_token", lambda: None)
    said = problems(llava())
    assert said.startswith("some/model is gated, and there is no token here: accept its licence")
    assert "HF_TOKEN" in said
    assert hub.fetched == []
    monkeypatch.setattr("signbridge.vlm.hub.get_token", lambda: "of somebody")
    assert "the token that is set has no access" in problems(llava())
    hub.lets_in = True
    rows = {row.what: row for row in preflight("llava", llava(), GPU).rows}
    assert (rows["hub token"].needed, rows["hub token"].there) == ("yes", "lets you in")


def test_without_a_network_the_size_is_said_to_be_unknown_and_what_to_do(workspace, tmp_path, machine, monkeypatch):
    hub_server.unplug(monkeypatch, tmp_path / "cache")
    started = time.perf_counter()
    found = preflight("llava", llava(), GPU)
    assert time.perf_counter() - started < 10
    assert "size not known" in str(found)
    (problem,) = found.problems
    assert "the hub cannot be reached" in str(problem)
    assert "python -m signbridge.fetch_model" in str(problem)
    assert len(str(problem).splitlines()) == 2


def test_a_model_that_is_at_hand_asks_nothing_of_the_hub(hub, machine, tiny):
    for part in (tiny.model, tiny.processor):
        part.save_pretrained(hub.source)
    hub.sizes.clear()
    hub_client.fetch(hub_server.HUB_ID, hub_server.REVISION, ["*"])
    hub.asked.clear()
    found = preflight("llava", llava(quantization="none"), GPU)
    assert found.problems == []
    assert hub.asked == []
    assert f"at hand in {hub.snapshot}" in str(found)
    (hub.snapshot / "model.safetensors").unlink()
    found = preflight("llava", llava(quantization="none"), GPU)
    assert "to be fetched" in str(found)


def test_a_folder_that_holds_no_model_stops(workspace, machine, tmp_path):
    entry = FolderModel(
        source="folder", path=str(tmp_path / "no"), **llava().model_dump(exclude={"source", "hub_id", "revision"})
    )
    assert "no such model folder" in str(preflight("mine", entry, GPU).problems[0])


def test_a_model_for_a_gpu_stops_on_a_cpu_that_nobody_asked_for_and_names_the_driver(monkeypatch):
    monkeypatch.delenv("SIGNBRIDGE_DEVICE", raising=False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr("signbridge.vlm.machine.driver_version", lambda: "535.104.05")
    for model in (llava(), llava(quantization="none"), tiny_random(quantization="nf4")):
        with pytest.raises(SignBridgeError) as stopped:
            check_device("llava", model, CPU)
        said = str(stopped.value)
        assert said.startswith("llava would run on the CPU")
        assert "needs an NVIDIA driver from 580 on, and 535.104.05 is there" in said
        assert "pip install torch==" in said
        assert "SIGNBRIDGE_DEVICE=cpu" in said.splitlines()[1]
        assert len(said.splitlines()) == 2
        assert max(len(line) for line in said.splitlines()) < 400
        check_device("llava", model, GPU)
    check_device("tiny", tiny_random(), CPU)
    monkeypatch.setenv("SIGNBRIDGE_DEVICE", "cpu")
    check_device("llava", llava(), CPU)


def test_a_stage_stops_before_it_asks_the_hub(hub, workspace, monkeypatch):
    monkeypatch.delenv("SIGNBRIDGE_DEVICE", raising=False)
    Path("models.yaml").write_text(
        Path("models.yaml").read_text().replace("llava-hf/llava-1.5-7b-hf", hub_server.HUB_ID)
    )
    params_yaml = Path("params.yaml")
    params_yaml.write_text(params_yaml.read_text().replace("model: miniature", "model: llava-1-5-7b"))
    workspace.describe_model()
    with (
        pytest.raises(SignBridgeError, match="llava-1-5-7b would run on the CPU"),
        model_run(str(ROOT / "stages/extract.py")),
    ):
        pytest.fail("the stage began")
    assert hub.asked == []


def test_the_table_is_shown_once_a_run_and_again_where_something_is_wrong(hub, machine, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)

    def tables_of(stage: str, **changes: str) -> int:
        caplog.clear()
        check("llava", llava(**changes), GPU, f"stages/{stage}.py", tmp_path / ".scratch")
        return caplog.text.count("GPU memory")

    assert [tables_of(stage) for stage in ("extract", "extract", "extract_controls", "score_letters")] == [1, 0, 0, 0]
    assert tables_of("score_letters", dequantize="always") == 0  # as the stage before has decided
    machine(gpu=GIB)
    for _ in range(2):
        caplog.clear()
        with pytest.raises(SignBridgeError, match="with one image at a time"):
            check("llava", llava(), GPU, "stages/extract.py", tmp_path / ".scratch")
        assert caplog.text.count("GPU memory") == 1
    machine()
    monkeypatch.setattr(module.os, "getpgrp", lambda: -1)  # another run
    assert tables_of("extract") == 1
    assert caplog.text.endswith("\ngo\n")


def test_the_model_of_the_project_says_nothing_and_costs_nothing(workspace, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "preflight", lambda *_: pytest.fail("looked further"))
    _, entry = named_or_chosen()
    entry = entry.model_copy(update={"path": str(ROOT / entry.path)})
    took = []
    for _ in range(3):
        started = time.perf_counter()
        check("miniature", entry, CPU, "stages/extract.py", Path(".scratch"))
        took.append(time.perf_counter() - started)
    assert min(took) < 0.05
    assert caplog.text == ""
    assert not Path(".scratch").exists()


def test_no_stage_loads_a_model_but_through_the_run_that_makes_the_preflight():
    for file in sorted((ROOT / "stages").rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"\bload\(|import .*\bload\b", text), file
        if ".reader" in text or "reading.open(" in text:
            assert "model_run(" in text, file
