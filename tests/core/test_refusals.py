"""What the operating system refuses is one message with path, reason and what to do, whatever was read or written.

Tests may run as root, whom nothing is forbidden: a device that is always full stands for a full disk, a folder in place
of a file for what cannot be read.
"""

import errno
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError, refusal
from signbridge.core.shards import is_whole
from signbridge.datasets.image_folder import read_image
from signbridge.lenses.stored_vectors import StoredVectors
from signbridge.pretrained.neuronpedia import descriptions_in
from signbridge.probing import probes
from tests.conftest import ROOT

TABLE = pd.DataFrame({"n": [1, 2]})
READ = {
    "a table": tables.read,
    "a table's metadata": tables.made_by,
    "a CSV": tables.read_csv,
    "findings": tables.read_findings,
    "params": lambda path: params.section("seed", int, path),
    "a picture": read_image,
    "probes": lambda path: probes.load(path, "prompt_last", "all"),
    "stored vectors": StoredVectors.open,
    "a shard": is_whole,
    "descriptions": lambda path: descriptions_in([path]),
}
WRITTEN = {
    "a table": lambda path: tables.write(TABLE, path, {}),
    "a CSV": lambda path: tables.write_csv(TABLE, path),
    "findings": lambda path: tables.write_findings(path, {"a": 1}),
}


def torch_file(path: Path) -> None:
    """A file as the checkpoints of trainers have it: torch's writer names neither the reason nor the file."""
    import torch

    with tables.whole_file(path) as unfinished:
        torch.save({"a": torch.zeros(50_000)}, unfinished)


def said(action, *arguments) -> str:
    """What a command says in which `action` fails."""
    with pytest.raises(SystemExit) as stopped:
        run(lambda: action(*arguments))
    message = str(stopped.value.code)
    assert message.startswith("error: ")
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_what_cannot_be_read_is_named_with_the_reason(tmp_path, read):
    path = tmp_path / "there"
    path.mkdir()
    message = said(read, path)
    assert f"error: {path}: Is a directory. " in message
    assert "damaged" not in message


@pytest.mark.parametrize(
    ("number", "reason", "remedy"),
    [
        (errno.EACCES, "Permission denied", "chmod"),
        (errno.ENOENT, "No such file or directory", "moved or deleted"),
        (errno.EIO, "Input/output error", "Check the disk"),
        (errno.EMFILE, "Too many open files", "ulimit -n"),
        (errno.ELOOP, "Too many levels of symbolic links", "lead to one another"),
        (errno.EBUSY, "Device or resource busy", "Another program uses it"),
    ],
)
def test_a_picture_that_the_system_withholds_is_not_called_damaged(tmp_path, monkeypatch, number, reason, remedy):
    def withheld(file, *_):
        raise OSError(number, reason, str(file))

    monkeypatch.setattr(Image, "open", withheld)
    message = said(read_image, tmp_path / "A" / "1.png")
    assert f"{tmp_path}/A/1.png: {reason}. " in message
    assert remedy in message


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN)
def test_a_full_disk_is_named_with_the_file_and_leaves_the_earlier_one_alone(tmp_path, write):
    path = tmp_path / "it"
    path.write_text("earlier")
    (tmp_path / ".it.unfinished").symlink_to("/dev/full")
    assert f"error: {path}: No space left on device. Free some room there" in said(write, path)
    assert path.read_text() == "earlier"
    assert [file.name for file in tmp_path.iterdir()] == ["it"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_under_torchs_writer_is_named_with_the_file(tmp_path):
    (tmp_path / ".it.unfinished").symlink_to("/dev/full")
    assert f"error: {tmp_path}/it: cannot be written to its end, as on a full disk" in said(torch_file, tmp_path / "it")
    assert list(tmp_path.iterdir()) == []


def test_libraries_that_are_not_written_in_python_say_it_too(tmp_path):
    program = (
        "import resource\n"
        "import numpy as np, pandas as pd\n"
        "from pathlib import Path\n"
        "from signbridge.core import tables\n"
        "from signbridge.core.shards import Shard, write_shard\n"
        "from signbridge.core.command_line import run\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "rows = np.random.default_rng(0).random((1000, 2))\n"
        "for write in (lambda: tables.write(pd.DataFrame(rows), Path('a'), {}),\n"
        "              lambda: write_shard(Path('b'), Shard({'x': rows}, []))):\n"
        "    try: run(write)\n"
        "    except SystemExit as stopped: print(stopped)\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", program],  # under the limit, bytecode would be cut short as well
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    way_out = "File too large. Raise the limit (ulimit -f), or choose another place."
    assert done.stdout.splitlines() == [f"error: a: {way_out}", f"error: b: {way_out}"], done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("whole", [tables.whole_file, tables.whole_folder])
def test_a_place_that_cannot_be_written_is_named_by_the_name_that_the_user_knows(tmp_path, monkeypatch, whole):
    def denied(source, _):
        raise OSError(errno.EROFS, "Read-only file system", str(source))

    def write():
        with whole(tmp_path / "it") as unfinished:
            unfinished.mkdir(exist_ok=True)

    monkeypatch.setattr("os.replace", denied)
    assert f"error: {tmp_path}/it: Read-only file system. Make that place writable" in said(write)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_to_be_read_is_not_taken_for_the_one_that_is_written(tmp_path):
    def write():
        with tables.whole_file(tmp_path / "to") as unfinished:
            unfinished.write_bytes((tmp_path / "from").read_bytes())

    assert f"error: {tmp_path}/from: No such file or directory. " in said(write)


def test_what_is_no_refusal_of_a_file_keeps_its_traceback():
    def unreachable():
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    with pytest.raises(ConnectionRefusedError):
        run(unreachable)
    assert refusal(OSError("half a sentence")) is None
    assert refusal(ValueError("row 28 is wrong")) is None
    assert isinstance(refusal(OSError(errno.EDQUOT, "quota"), "here"), SignBridgeError)
