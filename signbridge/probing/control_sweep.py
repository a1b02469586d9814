"""The controls: the same sites, splits and probes, where there should be nothing to find.

Three of them were read through the model or its untrained twin (`datasets/control_images.py`). The fourth is shuffled
labels. Where no photo is on both sides of the split they measure chance, since nothing can be remembered; where the
split leaks they are the control task of Hewitt and Liang (`control_task.py`).

Each photo gets the letter of another photo, and its copies go with it: different labels for copies of one photo would
be a harder task than any real one. Letters are exchanged among the photos that are tested in the same fold, so that
every letter stays as frequent in training and in testing as before. Otherwise a letter that is frequent in training
would be rare in testing, probes would fall below chance, and the model would look too good beside them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from pydantic import Field
from tqdm import tqdm

from signbridge.core.errors import SignBridgeError
from signbridge.core.params import Section
from signbridge.datasets.control_images import NO_IMAGE, OTHER_LETTER, other_letter_rows
from signbridge.probing.peak import layer_of_each_fold
from signbridge.probing.predictions import predictions_table
from signbridge.probing.protocols import Split
from signbridge.probing.sweep import (
    Cell,
    ControlSweep,
    Penalty,
    Scored,
    accuracy_of_labels,
    cells_of,
    joined,
    predict,
    side_by_side,
)

COLUMNS = ["control", "protocol", "site", "position", "repeat", "fold", "image_id", "label", "predicted"]


class ShuffledLabelsParams(Section):
    """The section `shuffled_labels`."""

    draws: int = Field(ge=0)  # at every site and position, each scored in one repeat of the folds; 0: none
    quoted_draws: int = Field(ge=0)  # where a p-value is quoted, if they are more


def shuffle_over_photos(
    targets: Int[np.ndarray, "images"], photos: np.ndarray, generator: np.random.Generator
) -> Int[np.ndarray, "images"]:
    """Labels such that as many photos have each letter as before, but not the same ones."""
    _, first, photo = np.unique(photos, return_index=True, return_inverse=True)
    return generator.permutation(targets[first])[photo]


def draws_by_repeat(
    targets: Int[np.ndarray, "images"], photos: np.ndarray, splits: list[Split], draws: int, seed: int
) -> list[list[Int[np.ndarray, "images"]]]:
    """The shuffled labels that each repeat of `splits` is to score: draw d in repeat d modulo their number.

    One repeat tests every image once, so a draw needs no more than one. Labels are shuffled within its folds.
    """
    generator = np.random.default_rng(seed)
    repeats = 1 + max(split.repeat for split in splits)
    by_repeat: list[list[np.ndarray]] = [[] for _ in range(repeats)]
    for draw in range(draws):
        shuffled = np.empty_like(targets)
        for split in splits:
            if split.repeat == draw % repeats:
                tested = split.test
                shuffled[tested] = shuffle_over_photos(targets[tested], photos[tested], generator)
        by_repeat[draw % repeats].append(shuffled)
    return by_repeat


def accuracy_of_draws(accuracies: Sequence[Float[np.ndarray, "_"]], splits: list[Split]) -> pd.DataFrame:
    """One row a draw: draw, accuracy over all images. `accuracies` is one array a split, of its repeat's draws."""
    rows = []
    repeats = 1 + max(split.repeat for split in splits)
    for repeat in range(repeats):
        folds = [index for index, split in enumerate(splits) if split.repeat == repeat]
        tested = np.array([splits[index].test.sum() for index in folds])
        mean = tested @ np.array([accuracies[index] for index in folds]) / tested.sum()
        rows += [(repeat + repeats * number, accuracy) for number, accuracy in enumerate(mean)]
    return pd.DataFrame(sorted(rows), columns=["draw", "accuracy"])


def chosen_penalties(choices: pd.DataFrame, splits: list[Split]) -> Penalty:
    """The C that the model's own probes chose in each split; `choices` is the table `data/choices.parquet`.

    Raises `SignBridgeError` if they had other folds.
    """
    of_cell = {cell: rows.set_index(["repeat", "fold"])["C"] for cell, rows in choices.groupby(["site", "position"])}
    try:
        return {cell: [float(C[split.repeat, split.fold]) for split in splits] for cell, C in of_cell.items()}
    except KeyError:
        raise SignBridgeError("data/choices.parquet: other folds than in params.yaml. Run `dvc repro`.") from None


def score_read(sweep: ControlSweep, folder: Path, title: str | None = None) -> list[Scored]:
    """A control that was read through the model, with the model's penalties. `title` heads the progress bar."""
    return _scored(sweep, folder, sweep.places, sweep.Cs, title)


def score_twin(sweep: ControlSweep, folder: Path, Cs: Sequence[float]) -> list[Scored]:
    """The untrained twin: a model of its own, which may choose among `Cs`. Its pixels are the study's: left out."""
    return _scored(sweep, folder, [place for place in sweep.places if place[0] != "pixels"], Cs)


def score_other_letter(sweep: ControlSweep, activations: Path, seed: int, folder: Path | None = None) -> list[Scored]:
    """Another draw of the images in each repeat of the folds: which letter is shown for which moves a single draw.

    They take from `activations` what the model gave the images that they show: an image's vectors do not depend on
    where or under which label it is read. The first was read through the model once more where there is a `folder`.
    """
    generator = np.random.default_rng(seed)
    labels, photos = list(sweep.labels), list(sweep.photos)
    repeats = dict.fromkeys(split.repeat for split in sweep.splits)
    shown = {repeat: other_letter_rows(labels, photos, generator) for repeat in repeats}
    parts = []
    if folder is not None:
        first = next(iter(shown))
        of_first = sweep._replace(splits=_of_repeat(sweep, first))
        parts.append(_scored(of_first, folder, sweep.places, _Cs_of(sweep, first)))
        del shown[first]
    if shown:
        results = side_by_side(_predict_draws, cells_of(activations, sweep.places, sweep.image_ids), sweep, shown)
        title = f"{OTHER_LETTER}, of vectors that were read"
        parts.append(list(tqdm(results, total=len(sweep.places), desc=title, unit="site position")))
    return [joined(of_place) for of_place in zip(*parts, strict=True)]


def probe_controls(
    controls: Sequence[str], sweep: ControlSweep, read: Path, choices: pd.DataFrame, position: str, seed: int
) -> pd.DataFrame:
    """What the model's own probes say of its `controls`: the table of predictions, each row with its control.

    They are scored at the tower and at the layers that a fold chose at `position`, of the places of `sweep`. `read` is
    what the model read: `activations` of the images, and those of `no_image`.
    """
    quoted = {("vision", "image_mean"), *((site, position) for site in layer_of_each_fold(choices, position)["site"])}
    sweep = sweep._replace(places=[place for place in sweep.places if place in quoted])
    found = []
    for control in controls if sweep.places else []:
        scored = (
            score_read(sweep, read / NO_IMAGE / "activations", NO_IMAGE)
            if control == NO_IMAGE
            else score_other_letter(sweep, read / "activations", seed)
        )
        table = predictions_table(scored, sweep.splits, np.array(sweep.image_ids), sweep.labels)
        found.append(table.assign(control=control)[COLUMNS])
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=COLUMNS)


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


def score_shuffled(
    sweep: ControlSweep, activations: Path, params: ShuffledLabelsParams, quoted: list[tuple[str, str]], seed: int
) -> pd.DataFrame:
    """Shuffled labels, one a photo: site, position, draw, accuracy. `quoted` are the places of `quoted_draws`."""
    targets = np.unique(sweep.labels, return_inverse=True)[1]
    few, many = (
        draws_by_repeat(targets, sweep.photos, sweep.splits, draws, seed)
        for draws in (params.draws, max(params.draws, params.quoted_draws))
    )
    by_cell = {place: many if place in quoted else few for place in sweep.places}
    cells = cells_of(activations, sweep.places, sweep.image_ids)
    results = side_by_side(_accuracy_of_draws, cells, sweep, by_cell)
    results = tqdm(results, total=len(sweep.places), desc="shuffled_labels", unit="site position")
    tables = [
        accuracy_of_draws(accuracies, sweep.splits).assign(site=site, position=position)
        for (site, position), accuracies in zip(sweep.places, results, strict=True)
    ]
    return pd.concat(tables, ignore_index=True)[["site", "position", "draw", "accuracy"]]


def _accuracy_of_draws(
    cell: Cell, sweep: ControlSweep, by_cell: dict[tuple[str, str], list[list[np.ndarray]]]
) -> list[Float[np.ndarray, "draws"]]:
    return accuracy_of_labels(cell, sweep.splits, sweep.Cs, by_cell[cell.site, cell.position], sweep.memory_bytes)


def _scored(
    sweep: ControlSweep,
    folder: Path,
    places: list[tuple[str, str]],
    Cs: Penalty | Sequence[float],
    title: str | None = None,
) -> list[Scored]:
    cells = cells_of(folder, places, sweep.image_ids)
    results = side_by_side(predict, cells, sweep.labels, sweep.splits, Cs, sweep.memory_bytes)
    return list(tqdm(results, total=len(places), desc=title or folder.name, unit="site position"))
