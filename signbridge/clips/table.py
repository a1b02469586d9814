"""The table of clips: a row a frame, `data/motion/clips.parquet`; and what is true of each frame of drawn clips.

Columns: clip, frame (int16, from 0), time (float32, seconds in the recording), signer, label, split, shape, movement
and kind where the source knows them, image (bytes of a PNG or JPEG). Sorted by clip, then frame; no clip lies in two
row groups, so that one is read without the others.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from signbridge.clips.entry import ImageFormat
from signbridge.core import tables
from signbridge.core.errors import SignBridgeError
from signbridge.datasets.images import PART_BYTES, decoded, encode_png, in_threads

JPEG_QUALITY = 95  # colours at full resolution, so that fingers keep their edges
KNOWN = ("shape", "movement", "kind")
FRAME = pa.schema([("clip", pa.large_string()), ("frame", pa.int16())])


class Frames(NamedTuple):
    """The frames of a clip that are kept, in the order of time."""

    images: Sequence[np.ndarray]  # uint8, height x width (grey) or height x width x 3
    times: Sequence[float]  # seconds in the recording, one a frame


class Clip(NamedTuple):
    """One recording of one sign."""

    clip: str  # unique in its dataset and readable
    label: str  # the gloss
    signer: str  # the person
    split: str  # the dataset's own: `train`, `valid` or `test`; `all` where it has none
    # or what reads them, where all clips take too much memory; that returns None where the clip is to be left out
    frames: Frames | Callable[[], Frames | None]
    shape: str | None = None  # the bag of hand shapes: two signs of one shape may be a minimal pair in movement
    movement: str | None = None  # two signs of one movement may be a minimal pair in shape
    kind: str | None = None  # of the movement: `path`, `order`, `repetition`, `letter`
    truth: Sequence[dict[str, Any]] | None = None  # of drawn clips: what is true of each frame, by column

    def read(self) -> Frames | None:
        """The frames, read now where they were not; None where the clip is to be left out."""
        return self.frames() if callable(self.frames) else self.frames


def write_clips(
    clips: Sequence[Clip],
    path: Path,
    made_by: dict[str, Any] | Callable[[], dict[str, Any]],
    image_format: ImageFormat = "png",
) -> None:
    """Write the table of clips at `path`: they are read and encoded on all cores, a few ahead of the writing.

    `made_by` may be what tells it once all are read. Raises `SignBridgeError` if two clips have one name, a clip has no
    frame, or all are to be left out.
    """
    tables.write_parts(_parts(_in_order(clips), image_format), path, made_by)


def write_truth(clips: Sequence[Clip], path: Path, made_by: dict[str, Any]) -> None:
    """Write clip, frame and the columns of `Clip.truth`; a table with no row where nothing is known."""
    rows = [
        {"clip": clip.clip, "frame": frame, **said}
        for clip in _in_order(clips)
        for frame, said in enumerate(clip.truth or ())
    ]
    table = pa.Table.from_pylist(rows) if rows else FRAME.empty_table()
    for place, field in enumerate(FRAME):
        table = table.set_column(place, field.name, table[field.name].cast(field.type))
    tables.write(table, path, made_by)


def read_clips(path: Path) -> pd.DataFrame:
    """A row a clip, in the order of the table: clip, label, signer, split, frames (how many), and what is known of it.

    Reads no image. Raises `SignBridgeError` as `tables.read` does.
    """
    known = [name for name in KNOWN if name in tables.column_names(path)]
    rows = tables.read(path, ["clip", "label", "signer", "split", *known])
    clips = rows.drop_duplicates("clip", ignore_index=True)
    clips.insert(4, "frames", rows.groupby("clip", sort=False).size().to_numpy())
    return clips


def with_known(clips: pd.DataFrame) -> pd.DataFrame:
    """The same clips with shape, movement and kind as text, empty where they are unknown."""
    known = {name: clips.get(name) for name in KNOWN}
    return clips.assign(**{name: pd.Series(values, clips.index).fillna("") for name, values in known.items()})


def each_clip(path: Path) -> Iterator[tuple[str, list[Image.Image]]]:
    """Name and frames, in colour, of all clips in turn; no more than a row group is in memory."""
    tables.column_names(path)  # says what is wrong with the file
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, ["clip", "image"])
            names = rows["clip"].to_numpy(zero_copy_only=False)
            for name in dict.fromkeys(names):
                yield name, decoded(rows["image"].filter(pa.array(names == name)).to_pylist())


def frames_of(path: Path, clip: str) -> list[Image.Image]:
    """The frames of that clip of the table at `path`, in colour. Raises `SignBridgeError` if it has no such clip."""
    rows = tables.read_arrow(path, ("clip", clip))
    if not rows.num_rows:
        raise SignBridgeError(f"{path}: no clip '{clip}'. Another run wrote it: run the stage `fetch` again.")
    return decoded(rows["image"].to_pylist())


def _in_order(clips: Sequence[Clip]) -> list[Clip]:
    clips = sorted(clips, key=lambda clip: clip.clip)
    for one, other in pairwise(clips):
        if one.clip == other.clip:
            raise SignBridgeError(f"two clips are called '{one.clip}'. Rename one of them.")
    return clips


def _parts(clips: list[Clip], image_format: ImageFormat) -> Iterator[pa.Table]:
    known = [name for name in KNOWN if any(getattr(clip, name) is not None for clip in clips)]
    texts = [(name, pa.large_string()) for name in ("signer", "label", "split", *known)]
    schema = pa.schema([*FRAME, ("time", pa.float32()), *texts, ("image", pa.binary())])
    rows: list[tuple] = []
    size = written = 0
    made = in_threads(partial(_rows, [name for name, _ in texts], image_format), clips)
    for of_clip in tqdm(made, "encoding clips", len(clips), unit=" clips", disable=None):
        rows += of_clip
        size += sum(len(row[-1]) for row in of_clip)
        if size >= PART_BYTES:
            yield _part(rows, schema)
            written += len(rows)
            rows, size = [], 0
    if not rows and not written:
        raise SignBridgeError("none of the clips of the dataset can be read. Set `on_unreadable: stop` to see why.")
    if rows:
        yield _part(rows, schema)


def _part(rows: list[tuple], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema)


def _rows(texts: list[str], image_format: ImageFormat, clip: Clip) -> list[tuple]:
    found = clip.read()
    if found is None:
        return []
    if not len(found.images):
        raise SignBridgeError(f"{clip.clip}: a clip with no frame. Remove it.")
    said = [getattr(clip, name) for name in texts]
    encode = encode_png if image_format == "png" else encode_jpeg
    return [
        (clip.clip, frame, float(time), *said, encode(image))
        for frame, (image, time) in enumerate(zip(found.images, found.times, strict=True))
    ]


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """The pixels as JPEG, nearly as they are."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
