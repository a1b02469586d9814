"""What `make` says where pip fails: of a network that is not there one sentence, of all else what pip says."""

import shutil
import subprocess

import pytest

from tests.conftest import ROOT

UNREACHABLE = (
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'ProxyError()'\nERROR: No matching distribution"
)


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
@pytest.mark.parametrize(
    ("pip_says", "said"),
    [
        (UNREACHABLE, "error: no package index can be reached. Check the network and the proxy (HTTPS_PROXY), "),
        ("ERROR: Could not install packages due to an OSError: No space left", "ERROR: Could not install packages "),
    ],
)
def test_a_network_that_is_not_there_is_one_sentence(tmp_path, pip_says, said):
    shutil.copy(ROOT / "Makefile", tmp_path)
    pip = tmp_path / ".venv/bin/python"
    pip.parent.mkdir(parents=True)
    pip.write_text(f'#!/bin/sh\necho "retries $PIP_RETRIES"\ncat >&2 <<END\n{pip_says}\nEND\nexit 1\n')
    pip.chmod(0o755)
    done = subprocess.run(["make", ".venv/bin/pip-of-the-project"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "retries 1\n" in done.stdout
    sentence, *rest = done.stderr.splitlines()
    assert sentence.startswith(said)
    assert [line for line in rest if not line.startswith("make")] == []
    assert not (tmp_path / ".venv/bin/pip-of-the-project").exists()
