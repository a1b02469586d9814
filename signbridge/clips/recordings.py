"""Recordings in a folder, a zip or a zip on a server, and the clips that an entry chooses of them."""

import os
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from signbridge.clips.attributes import Attributes, read_attributes
from signbridge.clips.decoding import Source, decoder_version, frames_of_sign, or_left_out
from signbridge.clips.entry import FilmedEntry, Recording, chosen
from signbridge.clips.table import Clip, Frames
from signbridge.clips.web_zip import WebZip
from signbridge.core.errors import SignBridgeError, refusal
from signbridge.core.tables import file_sha256
from signbridge.datasets.archives import GET_AGAIN, MOST_BYTES, NOT_READ, can_be_listed
from signbridge.datasets.folder_layout import is_left_by_systems
from signbridge.datasets.images import LeftOut

NOT_THERE, TWICE = "listed, but not there", "listed twice"


class Files(NamedTuple):
    """Files at one place, each read by itself."""

    name: str  # what messages call the place
    names: list[str]  # all of them, with slashes, sorted
    read: Callable[[str], Source]  # a file of the disk, or its content; several threads may ask at once
    check_room: Callable[[list[str]], None] = lambda names: None  # whether the disk has room for so many

    def content(self, name: str) -> bytes:
        """What is in the file."""
        source = self.read(name)
        return source.read_bytes() if isinstance(source, Path) else source

    def ending(self, *endings: str) -> str | None:
        """The file whose path ends so, the nearest to the root; None where there is none."""
        found = [name for name in self.names if any(f"/{name}".endswith(f"/{ending}") for ending in endings)]
        return min(found, key=lambda name: (name.count("/"), name), default=None)


class Fetched(NamedTuple):
    """The clips, and where they came from."""

    clips: list[Clip]
    provenance: dict[str, Any]  # `from`; `left_out` is filled while the clips are read (`LeftOut`)


def files_in(place: Path) -> Files:
    """The files of a folder or a zip. Raises `SignBridgeError` if it is neither."""
    if place.is_dir():
        return Files(place.name, _names_in(place), lambda name: place / name)
    if not can_be_listed(place) or not zipfile.is_zipfile(place):
        raise SignBridgeError(f"{place}: neither a folder nor a whole zip. Unpack it, and name the folder in `path`.")
    archive = zipfile.ZipFile(place)  # stays open as long as what reads from it
    infos = {info.filename: info for info in archive.infolist() if not info.is_dir() and _is_seen(info.filename)}
    return Files(place.name, sorted(infos), lambda name: _unpacked(archive, infos[name], place.name))


def files_on_web(url: str) -> Files:
    """The files of a zip on a server. Raises `SignBridgeError` as `WebZip` does."""
    archive = WebZip(url)
    return Files(archive.name, sorted(filter(_is_seen, archive.infos)), archive.fetched, archive.check_room)


def clips_of(
    recordings: Sequence[Recording],
    files: Files,
    entry: FilmedEntry,
    glosses_in_order: Sequence[str] | None = None,
    read: Callable[[Recording], Frames] | None = None,
) -> Fetched:
    """The clips that the entry chooses of the recordings whose files are there.

    `read` reads one where it is no video. Those of the chosen signs that are not there, or are listed twice, are
    counted. Raises `SignBridgeError` if none is there, and as `chosen` and `read_attributes` do.
    """
    if read is None:
        made_by = {"from": files.name, "pyav": decoder_version()}
        there = set(files.names)
        read = partial(_decoded, files, entry)
    else:
        made_by = {"from": files.name}
        there = {recording.place for recording in recordings}
    if recordings and not any(recording.place in there for recording in recordings):
        raise SignBridgeError(
            f"{files.name}: none of the {len(recordings):,} recordings is there, such as '{recordings[0].place}'. "
            "Correct `path` of the dataset in datasets.yaml."
        )
    first = {recording.clip: recording for recording in reversed(recordings)}
    kept = chosen([one for one in recordings if one.place in there and first[one.clip] is one], entry, glosses_in_order)
    labels, signers = ({getattr(one, key) for one in kept} for key in ("label", "signer"))
    left_out = LeftOut()
    for one in recordings:
        if one.label in labels and one.signer in signers and (one.place not in there or first[one.clip] is not one):
            left_out.add(NOT_THERE if one.place not in there else TWICE, one.place)
    known, provenance = _known(entry, labels)
    files.check_room([one.place for one in kept])
    clips = [
        Clip(
            *one[:4],
            or_left_out(partial(read, one), one.place, entry, left_out),
            **known.get(one.label, Attributes())._asdict(),
        )
        for one in kept
    ]
    return Fetched(clips, {**made_by, **provenance, "left_out": left_out.found})


def _decoded(files: Files, entry: FilmedEntry, recording: Recording) -> Frames:
    return frames_of_sign(files.read(recording.place), entry.frames, entry.trim, recording.span)


def _known(entry: FilmedEntry, labels: set[str]) -> tuple[dict[str, Attributes], dict[str, Any]]:
    if entry.attributes is None:
        return {}, {}
    path = Path(entry.attributes)
    known = read_attributes(path)
    if not labels & set(known):
        raise SignBridgeError(
            f"{path.name}: none of its glosses is one of the chosen signs, such as '{min(labels)}'. Write them alike."
        )
    return known, {"attributes": file_sha256(path.expanduser())}


def _names_in(folder: Path) -> list[str]:
    def refused(error: OSError) -> None:
        raise refusal(error) or error from None

    names, seen = [], {os.path.realpath(folder)}
    for parent, inside, files in os.walk(folder, onerror=refused, followlinks=True):
        inside[:] = [name for name in inside if os.path.realpath(Path(parent, name)) not in seen]
        seen |= {os.path.realpath(Path(parent, name)) for name in inside}
        names += [Path(parent, name).relative_to(folder).as_posix() for name in files]
    return sorted(filter(_is_seen, names))


def _is_seen(name: str) -> bool:
    return not any(is_left_by_systems(part) for part in name.split("/"))


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> bytes:
    if info.file_size > MOST_BYTES:
        raise SignBridgeError(
            f"{name}/{info.filename}: a file of {info.file_size / 1e6:,.0f} MB in a zip. Unpack it, and name the "
            "folder in `path`."
        )
    try:
        return archive.read(info)
    except NOT_READ as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        said = refusal(error, name)
        raise said or SignBridgeError(f"{name}/{info.filename}: damaged ({reason}). {GET_AGAIN}") from None
