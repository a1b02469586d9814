"""A CSV of Sign Language MNIST, as published or as another program saved it again: bytes to labels and pixels.

What can only mean one thing is taken, and said: another delimiter, encoding or line end, columns in another order or
beside the 785, whole numbers written as 217.0, a compressed file. Everything else is refused by row and column.
"""

import bz2
import codecs
import csv
import gzip
import io
import logging
import lzma
import re
import zipfile
import zlib
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.csv
from jaxtyping import UInt8

from signbridge.core.errors import SignBridgeError
from signbridge.datasets.images import GREY_SIZE

HEADER = ["label", *(f"pixel{i}" for i in range(1, GREY_SIZE**2 + 1))]
LABELS = "a label: 0 to 24 without 9 (J and Z are signed with a movement)"
DELIMITERS = ",;\t|"
INDEX = re.compile(r"(unnamed: ?[0-9.]+|index|id|)", re.IGNORECASE)  # what pandas, R and spreadsheets call an index
COMPRESSED = {b"\x1f\x8b": ("gzip", gzip.decompress), b"BZh": ("bzip2", bz2.decompress)}
COMPRESSED |= {b"\xfd7zXZ\x00": ("xz", lzma.decompress)}
OTHER_ARCHIVES = {b"7z\xbc\xaf": "7z", b"Rar!": "RAR", b"\x28\xb5\x2f\xfd": "Zstandard"}
OTHER_TABLES = {b"PAR1": "Parquet", b"\x93NUMPY": "NumPy", b"SQLite format 3": "SQLite", b"\x89HDF": "HDF5"}
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
BYTE_ORDER_MARKS = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

log = logging.getLogger(__name__)


def parse_csv(content: bytes, name: str) -> tuple[UInt8[np.ndarray, " rows"], UInt8[np.ndarray, "rows 28 28"]]:
    """Labels and pixels of a CSV. Raises `SignBridgeError` naming `name`, row (0-based, as in image ids) and column."""
    text = _commas(_utf8(content, name), name)
    columns = _columns(text, name)
    header, _, cells = text.partition(b"\n")
    if header.decode(errors="replace").split(",") != columns:
        text = ",".join(columns).encode() + b"\n" + cells
    try:
        table = _read(text, pa.uint8())
    except pa.ArrowInvalid as error:
        table = _whole_numbers(text, name)
        if table is None:
            _raise_for_first_bad_cell(text, columns, name)
            raise SignBridgeError(f"{name}: not readable as CSV: {str(error)[:200].splitlines()[0]}") from None
    if not len(table):
        raise SignBridgeError(f"{name}: a header and no rows. Get the file again.")
    cells = np.stack([column.to_numpy() for column in table.columns], axis=1)
    labels = cells[:, 0]
    unknown = np.flatnonzero((labels > 24) | (labels == 9))
    if len(unknown):
        raise SignBridgeError(f"{name}, row {unknown[0]}, label: {labels[unknown[0]]} is not {LABELS}.")
    return labels, cells[:, 1:].reshape(-1, GREY_SIZE, GREY_SIZE)


def unpacked(content: bytes, name: str) -> bytes:
    """The bytes of the CSV where an archive lies under its name, else `content`."""
    for start, (kind, unpack) in COMPRESSED.items():
        if content.startswith(start):
            try:
                content = unpack(content)
            except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError):
                raise SignBridgeError(f"{name}: {kind}, cut short or damaged. Get the file again.") from None
            log.info("%s: unpacked, it is %s", name, kind)
            return unpacked(content, name)
    if content.startswith(b"PK\x03\x04"):
        return _only_member(content, name)
    for start, kind in OTHER_ARCHIVES.items():
        if content.startswith(start):
            raise SignBridgeError(f"{name}: a {kind} archive under the name of a CSV. Unpack it.")
    if content[257:262] == b"ustar":
        raise SignBridgeError(f"{name}: a tar archive under the name of a CSV. Unpack it.")
    for start, kind in OTHER_TABLES.items():
        if content.startswith(start):
            raise SignBridgeError(f"{name}: a {kind} file under the name of a CSV. Save it as CSV.")
    if content.startswith(LFS_POINTER):
        raise SignBridgeError(f"{name}: a Git LFS pointer, not the file itself. Run `git lfs pull` in its folder.")
    return content


def refuse_html(content: bytes, name: str) -> None:
    """Raise `SignBridgeError` for a web page, which is what a download without a login often is."""
    if content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise SignBridgeError(
            f"{name}: looks like an HTML page, not data: a login page, saved? Download it again signed in, "
            "or leave `sign_mnist.archive` in datasets.yaml null."
        )


def _only_member(content: bytes, name: str) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            inside = [
                entry for entry in opened.namelist() if entry.lower().endswith(".csv") and "__MACOSX" not in entry
            ]
            wanted = [entry for entry in inside if entry.rpartition("/")[2].lower() == name.lower()] or inside
            if len(wanted) == 1:
                log.info("%s: a zip archive; %s in it is read", name, wanted[0])
                return opened.read(wanted[0])
            if "xl/workbook.xml" in opened.namelist():
                raise SignBridgeError(f"{name}: an Excel workbook under the name of a CSV. Save it as CSV.")
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise SignBridgeError(f"{name}: a zip archive that cannot be unpacked ({error}). Get it again.") from None
    raise SignBridgeError(f"{name}: a zip archive with {len(inside)} CSV files. Unpack it and put the right one here.")


def _utf8(content: bytes, name: str) -> bytes:
    """The text in UTF-8 with a line feed at the end of each line, and neither mark nor padding around it."""
    refuse_html(content, name)
    if encoding := _encoding(content):
        try:
            content = content.decode(encoding).encode()
        except UnicodeDecodeError:
            raise SignBridgeError(f"{name}: {encoding.upper()}, cut short or damaged. Get the file again.") from None
        log.info("%s: read as %s", name, encoding.upper())
    content = content.removeprefix(codecs.BOM_UTF8)
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for end in (b"\x0b", b"\x0c", b"\x1e", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9"):
        if end in content:
            content = content.replace(end, b"\n")
    content = content.strip(b" \n\x00\x1a")  # NUL and Ctrl-Z: what old disks and DOS put behind the last line
    if not content:
        raise SignBridgeError(f"{name}: the file is empty. Get it again.")
    refuse_html(content, name)
    return content + b"\n"


def _encoding(content: bytes) -> str | None:
    """UTF-16 or UTF-32, by its mark or by the zeros beside its letters; else None."""
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return encoding
    start = content[:64:2], content[1:64:2]  # of ASCII in UTF-16 one of the two is all zeros
    for zeros, letters, encoding in ((*start[::-1], "utf-16-le"), (*start, "utf-16-be")):
        if letters.isascii() and any(letters) and zeros and not any(zeros):
            return encoding
    return None


def _commas(text: bytes, name: str) -> bytes:
    """The text with commas between cells and points in numbers."""
    first = text.split(b"\n", 1)[0].decode(errors="replace")
    if re.fullmatch(r'"?sep=.?"?', first.strip(), re.IGNORECASE) and b"\n" in text:  # Excel's own
        text = text.split(b"\n", 1)[1].lstrip()
        first = text.split(b"\n", 1)[0].decode(errors="replace")
    if first.startswith("#") and first.lower().count("pixel") > GREY_SIZE:  # NumPy's savetxt
        text = text.lstrip(b"# ")
    delimiter = max(DELIMITERS, key=first.count)
    if delimiter == "," or first.count(delimiter) < GREY_SIZE:
        return text
    log.info("%s: cells are parted by %s", name, {"\t": "tabs", ";": "semicolons"}.get(delimiter, f"'{delimiter}'"))
    return text.replace(b",", b".").replace(delimiter.encode(), b",")


def _columns(text: bytes, name: str) -> list[str]:
    """What each column is, in the order of the file; an index is called `index_0`, `index_1`, ..."""
    first_line = text.split(b"\n", 1)[0].decode(errors="replace")
    found = [cell.strip() for cell in next(csv.reader([first_line[:30_000]]), [])]
    named = [cell.lower() if cell.lower() in HEADER else cell for cell in found]
    beside = [place for place, cell in enumerate(named) if INDEX.fullmatch(cell)]
    header = [cell for cell in named if not INDEX.fullmatch(cell)]
    if sorted(header) != sorted(HEADER):
        _raise_for_header(header, name)
    if beside:
        log.info("%s: saved with its index (`index=False` saves without); that column is left out", name)
    if header != HEADER:
        log.info("%s: columns in another order, read by their names", name)
    return [f"index_{place}" if place in beside else cell for place, cell in enumerate(named)]


def _raise_for_header(header: list[str], name: str) -> NoReturn:
    columns = min(len(header), len(HEADER))
    at = next((i for i in range(columns) if header[i] != HEADER[i]), columns)
    if all(re.fullmatch(r"[0-9.e+]+", cell, re.IGNORECASE) for cell in header[:5]):
        raise SignBridgeError(
            f"{name}: no header, the first line holds numbers. Put label,pixel1,...,pixel784 above it."
        )
    if at < columns:
        problem = f"column {at + 1} is '{header[at][:30]}', not '{HEADER[at]}'"
    else:
        problem = f"{len(header)} columns, not {len(HEADER)}"
    raise SignBridgeError(
        f"{name}, header: {problem}. Expected label,pixel1,...,pixel784: is this Sign Language MNIST?"
    )


def _read(text: bytes, kind: pa.DataType) -> pa.Table:
    # Nothing stands for a missing value: a blank cell is an error.
    convert = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(HEADER, kind), include_columns=HEADER, null_values=[], strings_can_be_null=False
    )
    return pyarrow.csv.read_csv(pa.BufferReader(text), convert_options=convert)


def _whole_numbers(text: bytes, name: str) -> pa.Table | None:
    """The table where cells are whole numbers from 0 to 255 written as `217.0`, or all as `2.17e+02`; else None."""
    cells = text.split(b"\n", 1)[-1].strip().lower()
    if b"e" in cells and cells.count(b"e") != cells.count(b",") + cells.count(b"\n") + 1:
        return None  # one `1e2` is no pixel of anyone's; NumPy's savetxt writes all cells so
    try:
        table = _read(text, pa.float64())
    except pa.ArrowInvalid:
        return None
    for column in table.columns:
        values = column.to_numpy()
        if not ((values >= 0) & (values <= 255) & (values == np.floor(values))).all():
            return None
    log.info("%s: whole numbers written as decimals, read as such", name)
    return table.cast(pa.schema([(column, pa.uint8()) for column in HEADER]))


def _raise_for_first_bad_cell(text: bytes, columns: list[str], name: str) -> None:
    """Go through the rows one by one, for the message: the fast parser tells neither row nor column."""
    row = -2  # the header is -1
    for number, line in enumerate(io.StringIO(text.decode(errors="replace")), start=1):
        if not line.strip():
            continue
        row += 1
        if row < 0:
            continue
        where = f"{name}, row {row} (line {number})"
        cells = [cell.strip().strip('"') for cell in line.split(",")]
        if len(cells) != len(columns):
            cause = "Was the file cut short?" if len(cells) < len(columns) else "Is there a delimiter too many?"
            raise SignBridgeError(f"{where}: {len(cells)} cells, not {len(columns)}. {cause} Get it again.")
        for column, cell in zip(columns, cells, strict=True):
            whole = re.sub(r"\.0*$", "", cell)
            if column in HEADER and not (whole.isascii() and whole.isdigit() and int(whole[:9]) <= 255):
                found = f"'{cell[:30]}'" if cell else "a blank cell"
                expected = LABELS if column == "label" else "an integer from 0 to 255"
                raise SignBridgeError(f"{where}, {column}: {found} is not {expected}. Get the file again.")
