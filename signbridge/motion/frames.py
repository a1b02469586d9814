"""Which frames of a clip a model sees in a reading, in which order and at what times; and the frames themselves.

Frames are moved, times are not: a model is told the times of the places in the clip. A frame that is read alone stands
at second 0, so that the mean over single frames holds nothing of the order, not even by the time beside a frame.
"""

import hashlib
import io
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from PIL import Image

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError
from signbridge.core.names import (
    IN_ORDER,
    MIDDLE_FRAME,
    REVERSED,
    SHUFFLED,
    SINGLE_FRAMES,
    TWIN_IN_ORDER,
    TWIN_SHUFFLED,
)
from signbridge.motion.settings import Reading

OF_TWIN = {TWIN_IN_ORDER: IN_ORDER, TWIN_SHUFFLED: SHUFFLED}  # the readings by the untrained twin
ALONE = (MIDDLE_FRAME, SINGLE_FRAMES)


class Clip(NamedTuple):
    """What is known of a clip before its frames are decoded."""

    name: str
    times: tuple[float, ...]  # seconds from its first frame
    size: tuple[int, int]  # of every frame: width and height in pixels


class Seen(NamedTuple):
    """What a model sees of one clip at a time."""

    clip: str
    frames: tuple[int, ...]  # numbers of frames, in the order in which it sees them
    times: tuple[float, ...]  # seconds of each place
    whole: int  # frames of the whole clip
    size: tuple[int, int]  # width and height in pixels


class ClipFrames:
    """The frames of a table of clips, by the clip's name; of the table, one row group is in memory."""

    def __init__(self, path: Path):
        """Reads times and sizes. Raises `SignBridgeError` if clips differ in how many frames they have, or frames of
        one clip in size: neither has a mean over clips, frame by frame.
        """
        self.path = path
        self.clips: list[Clip] = []
        self._group_of: dict[str, int] = {}
        self._group, self._held = -1, {}
        self._lock = Lock()  # batches are prepared side by side
        tables.column_names(path)  # says what is wrong with the file
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                self._note(group, file.read_row_group(group, ["clip", "time", "image"]).to_pandas())
        counts = sorted({len(clip.times) for clip in self.clips})
        if len(counts) != 1:
            raise SignBridgeError(
                f"{path}: clips have from {counts[0]} to {counts[-1]} frames, and they are compared frame by frame. "
                "Set `frames` of the dataset to as many as the shortest has, and run `fetch` again."
            )
        self.count = counts[0]  # frames of every clip

    def _note(self, group: int, rows: pd.DataFrame) -> None:
        for name, of_clip in rows.groupby("clip", sort=False):
            times = of_clip["time"].to_numpy(float)
            sizes = {Image.open(io.BytesIO(image)).size for image in of_clip["image"]}
            if len(sizes) > 1:
                raise SignBridgeError(f"{self.path}: the frames of clip '{name}' are not of one size. Make them so.")
            self.clips.append(Clip(str(name), tuple((times - times[0]).tolist()), sizes.pop()))
            self._group_of[str(name)] = group

    def decoded(self, seen: Seen) -> list[Image.Image]:
        """The frames, in the order in which they are seen, in colour."""
        encoded = self._encoded(seen.clip)
        return [Image.open(io.BytesIO(encoded[frame])).convert("RGB") for frame in seen.frames]

    def _encoded(self, clip: str) -> list[bytes]:
        group = self._group_of[clip]
        with self._lock:
            if group != self._group:
                with pq.ParquetFile(self.path) as file:
                    rows = file.read_row_group(group, ["clip", "image"]).to_pylist()
                of_clips = groupby(rows, key=lambda row: row["clip"])
                self._held = {name: [row["image"] for row in of_clip] for name, of_clip in of_clips}
                self._group = group
            return self._held[clip]


def seen_in(reading: Reading, clips: Sequence[Clip], seed: int) -> list[Seen]:
    """What a model sees in that reading, clip by clip; of `single_frames` frame by frame of each clip.

    Raises `SignBridgeError` if clips have too few frames for it.
    """
    reading = OF_TWIN.get(reading, reading)
    found = []
    for clip in clips:
        count = len(clip.times)
        if reading in ALONE:
            numbers = range(count) if reading == SINGLE_FRAMES else (middle_of(count, clip.name, seed),)
            found += [Seen(clip.name, (number,), (0.0,), count, clip.size) for number in numbers]
        else:
            found.append(Seen(clip.name, order_of(reading, count, clip.name, seed), clip.times, count, clip.size))
    return found


def middle_of(frames: int, clip: str, seed: int) -> int:
    """The number of a clip's middle frame; of an even number one of the two in the middle, drawn for each clip.

    Were it always the later one, it would tell the way: what moves to the right then lies right of the middle.
    """
    if frames % 2:
        return frames // 2
    return frames // 2 - int(_generator_of(clip, seed).integers(2))


def _generator_of(clip: str, seed: int) -> np.random.Generator:
    """Of the seed and the clip's name, wherever the clip stands."""
    return np.random.default_rng([seed, int.from_bytes(hashlib.sha256(clip.encode()).digest()[:8], "big")])


def order_of(reading: Reading, frames: int, clip: str, seed: int) -> tuple[int, ...]:
    """The numbers of a clip's frames in the order of `in_order`, `reversed` or `shuffled`.

    Shuffled is drawn from the seed and the clip's name, and is neither as it was nor reversed. Raises `SignBridgeError`
    if there are too few frames for a third order.
    """
    if reading != SHUFFLED:
        return tuple(range(frames))[:: -1 if reading == REVERSED else 1]
    if frames < 3:
        raise SignBridgeError(
            f"clip '{clip}' has {frames} frames: no order is left that is neither its own nor the reverse. "
            "Set `frames` of the dataset to 3 or more, or leave `shuffled` and `twin_shuffled` out of `readings`."
        )
    generator = _generator_of(clip, seed)
    straight = list(range(frames))
    while True:
        order = generator.permutation(frames).tolist()
        if order not in (straight, straight[::-1]):
            return tuple(order)
