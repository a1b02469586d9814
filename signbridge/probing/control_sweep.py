"""The sweep over the controls: the same sites, splits and probes, where there should be nothing to find."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from signbridge.datasets.control_images import OTHER_LETTER, other_letter_rows
from signbridge.probing.protocols import Split
from signbridge.probing.shuffled_labels import accuracy_of_draws, draws_by_repeat
from signbridge.probing.sweep import Cell, Scored, accuracy_of_labels, cells_of, joined, predict, side_by_side

Penalty = dict[tuple[str, str], list[float]]  # the C of each split, by site and position


class ControlSweep(NamedTuple):
    """What the model was probed on, and how."""

    image_ids: list[str]
    labels: np.ndarray
    photos: np.ndarray
    splits: list[Split]  # of `grouped`
    places: list[tuple[str, str]]  # sites and positions
    Cs: Penalty  # that the model's own probes chose
    memory_bytes: int


def score_read(sweep: ControlSweep, folder: Path) -> list[Scored]:
    """A control that was read through the model, with the model's penalties."""
    return _scored(sweep, folder, sweep.places, sweep.Cs)


def score_twin(sweep: ControlSweep, folder: Path, Cs: Sequence[float]) -> list[Scored]:
    """The untrained twin: a model of its own, which may choose among `Cs`. Its pixels are the study's: left out."""
    return _scored(sweep, folder, [place for place in sweep.places if place[0] != "pixels"], Cs)


def score_other_letter(sweep: ControlSweep, folder: Path, activations: Path, seed: int) -> list[Scored]:
    """Another draw of the images in each repeat of the folds: which letter is shown for which moves a single draw.

    The first is the one that was read through the model, in `folder`. The others take from `activations` what the model
    gave the images that they show: an image's vectors do not depend on where or under which label it is read.
    """
    generator = np.random.default_rng(seed)
    first, *others = dict.fromkeys(split.repeat for split in sweep.splits)
    labels, photos = list(sweep.labels), list(sweep.photos)
    shown = {repeat: other_letter_rows(labels, photos, generator) for repeat in (first, *others)}
    read = _scored(sweep._replace(splits=_of_repeat(sweep, first)), folder, sweep.places, _Cs_of(sweep, first))
    if not others:
        return read
    cells = cells_of(activations, sweep.places, sweep.image_ids)
    results = side_by_side(_predict_draws, cells, sweep, {repeat: shown[repeat] for repeat in others})
    drawn = tqdm(results, total=len(sweep.places), desc=f"{OTHER_LETTER}, drawn anew", unit="site position")
    return [joined(parts) for parts in zip(read, drawn, strict=True)]


def _predict_draws(cell: Cell, sweep: ControlSweep, shown: dict[int, np.ndarray]) -> Scored:
    """Test a cell in each repeat with the vectors of the rows that are shown there."""
    parts = []
    for repeat, rows in shown.items():
        drawn = cell._replace(vectors=cell.vectors[rows])
        parts.append(predict(drawn, sweep.labels, _of_repeat(sweep, repeat), _Cs_of(sweep, repeat), sweep.memory_bytes))
    return joined(parts)


def _of_repeat(sweep: ControlSweep, repeat: int) -> list[Split]:
    return [split for split in sweep.splits if split.repeat == repeat]


def _Cs_of(sweep: ControlSweep, repeat: int) -> Penalty:
    """The C of each split of a repeat, by site and position."""
    these = [index for index, split in enumerate(sweep.splits) if split.repeat == repeat]
    return {cell: [of_split[index] for index in these] for cell, of_split in sweep.Cs.items()}


def score_shuffled(sweep: ControlSweep, activations: Path, draws: int, seed: int) -> pd.DataFrame:
    """Shuffled labels, one a photo: site, position, draw, accuracy."""
    targets = np.unique(sweep.labels, return_inverse=True)[1]
    by_repeat = draws_by_repeat(targets, sweep.photos, sweep.splits, draws, seed)
    cells = cells_of(activations, sweep.places, sweep.image_ids)
    results = side_by_side(accuracy_of_labels, cells, sweep.splits, sweep.Cs, by_repeat, sweep.memory_bytes)
    results = tqdm(results, total=len(sweep.places), desc="shuffled_labels", unit="site position")
    tables = [
        accuracy_of_draws(accuracies, sweep.splits).assign(site=site, position=position)
        for (site, position), accuracies in zip(sweep.places, results, strict=True)
    ]
    return pd.concat(tables, ignore_index=True)[["site", "position", "draw", "accuracy"]]


def _scored(
    sweep: ControlSweep, folder: Path, places: list[tuple[str, str]], Cs: Penalty | Sequence[float]
) -> list[Scored]:
    cells = cells_of(folder, places, sweep.image_ids)
    results = side_by_side(predict, cells, sweep.labels, sweep.splits, Cs, sweep.memory_bytes)
    return list(tqdm(results, total=len(places), desc=folder.name, unit="site position"))
