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
