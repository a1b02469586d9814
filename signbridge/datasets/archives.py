"""The files in a folder, a zip or a tar, one by one: nothing is unpacked to the disk.

Zips that lie in a folder or in another zip are opened too. A compressed tar, and a zip within a zip, can only be read
from front to end, so the files come one after the other, and the content of each has to be taken as it comes.
"""

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from signbridge.core.errors import SignBridgeError, place_tried, refusal
from signbridge.datasets.folder_layout import is_left_by_systems
from signbridge.datasets.images import readable_name

MOST_BYTES = 2**28  # a file: beyond any photo, and within a machine's memory
AT_ONCE = 2**20  # bytes of a compressed tar
DEEPEST = 2  # zips within zips: one that holds itself would never end
COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
OTHERS = {b"Rar!": "a RAR archive. Unpack it", b"7z\xbc\xaf": "a 7z archive. Unpack it"}
OTHERS |= {b"version https://git-lfs": "a Git LFS pointer, not the file itself. Run `git lfs pull` in its folder"}
NOT_READ = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError)
GET_AGAIN = "Get the archive again, or unpack what you have and name the folder."


class Member(NamedTuple):
    """One file of a folder or an archive."""

    path: str  # in the folder or archive, with slashes; in a zip within: `inner.zip/A/1.jpg`
    file: Path | None  # where it lies by itself
    # Else what reads it, until the next member is taken; None for a link, which leads nowhere within an archive.
    read: Callable[[], bytes] | None


def can_be_listed(place: Path) -> bool:
    """Whether the files can be listed without reading all of their content: of a compressed tar they cannot."""
    return place.is_dir() or not _start(place).startswith(tuple(COMPRESSED))


def members(place: Path) -> Iterator[Member]:
    """All files, without what systems leave beside them: by path; in a tar or a zip within a zip, as they lie there.

    Raises `SignBridgeError` if `place` is none of the three, is cut short or damaged, or is encrypted.
    """
    found = _of_folder(place) if place.is_dir() else _of_archive(place)
    for member in found:
        if not any(is_left_by_systems(part) for part in member.path.split("/")):
            yield member._replace(path=readable_name(member.path))


def _of_folder(folder: Path, above: str = "", around: frozenset[str] = frozenset()) -> Iterator[Member]:
    """Links are followed. `above` is the path to the folder, with a slash; `around` is what it lies in."""
    around |= {os.path.realpath(folder)}
    try:
        there = sorted(entry for entry in folder.iterdir() if not is_left_by_systems(entry.name))
    except OSError as error:
        raise refusal(error, folder) or error from None
    for file in (entry for entry in there if not entry.is_dir()):
        if not file.is_file():
            raise SignBridgeError(f"'{file}' is a link to nowhere, a pipe or a device. Mend or remove it.")
        if file.suffix.lower() == ".zip":
            with _opened_zip(file, file) as archive:
                yield from _of_zip(archive, f"{above}{file.name}/", str(file), 0)
        else:
            yield Member(above + file.name, file, None)
    for inside in (entry for entry in there if entry.is_dir()):
        if os.path.realpath(inside) in around:
            raise SignBridgeError(f"'{inside}' is a link to a folder that it lies in. Remove it.")
        yield from _of_folder(inside, f"{above}{inside.name}/", around)


def _of_archive(place: Path) -> Iterator[Member]:
    start = _start(place)
    if start.startswith(b"PK"):
        with _opened_zip(place, place) as archive:
            yield from _of_zip(archive, "", place.name, 0)
    elif start.startswith(tuple(COMPRESSED)) or tarfile.is_tarfile(place):
        yield from _of_tar(place, start)
    else:
        instead = next((said for begins, said in OTHERS.items() if start.startswith(begins)), None)
        if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            instead = "an HTML page: a login page, saved? Download it again signed in"
        instead = instead or "neither a folder nor a zip or tar archive. Correct its `path` in datasets.yaml"
        raise SignBridgeError(f"{place}: {instead}.")


def _of_zip(archive: zipfile.ZipFile, above: str, name: str, depth: int) -> Iterator[Member]:
    """`above` is the path to the zip, with a slash; `name` is what messages call it."""
    files = [info for info in archive.infolist() if not info.is_dir()]
    # Going back in a zip within a zip would decompress that from its beginning.
    files.sort(key=(lambda info: info.header_offset) if depth else _as_in_a_folder)
    for info in files:
        path = above + info.filename.replace("\\", "/")
        if stat.S_ISLNK(info.external_attr >> 16):
            yield Member(path, None, None)
        elif info.filename.lower().endswith(".zip") and depth < DEEPEST:
            inner = f"{name}/{info.filename}"
            with _said_of(inner), archive.open(info) as file, _opened_zip(file, inner) as nested:
                yield from _of_zip(nested, f"{path}/", inner, depth + 1)
        else:
            yield Member(path, None, partial(_zipped, archive, info, name))


def _as_in_a_folder(info: zipfile.ZipInfo) -> tuple:
    """Sorts as `_of_folder` does: the files of a folder, then the folders in it."""
    *folders, name = info.filename.split("/")
    return *((1, folder) for folder in folders), (0, name)


def _zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> bytes:
    _check_size(info.file_size, f"{name}/{info.filename}")
    if info.flag_bits & 1:
        raise SignBridgeError(f"{name}: encrypted. Unpack it with its password, and name the folder.")
    with _said_of(f"{name}/{readable_name(info.filename)}"):
        return archive.read(info)


def _of_tar(place: Path, start: bytes) -> Iterator[Member]:
    unpack = next((opened for begins, opened in COMPRESSED.items() if start.startswith(begins)), None)
    with _said_of(place), ExitStack() as stack:
        if unpack:  # not by tarfile, which takes one that was cut short, or compressed in pieces, for a whole one
            file = stack.enter_context(unpack(place))
            archive = stack.enter_context(tarfile.open(fileobj=file, mode="r|", bufsize=AT_ONCE))
        else:
            archive = stack.enter_context(tarfile.open(place, "r:"))
        for info in archive:
            path = info.name.removeprefix("./").lstrip("/")
            if info.issym() or info.islnk():
                yield Member(path, None, None)
            elif info.isreg():
                yield Member(path, None, partial(_tarred, archive, info, place.name))
            if unpack:
                archive.members.clear()  # else each stays in memory


def _tarred(archive: tarfile.TarFile, info: tarfile.TarInfo, name: str) -> bytes:
    _check_size(info.size, f"{name}/{info.name}")
    with _said_of(f"{name}/{readable_name(info.name)}"):
        return archive.extractfile(info).read()


def _check_size(size: int, name: str) -> None:
    if size > MOST_BYTES:
        raise SignBridgeError(f"{name}: a file of {size / 1e6:,.0f} MB is no photo. Scale it down, or leave it out.")


def _start(place: Path) -> bytes:
    try:
        with place.open("rb") as file:
            return file.read(512)
    except FileNotFoundError:
        raise SignBridgeError(
            f"'{place}': no such folder or file. Correct its `path` in datasets.yaml.{place_tried(place)}"
        ) from None
    except OSError as error:
        raise refusal(error, place) or error from None


def _opened_zip(file: Path | io.BufferedIOBase, name: Path | str) -> zipfile.ZipFile:
    with _said_of(name):
        return zipfile.ZipFile(file)


@contextmanager
def _said_of(name: Path | str) -> Iterator[None]:
    """Say what is wrong with an archive, or a file in it, in place of what the library raises."""
    try:
        yield
    except NOT_READ as error:
        if said := refusal(error, name):
            raise said from None
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise SignBridgeError(f"{name}: cut short or damaged ({reason}). {GET_AGAIN}") from None
