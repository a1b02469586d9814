"""The script for the first hour on a GPU: its steps, and the whole of it on a CPU, small."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu_day
from tests.conftest import ROOT


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_limits_of_all_steps_fit_into_15_minutes():
    assert sum(step.seconds for step in gpu_day.steps(small=False)) <= 15 * 60


def test_every_step_that_it_runs_itself_is_there():
    own = {step.command[-1] for step in gpu_day.steps(small=False) if "benchmarks.gpu_day" in step.command}
    assert own == set(gpu_day.DOES)


def run(monkeypatch: pytest.MonkeyPatch, steps: list[gpu_day.Step], *arguments: str) -> None:
    monkeypatch.setattr(gpu_day, "steps", lambda small: steps)
    monkeypatch.setattr(sys, "argv", ["gpu_day", *arguments])
    gpu_day.main()


def step(name: str, code: str, seconds: int = 20) -> gpu_day.Step:
    return gpu_day.Step(name, ["-c", code], seconds)


def test_a_step_that_fails_or_takes_too_long_leaves_the_others_alone_and_is_reported(here, monkeypatch):
    count = "from pathlib import Path; p = Path('ran'); p.write_text(p.read_text() + 'x' if p.exists() else 'x')"
    steps = [
        step("broken", "import sys; print('so far'); sys.exit('it broke')"),
        step("slow", "import time; time.sleep(60)", seconds=1),
        step("right", f"{count}; print('42 images a second')"),
    ]
    with pytest.raises(gpu_day.SignBridgeError, match="failed: broken, slow"):
        run(monkeypatch, steps)
    kept = (here / "benchmarks/results/gpu_day.md").read_text()
    for said in ("broken: exit status 1", "so far", "it broke", "slow: stopped after its limit of 1 s", "right: done",
                 "42 images a second"):  # fmt: skip
        assert said in kept
    with pytest.raises(gpu_day.SignBridgeError, match="failed: broken, slow"):
        run(monkeypatch, steps)
    assert (here / "ran").read_text() == "x", "a step that is done is not done again"
    run(monkeypatch, steps, "right")
    assert (here / "ran").read_text() == "xx", "but where it is asked for"


@pytest.mark.slow
def test_the_whole_script_runs_on_a_cpu_with_the_miniature(tmp_path):
    gpu_day.copy_project(ROOT, tmp_path / "project")
    there = tmp_path / "project"
    environment = os.environ | {
        "SIGNBRIDGE_DEVICE": "cpu",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["bash", "benchmarks/gpu_day.sh", "--small"], cwd=there, env=environment, capture_output=True, text=True,
        timeout=550, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    kept = (there / "benchmarks/results/gpu_day.md").read_text()
    steps = [f"{name}: done" for name in ("weights", "study", "extract", "noise", "miniature")]
    for said in (*steps, "report", "bfloat16: patched", "keys within tolerance", "share of that"):
        assert said in kept
