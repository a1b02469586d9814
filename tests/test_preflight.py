"""`python -m signbridge.preflight`: the table, the estimate of the study's minutes, and how it ends."""

import os
import sys

import pytest
import torch

from benchmarks.llava_shape import llava_1_5_7b_config
from signbridge import preflight
from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.vlm import machine
from signbridge.vlm.catalog import ModelParams
from signbridge.vlm.needs import needs_of
from tests.conftest import ROOT
from tests.vlm.conftest import tiny_random

CPU = torch.device("cpu")
STUDY_TFLOP = 10_600  # of LLaVA-1.5-7B at the notebook's size, with one grey image and no batch that is filled up


def test_the_study_of_the_notebooks_model_takes_as_much_as_was_counted(workspace):
    needs = needs_of(llava_1_5_7b_config(), tiny_random(quantization="nf4", dtype="float16"))
    costs = preflight.study_costs(needs, images=300, answer_tokens=20)
    assert [cost.stage for cost in costs] == ["extract", "extract_controls", "score_letters"]
    assert [cost.prompts for cost in costs] == [300, 601, 300]
    assert abs(sum(cost.flop for cost in costs) / 1e12 - STUDY_TFLOP) < 0.03 * STUDY_TFLOP
    workspace.set(controls__read=["no_image"])
    assert [cost.prompts for cost in preflight.study_costs(needs, 300, 20)] == [300, 1, 300]


def test_minutes_are_operations_by_the_measured_rate():
    costs = [preflight.Cost("extract", 300, 300, 6e15), preflight.Cost("score_letters", 300, 0, 12e15)]
    lines = preflight.table(costs, rate=1e13, device="cuda", dtype="float16", known=True)
    assert lines[1].split() == ["extract", "300", "300", "6,000", "10"]
    assert lines[3].split() == ["the", "study", "600", "300", "18,000", "30"]
    assert "At 10 TFLOP/s: products of float16 matrices on cuda" in lines[4]
    assert "For 300 images" in " ".join(preflight.table(costs, 1e13, "cuda", "float16", known=False))


def test_the_measured_rate_is_operations_by_the_time_that_they_took(monkeypatch):
    assert 1e9 < machine.matmul_rate(CPU, torch.float32, seconds=0.05) < 1e14
    monkeypatch.setattr(machine, "_seconds", lambda left, right, times, device: times * 2 * len(left) ** 3 / 5e10)
    assert abs(machine.matmul_rate(CPU, torch.float32, seconds=0.01) - 5e10) < 1


def test_the_command_prints_the_table_the_costs_and_go(workspace, monkeypatch, capsys):
    workspace.set(model="tiny-random")
    monkeypatch.setattr(preflight, "SECONDS", 0.1)
    monkeypatch.setattr(sys, "argv", ["preflight"])
    run(preflight.main)
    said = capsys.readouterr().out
    assert said.startswith("tiny-random\n")
    assert "drawn at random here" in said
    assert "main memory" in said
    assert "the study" in said
    assert "Disk of further questions: lenses 0.0 GB, sae 0." in said
    assert "Memory of fine-tuning, preset miniature: tuning takes 0." in said
    assert said.endswith("\ngo\n")


def test_a_folder_that_may_only_be_read_is_one_message(workspace, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["preflight"])
    monkeypatch.setattr(preflight.os, "access", lambda path, how: (path, how) != (workspace.folder, os.W_OK))
    said = workspace.message_of_failure(preflight.main)
    assert said.startswith(f"error: {workspace.folder}: you may not write here")
    assert "go" not in capsys.readouterr().out.split()


def test_the_disk_of_further_questions_is_that_of_checkpoints_autoencoders_and_the_text_index(workspace, monkeypatch):
    (workspace.folder / "corpora").mkdir()
    (workspace.folder / "corpora/miniature.txt").write_text("a" * 4 * 1000)
    written = preflight.written_by_questions(width=4096, blocks=32)
    assert written["lenses"] == 2 * 1000 * 8 * 4096
    weights = 2 * 2 * (4 * 4096) * 4096 * 4  # of two layers, encoder and decoder, 16,384 features, in bytes
    buffer = 2 * 8192 * 4096 * 4
    assert written["sae"] == 2 * (3 * weights + buffer) + 2 * 2 * weights
    model = params.selected("model", params.MODELS, ModelParams)[1]
    monkeypatch.setattr(preflight, "stream_width", lambda _: 4096)
    monkeypatch.setattr(preflight, "decoder_blocks", lambda _: 32)
    monkeypatch.setattr(preflight, "free_disk", lambda _: 10**10)
    assert "sae 11.3 GB; 10.0 GB are free.\nThat is too little" in preflight.disk_of_questions(model)
    guide = (ROOT / "docs/gpu.md").read_text(encoding="utf-8")
    assert "| autoencoders and the checkpoints of their training, two layers | 11 |" in guide
    monkeypatch.setattr(preflight, "decoder_blocks", lambda _: 4)
    assert "not known. " in preflight.disk_of_questions(model)


def test_the_command_shows_the_table_before_it_stops(workspace, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["preflight", "mine"])
    entry = params.section("miniature", dict, params.MODELS) | {"path": "nowhere", "quantization": "nf4"}
    workspace.set(models__mine=entry)
    monkeypatch.delenv("SIGNBRIDGE_DEVICE", raising=False)
    assert "mine would run on the CPU" in workspace.message_of_failure(preflight.main)
    said = capsys.readouterr().out
    assert "main memory" not in said
    assert "disk, extract" in said
    assert "go" not in said.split()
    monkeypatch.setenv("SIGNBRIDGE_DEVICE", "cpu")
    assert "nowhere: no such model folder" in workspace.message_of_failure(preflight.main)


def test_no_go_is_said_for_a_prompt_without_a_place_for_the_image(workspace, monkeypatch, capsys):
    """The stage that reads the model would refuse it, after all that comes before."""
    workspace.set(**{"models__tiny-random__prompt": "What sign is this?"})
    monkeypatch.setattr(preflight, "SECONDS", 0.1)
    monkeypatch.setattr(sys, "argv", ["preflight", "tiny-random"])
    assert "prompt must hold <image> exactly once, not 0 times" in workspace.message_of_failure(preflight.main)
    assert "go" not in capsys.readouterr().out.split()


@pytest.mark.parametrize("classes", [20, list("ABC")])
def test_how_many_images_there_will_be_is_told_by_the_params(workspace, classes):
    from signbridge.vlm.preflight import images_of_study

    workspace.set(sample__classes=classes, sample__per_class=15)
    assert images_of_study() == 15 * (20 if classes == 20 else 3)
    workspace.set(sample__per_class="all")
    assert images_of_study() is None
