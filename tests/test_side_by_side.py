"""Items of a matrix run side by side, with DVC itself on a pipeline of a few lines."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from joblib import cpu_count
from ruamel.yaml import YAML

from signbridge import side_by_side as command
from signbridge.core.errors import SignBridgeError

PROJECT = Path(__file__).parents[1]
PIPELINE = """
stages:
  sample:
    cmd: echo 300 > sample
    outs: [sample]
  read:
    matrix: {model: [one, other]}
    cmd: python read.py ${item.model}
    deps: [sample, read.py]
    outs: ["read/${item.model}"]
  probe:
    matrix: {model: [one, other]}
    cmd: cp read/${item.model} probed/${item.model}
    deps: ["read/${item.model}"]
    outs: ["probed/${item.model}"]
  compare:
    cmd: cat probed/one probed/other > compared
    deps: [probed]
    outs: [compared]
  again: # waits for one that waits for items
    matrix: {model: [one]}
    cmd: cp compared again
    deps: [compared]
    outs: [again]
"""
# One reads only while the other does: each waits for what the other wrote when it began.
READ = """
import os, sys, time
from pathlib import Path
name = sys.argv[1]
Path(f"begun_{name}").touch()
met = {"one": "other", "other": "one"}[name]
deadline = time.monotonic() + 60
while not Path(f"begun_{met}").exists():
    assert time.monotonic() < deadline, f"{met} has not begun"
    time.sleep(0.01)
print("reading:   0%", end="\\r")
print("reading: 100%")
if name == "other" and not Path("mended").exists():
    sys.exit("error: no such model")
Path(f"read/{name}").write_text(f"{name} {os.environ['OMP_NUM_THREADS']}\\n")
"""
# In place of DVC, for what a signal does: it takes a while to end, as a stage does that keeps what it has.
SLOW_TO_STOP = """
import sys, time
from pathlib import Path
name = sys.argv[-1]
try:
    Path(f"begun_{name}").touch()
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.6)
    Path(f"kept_{name}").touch()
    sys.exit("error: stopped, the rest is kept")
"""
TWO_ITEMS = "run_items({'one': set(), 'other': set(), 'later': set()}, 2, 'models')"
THE_REST = "repro('one')"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "read.py").write_text(READ)
    for folder in ("read", "probed"):
        (tmp_path / folder).mkdir()
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def side_by_side(project: Path, at_once: int) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PYTHONPATH": str(PROJECT), "PATH": path}
    env.pop("OMP_NUM_THREADS", None)
    return subprocess.run(
        [sys.executable, "-m", "signbridge.side_by_side", "dvc.yaml", str(at_once)],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
    )


@pytest.mark.skipif(cpu_count() < 2, reason="on one core items run in turn")
def test_items_run_side_by_side_and_one_that_fails_loses_nothing_of_the_others(project):
    failed = side_by_side(project, 2)
    assert failed.returncode
    assert "error: no such model" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "reading: 100%" in failed.stderr
    assert "reading:   0%" not in failed.stderr
    assert "To track the changes with git" not in failed.stderr
    lock = YAML(typ="safe").load((project / "dvc.lock").read_text())["stages"]
    assert {"sample", "read@one"} <= set(lock)
    assert {"read@other", "probe@other", "compare"}.isdisjoint(lock)

    (project / "mended").touch()
    assert side_by_side(project, 2).returncode == 0
    share = max(1, cpu_count() // 2)
    assert (project / "again").read_text() == f"one {share}\nother {share}\n"


@pytest.mark.parametrize("said", [["dvc.yaml"], ["dvc.yaml", "two"], ["nowhere/dvc.yaml", "2"]])
def test_what_is_no_pipeline_or_no_number_is_said(said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["side_by_side", *said])
    with pytest.raises(SignBridgeError, match=r"pipeline"):
        command.main()


@pytest.mark.parametrize(("call", "begun"), [(TWO_ITEMS, {"one", "other"}), (THE_REST, {"one"})])
def test_ctrl_c_waits_until_what_runs_has_kept_its_work_and_begins_no_more(tmp_path, call, begun):
    (tmp_path / "slow_to_stop.py").write_text(SLOW_TO_STOP)
    slow = "s.DVC = [sys.executable, 'slow_to_stop.py']"
    script = f"import sys; from signbridge import side_by_side as s; {slow}; sys.exit(s.{call})"
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # the signal goes to all that it starts, as that of a terminal does
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what runs in the background ignores it
    )
    deadline = time.monotonic() + 60
    while {path.name for path in tmp_path.glob("begun_*")} != {f"begun_{name}" for name in begun}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode
    assert {path.name for path in tmp_path.glob("kept_*")} == {f"kept_{name}" for name in begun}
    assert not list(tmp_path.glob("begun_later"))
    assert said.count("error: stopped, the rest is kept") == len(begun)
    assert "Traceback" not in said


def test_what_dvc_cannot_read_is_said_by_dvc(project):
    """As a model whose name has an `@`: DVC cuts the name of its stage there."""
    pipeline = project / "dvc.yaml"
    pipeline.write_text(pipeline.read_text().replace("[one, other]", "[one@other]"))
    failed = side_by_side(project, 2)
    assert failed.returncode
    assert "'read@one@other' not found" in failed.stderr
    assert "Traceback" not in failed.stderr
