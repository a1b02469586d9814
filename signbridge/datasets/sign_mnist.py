"""Sign Language MNIST, from Kaggle or from a local copy in Kaggle's own layout.

https://www.kaggle.com/datasets/datamunge/sign-language-mnist (CC0-1.0). The archive holds each CSV twice, at its root
and in a folder of its own name; the one nearest to the root is read.
"""

import hashlib
import logging
import os
import zipfile
import zlib
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from signbridge.core.errors import SignBridgeError, place_tried, refusal
from signbridge.core.params import Section
from signbridge.datasets.downloads import KAGGLE_HANDLE, kaggle_folder
from signbridge.datasets.entry import Entry
from signbridge.datasets.images import LabelledImage, readable_name
from signbridge.datasets.sign_mnist_csv import parse_csv, refuse_html, unpacked

CSV_OF_SPLIT = {"train": "sign_mnist_train.csv", "test": "sign_mnist_test.csv"}  # in the order of the pool
ENDINGS = ("", ".gz", ".bz2", ".xz", ".zip")  # of a CSV that is compressed by itself
LOCAL_COPY = "set `sign_mnist.archive` in datasets.yaml to a local copy"

log = logging.getLogger(__name__)


class Rows(Section):
    """How many rows each CSV holds."""

    train: int = Field(ge=1)
    test: int = Field(ge=1)


class SignMnistParams(Entry):
    """The entry `sign_mnist` of `datasets.yaml`."""

    source: Literal["sign_mnist"]
    kaggle: str = Field(pattern=KAGGLE_HANDLE)
    rows: Rows  # of that version
    archive: Annotated[str, Field(min_length=1)] | None  # a zip or folder read instead of Kaggle
    archive_rows: Rows | None  # what it holds; None: not checked


class SignMnist(NamedTuple):
    """The images in the order of the pool, and where they came from."""

    images: list[LabelledImage]  # train, then test, each in the order of its CSV
    provenance: dict[str, Any]  # `from`: Kaggle handle or archive name; `sha256` of each CSV by file name


def fetch(params: SignMnistParams) -> SignMnist:
    """The dataset from `params.archive` if that names one, else from Kaggle.

    Raises `SignBridgeError` as `kaggle_folder` and `read_archive` do.
    """
    if params.archive is not None:
        return read_archive(Path(params.archive).expanduser(), params.archive_rows)
    images, provenance = read_archive(kaggle_folder(params.kaggle, params.download, LOCAL_COPY), params.rows)
    return SignMnist(images, provenance | {"from": params.kaggle})


def read_archive(archive: Path, rows: Rows | None) -> SignMnist:
    """The dataset from a local zip or folder in Kaggle's layout; `rows` checks its row counts.

    Raises `SignBridgeError` naming file, row and column of the first thing that is not as it should be.
    """
    images, checksums = [], {}
    for split, name in CSV_OF_SPLIT.items():
        content = _csv_bytes(archive, name)
        checksums[name] = hashlib.sha256(content).hexdigest()
        labels, pixels = parse_csv(content, name)
        expected = getattr(rows, split) if rows else len(labels)
        if len(labels) != expected:
            raise SignBridgeError(
                f"{name}: {len(labels)} rows, but datasets.yaml declares {expected}. "
                "Get the file again, or correct `rows` or `archive_rows` of the dataset."
            )
        log.info("%s: %d rows", name, len(labels))
        images += [
            LabelledImage(f"{split}-{row:05d}", chr(ord("A") + label), split, image)
            for row, (label, image) in enumerate(zip(labels.tolist(), pixels, strict=True))
        ]
    return SignMnist(images, {"from": archive.name, "sha256": checksums})


def _csv_bytes(archive: Path, name: str) -> bytes:
    """The CSV at the archive's root or, failing that, the one nearest to it, also compressed by itself."""
    if archive.is_dir():
        try:
            files = _files_in(archive)
            place = _place_of(name, [file.relative_to(archive).as_posix() for file in files], archive)
            content = (archive / place).read_bytes()
        except OSError as error:
            raise _unreadable(error.filename or archive, error) from None
    else:
        with _open_zip(archive) as opened:
            entry_of = {entry.replace("\\", "/"): entry for entry in opened.namelist() if not entry.endswith("/")}
            place = _place_of(name, list(entry_of), archive)
            content = _member(opened, entry_of[place], archive)
    if place != name:
        log.info("%s: read from %s", name, f"{archive.name}/{readable_name(place)}")
    return unpacked(content, name)


def _files_in(folder: Path) -> list[Path]:
    """All files, also of linked folders. Raises `OSError` for a folder that may not be read."""

    def refused(error: OSError) -> None:
        raise error

    files, seen = [], {os.path.realpath(folder)}
    for parent, inside, names in os.walk(folder, onerror=refused, followlinks=True):
        inside[:] = [name for name in inside if os.path.realpath(Path(parent, name)) not in seen]
        seen |= {os.path.realpath(Path(parent, name)) for name in inside}
        files += [Path(parent, name) for name in names]
    return files


def _place_of(name: str, there: list[str], archive: Path) -> str:
    """Which of the files in the archive is the CSV. Raises `SignBridgeError` where none is, or several."""
    seen = [place for place in there if not any(part.startswith((".", "__MACOSX", "@")) for part in place.split("/"))]
    wanted = {name + ending for ending in ENDINGS}
    places = [place for place in seen if place.rpartition("/")[2].lower() in wanted]
    exact = [place for place in places if place.endswith(name)] or places
    nearest = [place for place in exact if place.count("/") == min(other.count("/") for other in exact)]
    if len(nearest) == 1:
        return nearest[0]
    expected = f"Expected Kaggle's layout, with {' and '.join(CSV_OF_SPLIT.values())}."
    if nearest:
        folders = " and in ".join(f"{place.rpartition('/')[0] or '.'}/" for place in sorted(nearest)[:3])
        raise SignBridgeError(f"{archive.name}: {name} found in {readable_name(folders)}: name one of these folders.")
    above = archive.resolve().parent
    if any((above / place).is_file() for place in (name, f"{Path(name).stem}/{name}")):
        raise SignBridgeError(f"{archive.name}: no {name} in it; found in '{above}': name that folder.")
    others = [readable_name(place) for place in sorted(seen) if ".csv" in place.lower()][:3]
    instead = f" There is {', '.join(others)}: rename it if that is the one." if others else ""
    raise SignBridgeError(f"{archive.name}: no {name} at its root.{instead} {expected}")


def _unreadable(path: Path | str, error: OSError) -> SignBridgeError:
    return SignBridgeError(
        f"datasets.yaml: sign_mnist.archive: cannot read '{path}' ({error.strerror}). "
        f"Correct the path, or set it to null to fetch from Kaggle.{place_tried(path)}"
    )


def _open_zip(archive: Path) -> zipfile.ZipFile:
    try:
        with archive.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise _unreadable(archive, error) from None
    if archive.name.lower() in CSV_OF_SPLIT.values():
        raise SignBridgeError(f"{archive}: one CSV of two. Name the folder that holds both in datasets.yaml.")
    refuse_html(start, archive.name)
    try:
        return zipfile.ZipFile(archive)
    except zipfile.BadZipFile:
        problem = "a zip that was cut short or damaged" if start.startswith(b"PK") else "not a zip archive"
        raise SignBridgeError(
            f"{archive.name}: {problem}. Get it again, or unpack what you have and name the folder."
        ) from None


def _member(opened: zipfile.ZipFile, place: str, archive: Path) -> bytes:
    try:
        return opened.read(place)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        RuntimeError,
    ) as error:  # RuntimeError: encrypted
        if said := refusal(error, archive):
            raise said from None
        raise SignBridgeError(f"{archive.name}: {place} cannot be unpacked ({error}). Get the archive again.") from None
