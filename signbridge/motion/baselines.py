"""What stands beside the readings: pixels and the tower frame by frame, clips backwards, labels of other clips."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from PIL import Image

from signbridge.clips.table import each_clip
from signbridge.core import activations, tables
from signbridge.core.names import MOVEMENT, PIXEL_DIFFERENCES, PIXELS, PIXELS_MEAN, TOWER_IN_ORDER
from signbridge.motion.targets import Target, of_other_clips
from signbridge.probing.predictions import predictions_table
from signbridge.probing.protocols import Split
from signbridge.probing.sweep import Cell, accuracy_of_labels, predict

FLAT = "flat"  # the position of what has no tokens
FRAME_MEAN = "frame_mean_"  # and a number: the position of the mean over the tokens of one frame
REVERSED_COLUMNS = ["group", "site", "position", "fold", "clip", "label", "predicted"]
OTHER_COLUMNS = ["site", "position", "draw", "accuracy"]
Penalties = Mapping[tuple[str, str], Sequence[float]]  # one a split, by site and position


def pixel_cells(path: Path, clips: Sequence[str], side: int) -> list[Cell]:
    """The frames of each clip in grey, `side` pixels a side: one after the other, their mean, and what changes.

    The first and the last see the order of the frames, the mean does not. A clip of fewer frames than the longest has
    some of them twice.
    """
    small = {name: _small(frames, side) for name, frames in each_clip(path)}
    most = max(len(frames) for frames in small.values())
    stacked = np.stack([_spread(small[clip], most) for clip in clips])
    changes = np.diff(stacked, axis=1)
    by_name = {PIXELS: stacked, PIXELS_MEAN: stacked.mean(axis=1), PIXEL_DIFFERENCES: changes}
    return [Cell(name, FLAT, pixels.reshape(len(clips), -1)) for name, pixels in by_name.items()]


def _small(frames: Sequence[Image.Image], side: int) -> Float[np.ndarray, "frames pixels"]:
    grey = [frame.convert("L").resize((side, side), Image.Resampling.BOX) for frame in frames]
    return np.stack([np.asarray(frame, dtype=np.float32).reshape(-1) for frame in grey])


def _spread(frames: Float[np.ndarray, "frames pixels"], most: int) -> Float[np.ndarray, "most pixels"]:
    return frames[np.linspace(0, len(frames) - 1, most).round().astype(int)]


def tower_cell(folder: Path, clips: list[str]) -> Cell | None:
    """What the vision tower hands on of each frame, one frame after the other; None where it was not kept by frame.

    Side by side the frames hold their order whatever the tower is, so this is the hardest baseline of the decoder.
    """
    there = tables.read_arrow(folder / "vision.parquet")["position"].unique().to_pylist()
    frames = sorted(position for position in there if position.startswith(FRAME_MEAN))
    if not frames:
        return None
    vectors = [activations.read(folder, "vision", position, clips) for position in frames]
    return Cell(TOWER_IN_ORDER, FLAT, np.concatenate(vectors, axis=1))


def read_backwards(
    in_order: Cell, backwards: Cell, movement: Target, penalties: Penalties, clips: Sequence[str]
) -> pd.DataFrame:
    """What probes that were fitted to clips in order say of the clips that the folds leave out, shown backwards.

    The columns are `REVERSED_COLUMNS`; `label` is the movement that was made. `penalties` are those chosen in order.
    """
    size = len(movement.labels)
    both = Cell(in_order.site, in_order.position, np.concatenate([in_order.vectors, backwards.vectors]))
    nothing = np.zeros(size, dtype=bool)
    splits = [
        split._replace(train=np.append(split.train, nothing), test=np.append(nothing, split.test), inner=())
        for split in movement.splits
    ]
    labels = np.tile(movement.labels, 2)
    scored = predict(both, labels, splits, dict(penalties))
    table = predictions_table([scored], splits, np.tile(np.asarray(clips), 2), labels)
    names = np.array(movement.groups, dtype=object)
    table = table.assign(group=names[table["repeat"].to_numpy(dtype=int)])
    return table.rename(columns={"image_id": "clip"})[REVERSED_COLUMNS]


def with_other_labels(
    cell: Cell,
    movement: Target,
    signers: np.ndarray,
    penalties: Penalties,
    draws: int,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """The accuracy of probes whose clips all have the movement of another clip: a row a draw, `OTHER_COLUMNS`."""
    labels = of_other_clips(movement, signers, draws, generator)
    by_split = accuracy_of_labels(cell, movement.splits, dict(penalties), [labels] * len(movement.groups))
    tested = np.array([split.test.sum() for split in movement.splits])
    accuracy = np.average(by_split, axis=0, weights=tested)
    return pd.DataFrame({"site": cell.site, "position": cell.position, "draw": range(draws), "accuracy": accuracy})


def penalties_of(choices: pd.DataFrame, movement: Sequence[Split]) -> dict[tuple[str, str], list[float]]:
    """The penalties of `movement`'s splits, by site and position, from the table of choices of a reading."""
    chosen = choices[choices["target"] == MOVEMENT]
    found = {place: rows["C"].tolist() for place, rows in chosen.groupby(["site", "position"], sort=False)}
    if any(len(penalties) != len(movement) for penalties in found.values()):
        raise ValueError("the choices are of other splits")
    return found
