"""Were there enough photos? The study's own probes, trained on fewer photos and on fewer images of each.

A point of the curve keeps the folds, and with them the tested images. Of the training images of a fold it leaves a
share of the groups (photos, clips or signers) of every letter, or of each photo so many images at most. Smaller shares
lie inside larger ones, and each repeat of the folds draws anew.

Pixels need no model, so where the dataset has more than the sample they also learn from that: from one image of every
other photo, and from more images of the photos that train anyway. No image of a group that is tested is among them.

The penalty is the one that the fold chose with all its training images, in the same proportion to their loss: C times
the factor by which there are fewer images, or more. On the default study, on which the penalty was also chosen anew at
every point, this moved no accuracy by more than 1.5 points; with C itself left as it is, a quarter of the photos lost
2.3 points more at the tower (measured on five repeats).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int, UInt8
from pydantic import Field

from signbridge.core.groups import Groups
from signbridge.core.params import Section
from signbridge.probing.predictions import predictions_table
from signbridge.probing.protocols import Split
from signbridge.probing.sweep import Cell, ControlSweep, cells_of, predict, side_by_side

SAMPLE, DATASET = "sample", "dataset"  # what a probe was trained on: at most the sample, or more than it
ALL = "all"  # the sample's training images, as the study has them
PIXELS = ("pixels", "flat")
MOST_IMAGES = 20_000  # of the dataset at a point: their pixels take 63 MB. Of more as many are drawn
COLUMNS = ["of", "trained_on", "site", "position", "repeat", "fold", "groups", "images", "image_id", "label"]
COLUMNS += ["predicted"]
Rows = Int[np.ndarray, "rows"]


class LearningCurveParams(Section):
    """The section `learning_curve`."""

    shares: list[Annotated[float, Field(gt=0, lt=1)]]  # of the groups that train a fold
    images_a_photo: int = Field(ge=0)  # at most; 0: no such point
    repeats: int = Field(ge=1)  # of the folds, at most as many as the study has
    more_images_a_photo: int = Field(ge=0)  # at pixels, beyond the sample; 0: nothing beyond it


class Point(NamedTuple):
    """One point of the curve in one fold."""

    trained_on: str
    split: Split


def points_of(
    labels: np.ndarray,
    groups: np.ndarray,
    photos: np.ndarray,
    splits: Sequence[Split],
    params: LearningCurveParams,
    seed: int,
) -> list[Point]:
    """Every point in every fold of the first repeats. Labels, groups and photos: an entry an image of the sample."""
    points = []
    for split in splits:
        if split.repeat >= params.repeats:
            continue
        generator = np.random.default_rng([seed, split.repeat, split.fold])
        order, within = _places(groups, generator), generator.permutation(len(labels))
        kept = {f"share {share:g}": _share(split.train, labels, order, share) for share in params.shares}
        if params.images_a_photo:
            fewer = _rank_within(photos, split.train, within) < params.images_a_photo
            kept[f"images {params.images_a_photo}"] = split.train & fewer
        points += [Point(name, split._replace(train=train, inner=())) for name, train in kept.items()]
    return points


def _places(names: np.ndarray, generator: np.random.Generator) -> Rows:
    """For each image the place of its group in a random order of all groups."""
    _, group = np.unique(names, return_inverse=True)
    return generator.permutation(group.max() + 1)[group]


def _share(train: Bool[np.ndarray, "images"], labels: np.ndarray, order: Rows, share: float) -> Bool[np.ndarray, "_"]:
    """The training images of each letter's first groups: of `share` of them, rounded up."""
    kept = np.zeros(len(train), dtype=bool)
    for letter in np.unique(labels[train]):
        here = train & (labels == letter)
        first = np.unique(order[here])
        kept |= here & np.isin(order, first[: int(np.ceil(round(share * len(first), 9)))])
    return kept


def _rank_within(photos: np.ndarray, there: Bool[np.ndarray, "images"], order: Rows) -> Rows:
    """How many images that are `there` come before each one of its photo, by `order`."""
    ranks = pd.Series(np.where(there, order, np.iinfo(np.int64).max)).groupby(photos).rank(method="first")
    return ranks.to_numpy(dtype=np.int64) - 1


def score_sample(
    sweep: ControlSweep, groups: np.ndarray, points: Sequence[Point], places: Sequence[tuple[str, str]], folder: Path
) -> pd.DataFrame:
    """What the probes of every point say of the tested images at `places`, in the columns `COLUMNS`.

    `sweep` has the splits and penalties of the study; `groups` an entry an image of the sample.
    """
    read = [place for place in places if place in sweep.places]
    if not points or not read:
        return pd.DataFrame(columns=COLUMNS)
    splits = [point.split for point in points]
    penalties = {place: _penalties(sweep, place, splits) for place in read}
    cells = cells_of(folder, read, sweep.image_ids)
    scored = list(side_by_side(predict, cells, sweep.labels, splits, penalties, sweep.memory_bytes))
    table = predictions_table(scored, splits, np.array(sweep.image_ids), sweep.labels)
    return _counted(table, SAMPLE, points, groups)


def _penalties(sweep: ControlSweep, place: tuple[str, str], splits: Sequence[Split]) -> list[float]:
    """The C of each split: that of the study's fold, times the factor by which it had more training images."""
    chosen = zip(sweep.splits, sweep.Cs[place], strict=True)
    of_fold = {(split.repeat, split.fold): C * int(split.train.sum()) for split, C in chosen}
    return [of_fold[split.repeat, split.fold] / int(split.train.sum()) for split in splits]


def _counted(table: pd.DataFrame, of: str, points: Sequence[Point], groups: np.ndarray) -> pd.DataFrame:
    """The predictions with what each probe was trained on, as a name and in numbers."""
    trained = [
        (point.trained_on, len(np.unique(groups[point.split.train])), int(point.split.train.sum())) for point in points
    ]
    sizes = np.array([int(point.split.test.sum()) for point in points])
    of_split = np.repeat(np.arange(len(points)), sizes)
    number = np.tile(of_split, len(table) // len(of_split))
    names = pd.DataFrame(trained, columns=["trained_on", "groups", "images"]).iloc[number].reset_index(drop=True)
    return pd.concat([table, names], axis=1).assign(of=of)[COLUMNS]


# Beyond the sample ----------------------------------------------------------------------------------------------------


class Beyond(NamedTuple):
    """The images of the dataset that pixels learn from: those of the sample first, in its order."""

    rows: Rows  # of the table of all images
    groups: np.ndarray  # of the dataset, which may be coarser than those of the sample
    points: list[Point]


def beyond_sample(
    images: pd.DataFrame, whole: Groups, sample_ids: Sequence[str], splits: Sequence[Split], most: int, seed: int
) -> Beyond | None:
    """What to train on beyond the sample; None where the dataset has no more images of its letters, or `most` is 0.

    `images` has image_id, label and photo of the whole dataset, `whole` the groups of all of them. Only the first
    repeat of the folds is taken.
    """
    place = pd.Series(np.arange(len(images)), index=images["image_id"])
    own = place[list(sample_ids)].to_numpy()
    labels, photos = images["label"].to_numpy(), images["photo"].to_numpy()
    others = np.flatnonzero(np.isin(labels, np.unique(labels[own])) & ~np.isin(np.arange(len(images)), own))
    if not most or not len(others):
        return None
    generator = np.random.default_rng(seed)
    others = generator.permutation(others)
    order = np.arange(len(own) + len(others))  # the sample's own images come first
    rank = _rank_within(photos[np.concatenate([own, others])], np.ones(len(order), dtype=bool), order)[len(own) :]
    known = np.isin(photos[others], photos[own])
    added = {"more photos": others[~known & (rank == 0)], "more images": others[known & (rank < most)]}
    added = {name: rows[: MOST_IMAGES - len(own)] for name, rows in added.items() if len(rows)}
    if not added:
        return None
    rows = np.concatenate([own, *added.values()])
    points, start = [], len(own)
    for name, more in added.items():
        mine = np.zeros(len(rows), dtype=bool)
        mine[: len(own)] = mine[start : start + len(more)] = True
        start += len(more)
        points += [Point(name, split) for split in _widened(splits, mine, whole.of_image[rows], len(own))]
    return Beyond(rows, whole.of_image[rows], points)


def _widened(splits: Sequence[Split], mine: Bool[np.ndarray, "rows"], groups: np.ndarray, own: int) -> Iterator[Split]:
    """The first repeat of the folds over more rows: all that are `mine` train, unless their group is tested."""
    for split in splits:
        if split.repeat == 0:
            test = np.append(split.test, np.zeros(len(mine) - own, dtype=bool))
            yield split._replace(train=mine & ~np.isin(groups, groups[test]), test=test, inner=())


def score_pixels(
    sweep: ControlSweep, beyond: Beyond | None, pixels: UInt8[np.ndarray, "rows height width"], images: pd.DataFrame
) -> pd.DataFrame:
    """What probes of the pixels say that were trained beyond the sample, in the columns `COLUMNS`."""
    if beyond is None or PIXELS not in sweep.Cs:
        return pd.DataFrame(columns=COLUMNS)
    rows = images.iloc[beyond.rows]
    splits = [point.split for point in beyond.points]
    penalties = {PIXELS: _penalties(sweep, PIXELS, splits)}
    cell = Cell(*PIXELS, pixels.reshape(len(rows), -1).astype(np.float32))
    labels = rows["label"].to_numpy()
    scored = list(side_by_side(predict, [cell], labels, splits, penalties, sweep.memory_bytes))
    table = predictions_table(scored, splits, rows["image_id"].to_numpy(), labels)
    return _counted(table, DATASET, beyond.points, beyond.groups)
