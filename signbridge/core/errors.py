"""The one exception that is for the person at the keyboard, and what the operating system refuses said as one.

Raise it with one or two lines: what is wrong, where (file, row or key), and what to do instead. Everything else
that is raised is a bug and may show its traceback.
"""

import errno
import os
import re
from pathlib import Path


class SignBridgeError(Exception):
    """Something that the user can put right: bad data, a wrong key, a missing file."""


class PartDone(Exception):
    """What one of several runs had to do is done; the tables are written by a run that finds all parts there."""


_RIGHTS = "Give yourself the right to it (chmod, chown), or choose another place."
_ROOM = "Free some room there, and run it again."
_MOUNT = "Mount that place again, and run it again."
_WAYS_OUT = {
    "EACCES": _RIGHTS,
    "EPERM": _RIGHTS,
    "ENOENT": "It was moved or deleted, or its path is wrong. Put it back, or correct the path.",
    "EEXIST": "A file lies where a folder belongs. Move it away, or correct the path.",
    "EISDIR": "A folder lies where a file belongs. Move it away, or correct the path.",
    "ENOTDIR": "A file lies where a folder belongs. Move it away, or correct the path.",
    "EROFS": "Make that place writable, or choose another.",
    "ENOSPC": _ROOM,
    "EDQUOT": _ROOM,
    "EFBIG": "Raise the limit (ulimit -f), or choose another place.",
    "EMFILE": "Raise the limit (ulimit -n), and run it again.",
    "ENAMETOOLONG": "Choose a shorter name.",
    "EIO": "Check the disk, or choose another.",
    "ENFILE": "Raise the limit (ulimit -n), and run it again.",
    "ELOOP": "Links there lead to one another. Remove one, or correct the path.",
    "EBUSY": "Another program uses it. Close that, and run it again.",
    "ETXTBSY": "Another program uses it. Close that, and run it again.",
    "ENOTEMPTY": "Another program writes there. Let it end, and run it again.",
    "ESTALE": _MOUNT,
    "EREMOTEIO": _MOUNT,
}
_WAY_OUT = {getattr(errno, name): way for name, way in _WAYS_OUT.items() if hasattr(errno, name)}


def refusal(error: Exception, path: Path | str | None = None) -> SignBridgeError | None:
    """What the operating system refused about a file, with path, reason and what to do; None if `error` tells of none.

    `path` is the file, where the error does not name it or names one that the user does not know. Libraries that are
    not written in Python give the system's number in their text alone, and torch's writer not even that.
    """
    number = getattr(error, "errno", None)
    if number is None and (told := re.search(r"(?:os error|errno) (\d+)", str(error), re.IGNORECASE)):
        number = int(told[1])
    where = path or getattr(error, "filename", None) or "a file"
    if "inline_container" in str(error) and isinstance(error, RuntimeError):
        return SignBridgeError(f"{where}: cannot be written to its end, as on a full disk. {_ROOM}")
    if number not in _WAY_OUT:
        return None
    return SignBridgeError(f"{where}: {os.strerror(number)}. {_WAY_OUT[number]}")


# cuBLAS and cuSOLVER allocate beside PyTorch; the last is what PyTorch says where the processor's memory is full.
_SAID_WHEN_FULL = ("out of memory", "STATUS_ALLOC_FAILED", "can't allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out: PyTorch's own, a CUDA library's, the system's or Python's."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID_WHEN_FULL)


def check_readable(path: Path | str) -> None:
    """Raises `OSError`, as `open` does, if there is no file at `path` that may be read: some libraries say less."""
    with Path(path).open("rb"):
        pass


def place_tried(path: Path | str) -> str:
    """Where a path of the params was looked for, to say in a message; empty for an absolute one, which says it."""
    if Path(path).expanduser().is_absolute():
        return ""
    return f" Looked for at {Path(path).resolve()}: `dvc exp run --queue` and `--temp` need an absolute path."
