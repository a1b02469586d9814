"""Sign Language MNIST, from Kaggle or from a local copy in Kaggle's own layout.

https://www.kaggle.com/datasets/datamunge/sign-language-mnist (CC0-1.0). The archive holds each CSV twice, at its root
and in a folder of its own name; the one at the root is read.
"""

import csv
import hashlib
import io
import logging
import zipfile
import zlib
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
from jaxtyping import UInt8
from pydantic import Field

from signbridge.core.errors import SignBridgeError, place_tried, refusal
from signbridge.core.params import Section
from signbridge.datasets.images import GREY_SIZE, LabelledImage

CSV_OF_SPLIT = {"train": "sign_mnist_train.csv", "test": "sign_mnist_test.csv"}  # in the order of the pool
HEADER = ["label", *(f"pixel{i}" for i in range(1, GREY_SIZE**2 + 1))]
LABELS = "a label: 0 to 24 without 9 (J and Z are signed with a movement)"
LOCAL_COPY = "set `sign_mnist.archive` in datasets.yaml to a local copy"
# Kaggle's client sets no timeout of its own on the first request.
CONNECT_SECONDS, READ_SECONDS = 5, 20

log = logging.getLogger(__name__)


class Rows(Section):
    """How many rows each CSV holds."""

    train: int = Field(ge=1)
    test: int = Field(ge=1)


class SignMnistParams(Section):
    """The entry `sign_mnist` of `datasets.yaml`."""

    source: Literal["sign_mnist"]
    kaggle: str = Field(pattern=r"^[^/]+/[^/]+/versions/[0-9]+$")  # owner/dataset/versions/N
    rows: Rows  # of that version
    archive: Annotated[str, Field(min_length=1)] | None  # a zip or folder read instead of Kaggle
    archive_rows: Rows | None  # what it holds; None: not checked


class SignMnist(NamedTuple):
    """The images in the order of the pool, and where they came from."""

    images: list[LabelledImage]  # train, then test, each in the order of its CSV
    provenance: dict[str, Any]  # `from`: Kaggle handle or archive name; `sha256` of each CSV by file name


def fetch(params: SignMnistParams) -> SignMnist:
    """The dataset from `params.archive` if that names one, else from Kaggle. Raises as the two do."""
    if params.archive is not None:
        return read_archive(Path(params.archive).expanduser(), params.archive_rows)
    return download(params.kaggle, params.rows)


def download(handle: str, rows: Rows | None) -> SignMnist:
    """The dataset from Kaggle (62.6 MB), kept in kagglehub's cache.

    No credentials are needed; those in kagglehub's environment variables and files are honoured. Raises
    `SignBridgeError` if Kaggle cannot be reached or refuses, and as `read_archive` does.
    """
    folder = _kagglehub_folder(handle)
    images, provenance = read_archive(folder, rows)
    return SignMnist(images, provenance | {"from": handle})


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


def parse_csv(content: bytes, name: str) -> tuple[UInt8[np.ndarray, " rows"], UInt8[np.ndarray, "rows 28 28"]]:
    """Labels and pixels of a CSV. Raises `SignBridgeError` naming `name`, row (0-based, as in image ids) and column."""
    _check_header(content, name)
    types = dict.fromkeys(HEADER, pa.uint8())
    # Nothing stands for a missing value: a blank cell is an error.
    convert = pyarrow.csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False)
    try:
        table = pyarrow.csv.read_csv(pa.BufferReader(content), convert_options=convert)
    except pa.ArrowInvalid as error:
        _raise_for_first_bad_cell(content, name)
        raise SignBridgeError(f"{name}: not readable as CSV: {str(error)[:200].splitlines()[0]}") from None
    if not len(table):
        raise SignBridgeError(f"{name}: a header and no rows. Get the file again.")
    cells = np.stack([column.to_numpy() for column in table.columns], axis=1)
    labels = cells[:, 0]
    unknown = np.flatnonzero((labels > 24) | (labels == 9))
    if len(unknown):
        raise SignBridgeError(f"{name}, row {unknown[0]}, label: {labels[unknown[0]]} is not {LABELS}.")
    return labels, cells[:, 1:].reshape(-1, GREY_SIZE, GREY_SIZE)


def _check_header(content: bytes, name: str) -> None:
    if not content.strip():
        raise SignBridgeError(f"{name}: the file is empty. Get it again.")
    _refuse_html(content, name)
    first_line = content.split(b"\n", 1)[0].decode("utf-8-sig", errors="replace")
    header = next(csv.reader([first_line[:20_000].rstrip("\r")]), [])
    if header == HEADER:
        return
    columns = min(len(header), len(HEADER))
    at = next((i for i in range(columns) if header[i] != HEADER[i]), columns)
    if at < columns:
        problem = f"column {at + 1} is '{header[at][:30]}', not '{HEADER[at]}'"
    else:
        problem = f"{len(header)} columns, not {len(HEADER)}"
    raise SignBridgeError(
        f"{name}, header: {problem}. Expected label,pixel1,...,pixel784: is this Sign Language MNIST?"
    )


def _refuse_html(content: bytes, name: str) -> None:
    if content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise SignBridgeError(
            f"{name}: looks like an HTML page, not data: a login page, saved? Download it again signed in, "
            "or leave `sign_mnist.archive` in datasets.yaml null."
        )


def _raise_for_first_bad_cell(content: bytes, name: str) -> None:
    """Go through the rows one by one, for the message: the fast parser tells neither row nor column."""
    lines = io.StringIO(content.decode("utf-8-sig", errors="replace"))
    row = -2  # the header is -1
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row += 1
        if row < 0:
            continue
        where = f"{name}, row {row} (line {number})"
        cells = [cell.strip().strip('"') for cell in line.split(",")]
        if len(cells) != len(HEADER):
            raise SignBridgeError(
                f"{where}: {len(cells)} cells, not {len(HEADER)}. Was the file cut short? Get it again."
            )
        for column, cell in zip(HEADER, cells, strict=True):
            if not (cell.isascii() and cell.isdigit() and int(cell[:9]) <= 255):
                found = f"'{cell[:30]}'" if cell else "a blank cell"
                expected = LABELS if column == "label" else "an integer from 0 to 255"
                raise SignBridgeError(f"{where}, {column}: {found} is not {expected}. Get the file again.")


def _csv_bytes(archive: Path, name: str) -> bytes:
    """The CSV at the archive's root or, failing that, the copy in the folder of its own name."""
    places = (name, f"{Path(name).stem}/{name}")
    if archive.is_dir():
        for place in places:
            if (archive / place).is_file():
                return (archive / place).read_bytes()
    else:
        with _open_zip(archive) as opened:
            there = set(opened.namelist())
            for place in places:
                if place in there:
                    return _member(opened, place, archive)
    raise SignBridgeError(
        f"{archive.name}: no {name} at its root. Expected Kaggle's layout, with {' and '.join(CSV_OF_SPLIT.values())}."
    )


def _open_zip(archive: Path) -> zipfile.ZipFile:
    try:
        with archive.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise SignBridgeError(
            f"datasets.yaml: sign_mnist.archive: cannot read '{archive}' ({error.strerror}). "
            f"Correct the path, or leave it empty to fetch from Kaggle.{place_tried(archive)}"
        ) from None
    _refuse_html(start, archive.name)
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


def _kagglehub_folder(handle: str) -> Path:
    import kagglehub  # here, because it takes a second and a local archive needs none of it
    import requests
    from kagglehub import exceptions
    from kagglehub.cache import Cache
    from kagglehub.handle import parse_dataset_handle
    from kagglesdk.kaggle_env import get_endpoint, get_env

    # kagglehub's own exceptions share no base; requests' are OSErrors, a bad credentials file is a ValueError.
    failures = (
        OSError,
        ValueError,
        RuntimeError,
        zipfile.BadZipFile,
        exceptions.BackendError,
        exceptions.CredentialError,
        exceptions.DataCorruptionError,
        exceptions.KaggleEnvironmentError,
        exceptions.NotFoundError,
        exceptions.UnauthenticatedError,
    )
    try:
        if Cache().load_from_cache(parse_dataset_handle(handle)) is None:
            requests.head(get_endpoint(get_env()), timeout=(CONNECT_SECONDS, READ_SECONDS))
        return Path(kagglehub.dataset_download(handle))
    except failures as error:
        if said := refusal(error):
            raise said from None
        # Its text is left out: a proxy's address or a request may hold a password.
        status = getattr(getattr(error, "response", None), "status_code", None)
        reason = f"it answered {status}" if status else type(error).__name__
        raise SignBridgeError(
            f"cannot fetch '{handle}' from Kaggle ({reason}). Check the network, proxy and Kaggle credentials, "
            f"or {LOCAL_COPY}."
        ) from None
