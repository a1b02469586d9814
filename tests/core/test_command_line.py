import os
import re
import subprocess
import sys

import pytest

from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError


def test_a_users_mistake_is_one_message_on_stderr_and_status_1():
    program = (
        "from signbridge.core.command_line import run\n"
        "from signbridge.core.errors import SignBridgeError\n"
        "def main(): raise SignBridgeError('row 3 is blank. Fill it.')\n"
        "run(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: row 3 is blank. Fill it.\n")


def test_a_bug_keeps_its_traceback():
    def main():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main)


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: out of memory\nCUDA kernel errors"), MemoryError()])
def test_memory_that_runs_out_is_said_wherever_it_does(error):
    def main():
        raise error

    with pytest.raises(SystemExit, match=r"^error: out of memory: [^\n]+\.\nFree some\."):
        run(main)


def test_success_is_quiet(capsys):
    run(lambda: None)
    assert capsys.readouterr() == ("", "")


def test_the_message_is_that_of_the_error():
    def main():
        raise SignBridgeError("what, where, what instead")

    with pytest.raises(SystemExit, match="error: what, where, what instead"):
        run(main)


def test_an_unknown_log_level_is_said_in_one_line(monkeypatch):
    monkeypatch.setenv("SIGNBRIDGE_LOG", "loud")
    with pytest.raises(SystemExit, match="SIGNBRIDGE_LOG=LOUD: expected DEBUG"):
        run(lambda: None)


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """A repository in which `dvc exp run -S seed=1` has set a key, and runs a stage."""
    for key in [key for key in os.environ if key.startswith("GIT_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0" * 40)
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.yaml", "stages/causal/params.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("seed: 0\n")
    as_somebody = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "."], [*as_somebody, "commit", "-qm", "The study"]):
        subprocess.run(["git", *command], check=True)
    return tmp_path


def fail():
    raise SignBridgeError("one line.")


def test_a_stage_that_fails_in_an_experiment_says_how_to_undo_what_was_set(experiment):
    for name in ("params.yaml", "dvc.yaml", "stages/causal/params.yaml"):
        (experiment / name).write_text("seed: 1\n")
    with pytest.raises(SystemExit) as stopped:
        run(fail)
    error, undo = stopped.value.code.splitlines()
    assert error == "error: one line."
    assert undo.startswith("`dvc exp run` leaves what -S set in params.yaml, stages/causal/params.yaml.")
    [command] = re.findall(r"git checkout -- [\w./ -]+(?= \()", undo)
    subprocess.run(command.split(), check=True)
    assert (experiment / "params.yaml").read_text() == "seed: 0\n"
    assert (experiment / "dvc.yaml").read_text() == "seed: 1\n", "which no -S sets"


def test_nothing_is_said_where_nothing_is_left(experiment, monkeypatch):
    with pytest.raises(SystemExit, match=r"^error: one line\.$"):
        run(fail)
    (experiment / "params.yaml").write_text("seed: 1\n")
    monkeypatch.delenv("DVC_EXP_BASELINE_REV")  # `dvc repro`, of a file that the user has edited
    with pytest.raises(SystemExit, match=r"^error: one line\.$"):
        run(fail)
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0" * 40)
    (experiment / ".dvc/tmp/exps/tmp1").mkdir(parents=True)
    monkeypatch.chdir(experiment / ".dvc/tmp/exps/tmp1")  # `dvc exp run --temp`: a copy
    with pytest.raises(SystemExit, match=r"^error: one line\.$"):
        run(fail)
