"""Images as arrays, as PNG bytes, and as the grey pixels that the study compares.

Every dataset becomes one table (`data/images.parquet`) of PNG images through these functions.
"""

import hashlib
import io
import os
import threading
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import UInt8
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile
from tqdm import tqdm

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError

GREY_SIZE = 28  # pixels a side, Sign Language MNIST's own
PART_BYTES = 2**24  # of PNG in one row group, the least that a reader takes in; a photo of a camera makes one by itself
LARGE = 10_000  # pixels: compressed quickly beyond, in a quarter of the time for a sixth more bytes (measured)
MOST_WORKERS = 8  # each may hold a photo of 50 megapixels, decoded
TEXTS = ("image_id", "label", "split", "sha256")
T = TypeVar("T")
Result = TypeVar("Result")


class UnfitPixelsError(ValueError):
    """Pixels whose values say nothing of how bright they are; the message says what to do."""


class LabelledImage(NamedTuple):
    """One image of a dataset."""

    image_id: str  # unique in its dataset and readable: `train-00421`, `A-012-3`, a path in a folder
    label: str  # the letter, or the class's folder name
    split: str  # the dataset's own: `train` or `test`; `all` where it has none
    # uint8, height x width (grey) or height x width x 3 (colour), or what reads them, where all take too much memory;
    # that returns None where the image is to be left out
    pixels: np.ndarray | Callable[[], np.ndarray | None]
    # What the dataset knows of where the image comes from: of all its images or of none (`check_known`). No two signers
    # have a clip of one name, and no two clips a photo.
    signer: str | None = None  # the person
    clip: str | None = None  # the recording that it is a frame of
    photo: str | None = None  # the photo that it is an altered copy of, beside the copies that are found by pixels

    def read(self) -> np.ndarray | None:
        """The pixels, read now where they were not; None where the image is to be left out."""
        return self.pixels() if callable(self.pixels) else self.pixels


KNOWN = ("signer", "clip", "photo")


class LeftOut:
    """What was left out of a dataset: how many images by the reason, and the first of them by name."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.found: dict[str, dict[str, Any]] = {}
        self._adding = threading.Lock()  # images are read by several threads at once

    def add(self, reason: str, name: str) -> None:
        """Count one that was left out."""
        with self._adding:
            here = self.found.setdefault(reason, {"images": 0, "first": name})
            here["images"] += 1
            here["first"] = min(here["first"], name)


def readable_name(name: str) -> str:
    """A file's or folder's name as text that every table, page and log can hold.

    Composed (NFC): macOS takes accents apart, other systems do not. Bytes that are no UTF-8, line ends and other
    controls become escapes: a backslash, x and two digits.
    """
    name = unicodedata.normalize("NFC", name)
    return "".join(_escaped(c) if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in name)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def check_known(images: Sequence[LabelledImage]) -> list[str]:
    """Which of `KNOWN` the dataset knows.

    Raises `SignBridgeError` naming an image of which it does not know what it knows of others.
    """
    there = []
    for name in KNOWN:
        without = next((image for image in images if getattr(image, name) is None), None)
        if any(getattr(image, name) is not None for image in images):
            if without is not None:
                raise SignBridgeError(
                    f"{without.image_id}: its {name} is not known, that of other images is. Name it, or remove the "
                    f"image, or leave {name} out for all."
                )
            there.append(name)
    return there


def images_table(images: Iterable[LabelledImage]) -> pd.DataFrame:
    """The table `data/images.parquet`: image_id, label, split, sha256 (of the decoded pixels), image (PNG bytes).

    Between them the columns signer, clip and photo, where the dataset knows them.
    """
    return pa.concat_tables(encoded(images)).to_pandas()


def encoded(images: Iterable[LabelledImage]) -> Iterator[pa.Table]:
    """The same in parts of some `PART_BYTES`: images are read and encoded on all cores, a few ahead of the writing.

    What each image knows of where it comes from is checked before any is read, or, where they come one by one, as they
    come. Raises `SignBridgeError` if all are to be left out.
    """
    total = len(images) if isinstance(images, Sequence) else None
    if total is None:
        images = iter(images)
        first = list(islice(images, 1))
        known, images = check_known(first), _alike(first, images)
    else:
        known = check_known(images)
    schema = pa.schema([(name, pa.large_string()) for name in (*TEXTS, *known)] + [("image", pa.binary())])
    rows: list[tuple] = []
    size = 0
    made = in_threads(partial(_row, known), images)
    written = 0
    for row in tqdm(made, "encoding images", total, unit=" images", disable=None):
        if row is None:
            continue
        rows.append(row)
        size += len(row[-1])
        if size >= PART_BYTES:
            yield _part(rows, schema)
            written += len(rows)
            rows, size = [], 0
    if not rows and not written and total != 0:
        raise SignBridgeError("none of the images of the dataset can be read. Set `on_unreadable: stop` to see why.")
    if rows or not written:
        yield _part(rows, schema)


def _alike(first: list[LabelledImage], others: Iterator[LabelledImage]) -> Iterator[LabelledImage]:
    """All of them, each compared with the first in what it knows."""
    for image in chain(first, others):
        check_known([*first, image])
        yield image


def in_threads(work: Callable[[T], Result], items: Iterable[T]) -> Iterator[Result]:
    """`work` of each item, in order, on all cores; what is done ahead is bounded, so that memory is too."""
    workers = min(
        MOST_WORKERS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[Result]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _row(known: Sequence[str], image: LabelledImage) -> tuple | None:
    pixels = image.read()
    if pixels is None:
        return None
    texts = image.image_id, image.label, image.split, sha256_of_pixels(pixels)
    return *texts, *(getattr(image, name) for name in known), encode_png(pixels)


def _part(rows: list[tuple], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def encode_png(pixels: UInt8[np.ndarray, "height width *colour"]) -> bytes:
    """The pixels, losslessly, as PNG. Equal pixels give equal bytes, with one release of Pillow."""
    buffer = io.BytesIO()
    is_large = pixels.shape[0] * pixels.shape[1] > LARGE
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1 if is_large else 6)
    return buffer.getvalue()


def decode_png(png: bytes) -> UInt8[np.ndarray, "height width *colour"]:
    """The pixels of a PNG that `encode_png` wrote."""
    return np.asarray(Image.open(io.BytesIO(png)))


def decoded(pngs: Iterable[bytes]) -> list[Image.Image]:
    """The images as a model takes them in, in colour."""
    return [Image.open(io.BytesIO(png)).convert("RGB") for png in pngs]


def sha256_of_pixels(pixels: UInt8[np.ndarray, "height width *colour"]) -> str:
    """Digest of shape and values, so that it does not depend on how the image was compressed."""
    digest = hashlib.sha256(str(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def grey_pixels(png: bytes) -> UInt8[np.ndarray, "28 28"]:
    """The image in grey at 28 x 28: the `pixels` site, and what near-duplicates are sought in.

    Sign Language MNIST passes through unchanged; anything else is converted to luminance and resampled.
    """
    return grey_of(Image.open(io.BytesIO(png)))


def grey_pixels_of(table: Path) -> UInt8[np.ndarray, "images 28 28"]:
    """`grey_pixels` of the column `image` of the table, read a few rows at a time, on all cores."""
    pngs = (png.as_py() for batch in tables.batches(table, ["image"]) for png in batch["image"])
    pixels = np.empty((tables.count_rows(table), GREY_SIZE, GREY_SIZE), dtype=np.uint8)
    for row, grey in enumerate(in_threads(grey_pixels, pngs)):
        pixels[row] = grey
    return pixels


def grey_of(image: Image.Image) -> UInt8[np.ndarray, "28 28"]:
    """`grey_pixels` of an image that is decoded already."""
    image = image.convert("L")
    if image.size != (GREY_SIZE, GREY_SIZE):
        image = image.resize((GREY_SIZE, GREY_SIZE), Image.Resampling.BOX)
    return np.asarray(image)


def bits_of(image: Image.Image) -> int:
    """How many bits a pixel of an opened file has in each channel, where the file says so (TIFF), else 16."""
    return int(np.max(image.tag_v2.get(258, 16))) if isinstance(image, TiffImageFile) else 16  # 258: BitsPerSample


def eight_bits(image: Image.Image, bits: int = 16) -> UInt8[np.ndarray, "height width *colour"]:
    """The pixels of an image of any mode: grey where all its colours are, else RGB.

    Transparency is laid over white, grey of more than 8 bits (of `bits`) keeps its upper 8. Raises `UnfitPixelsError`
    for floating-point pixels and for integers beyond 16 bits, which have no fixed range, and for 16-bit pixels that are
    all so dark that they must have been meant for 8 or 12 bits.
    """
    if image.mode == "F":
        raise UnfitPixelsError("floating-point pixels have no fixed range: save it with 8 or 16 bits a channel")
    if image.mode.startswith("I"):
        return _upper_eight_bits(image, bits)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    pixels = np.asarray(image.convert("RGB"))
    is_grey = all((pixels[..., 0] == pixels[..., other]).all() for other in (1, 2))
    return np.ascontiguousarray(pixels[..., 0]) if is_grey else pixels


def _upper_eight_bits(image: Image.Image, bits: int) -> UInt8[np.ndarray, "height width"]:
    values = np.asarray(image).astype(np.int64)
    bits = bits if 8 < bits < 16 else 16
    if values.min() < 0 or values.max() >= 1 << bits:
        raise UnfitPixelsError("integer pixels below 0 or beyond 16 bits: scale them to 0 to 255 and save with 8 bits")
    if bits == 16 and 0 < values.max() < 1 << 12:
        raise UnfitPixelsError(
            f"16-bit pixels no brighter than {values.max()} of 65535, as 8 or 12 bits saved as 16 are: "
            "scale them to 0 to 255 and save with 8 bits"
        )
    return (values >> (bits - 8)).astype(np.uint8)
