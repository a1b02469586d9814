"""Letters from the autoencoders' features: all of them in one probe, and a few of them for one letter each.

Kantamneni et al. 2025 ("Are Sparse Autoencoders Useful?") find that probes of features seldom beat those of the stream.
Here a probe reads all features, or all dimensions of the stream, as a probe reads a site (`probing/folds.py`), and its
controls (`datasets/control_images.py`) are probed in the same folds, with the penalties that were chosen for the model.
The untrained twin gets penalties of its own. A few features are read by one probe a letter: `one_letter.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from pydantic import Field
from tqdm import tqdm

from signbridge.core import activations
from signbridge.core.groups import Groups
from signbridge.core.names import AUTOENCODER, COMPONENTS, POSITIONS, STREAM, TWIN
from signbridge.core.params import Section
from signbridge.datasets.control_images import UNTRAINED_TWIN
from signbridge.probing.control_sweep import accuracy_of_draws, draws_by_repeat
from signbridge.probing.folds import LOOSE_TOLERANCE, TOLERANCE_FOR_PREDICTIONS, Fold, folds_of
from signbridge.probing.one_letter import OneLetterCell, score_letters
from signbridge.probing.probes import fit_notebook_probe
from signbridge.probing.protocols import Split
from signbridge.probing.settings import ProbeParams, splits_of, with_repeats
from signbridge.probing.sweep import Cell, Penalties, side_by_side

Place = tuple[str, str, str]  # site, position, and what is read there: `AUTOENCODER` or `STREAM`


class SparseProbeParams(Section):
    """The section `probes` of stages/sae/params.yaml."""

    k: list[Annotated[int, Field(ge=1)]] = Field(min_length=1)  # features that tell one letter
    C: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)  # of the probes of k features, to choose from
    repeats: int = Field(ge=1)  # of the grouped protocol's folds, at most
    draws: int = Field(ge=1)  # of shuffled letters


class Stored(NamedTuple):
    """Where the vectors that are read of each image of the sample lie."""

    folder: Path
    image_ids: list[str]  # the rows to read, one for each image of the sample


Where = Mapping[str, Stored]  # by what is read: `AUTOENCODER`, `STREAM`


class Read(NamedTuple):
    """What the probes of one cell said."""

    predictions: pd.DataFrame  # protocol, row (of the sample), predicted (index of the letter)
    shuffled: pd.DataFrame  # draw, accuracy: of shuffled letters, in the folds of `grouped`
    Cs: list[float]  # the penalty that was chosen in each of those folds


class ControlCell(NamedTuple):
    """What a control shows at one place, in the images' stead."""

    vectors: Float[np.ndarray, "images width"]
    Cs: Sequence[Sequence[float]]  # of each fold, to choose from


def probe_letters(
    sample: pd.DataFrame,
    groups: Groups,
    sites: Sequence[str],
    of_model: Where,
    of_controls: Mapping[str, Where],
    probe: ProbeParams,
    settings: SparseProbeParams,
    seed: int,
) -> tuple[dict[Place, Read], dict[tuple[str, str, str, str], float]]:
    """What probes of all say of every image at every place; and by control and place the accuracy of its probes.

    `sample` has image_id, label and photo; `groups` are kept whole. `probe` are the settings of the study's probes.
    Controls, like shuffled letters, are probed under the protocol `grouped` alone.
    """
    labels, photos = sample["label"].to_numpy(), sample["photo"].to_numpy()
    splits = splits_of(with_repeats(probe, settings.repeats), labels, groups, seed)
    grouped = [split for split in splits if split.protocol == "grouped"]
    targets = np.unique(labels, return_inverse=True)[1]
    draws = draws_by_repeat(targets, photos, grouped, settings.draws, seed) if grouped else []
    places = [(site, position, reads) for site in sites for position in POSITIONS for reads in (AUTOENCODER, STREAM)]
    cells = (Cell(site, position, _vectors(of_model[reads], site, position)) for site, position, reads in places)
    penalties = Penalties(probe.signbridge.C, probe.grouped.C)
    results = side_by_side(read_all, cells, labels, splits, penalties, draws, probe.memory_bytes)
    reads = dict(zip(places, tqdm(results, total=len(places), desc="probes of features", unit="cell"), strict=True))
    if not grouped:
        return reads, {}
    places, cells = control_cells(reads, of_controls, probe.grouped.C)
    results = side_by_side(read_control, cells, targets, grouped, probe.memory_bytes)
    controls = zip(places, tqdm(results, total=len(places), desc="their controls", unit="cell"), strict=True)
    return reads, dict(controls)


def tell_letters(
    sample: pd.DataFrame,
    groups: Groups,
    sites: Sequence[str],
    of_model: Where,
    of_controls: Mapping[str, Where],
    probe: ProbeParams,
    settings: SparseProbeParams,
    seed: int,
) -> tuple[dict[tuple[str, str, str, int], Float[np.ndarray, "repeats letters images"]], Int[np.ndarray, "_ images"]]:
    """The scores of one letter against the rest by site, position, what is read and k; and the folds, by repeat.

    Baselines are read where they are there: dimensions and components of the stream, features of the untrained twin.
    Without the protocol `grouped` there are no scores.
    """
    labels = sample["label"].to_numpy()
    splits = splits_of(with_repeats(probe, settings.repeats), labels, groups, seed)
    grouped = [split for split in splits if split.protocol == "grouped"]
    if not grouped:
        return {}, np.empty((0, len(labels)), int)
    where = {AUTOENCODER: of_model[AUTOENCODER], STREAM: of_model[STREAM], COMPONENTS: of_model[STREAM]}
    if UNTRAINED_TWIN in of_controls:
        where[TWIN] = of_controls[UNTRAINED_TWIN][AUTOENCODER]
    places = [(site, position, reads) for site in sites for position in POSITIONS for reads in where]
    cells = (OneLetterCell(place[2], _vectors(where[place[2]], *place[:2])) for place in places)
    targets = np.unique(labels, return_inverse=True)[1]
    results = side_by_side(score_letters, cells, targets, grouped, settings.k, settings.C)
    found = zip(places, tqdm(results, total=len(places), desc="one letter from k", unit="cell"), strict=True)
    scores = {(*place, k): of_k for place, by_k in found for k, of_k in by_k.items()}
    tested_in = np.zeros((1 + max(split.repeat for split in grouped), len(labels)), int)
    for split in grouped:
        tested_in[split.repeat, split.test] = split.fold
    return scores, tested_in


def control_cells(
    reads: Mapping[Place, Read], of_controls: Mapping[str, Where], Cs: list[float]
) -> tuple[list[tuple[str, str, str, str]], Iterator[ControlCell]]:
    """Control, site, position and what is read there, for each of `of_controls`; and the cells of these places.

    The twin's probes choose among `Cs`, as those of `reads` did. The others take what was chosen for the model.
    """
    places = [(control, *place) for control in of_controls for place in reads]

    def cell(control: str, site: str, position: str, what: str) -> ControlCell:
        chosen = [Cs if control == UNTRAINED_TWIN else [C] for C in reads[site, position, what].Cs]
        return ControlCell(_vectors(of_controls[control][what], site, position), chosen)

    return places, (cell(*place) for place in places)


def _vectors(stored: Stored, site: str, position: str) -> Float[np.ndarray, "images width"]:
    return activations.read(stored.folder, site, position, stored.image_ids)


def read_all(
    cell: Cell,
    labels: np.ndarray,
    splits: Sequence[Split],
    penalties: Penalties,
    draws: Sequence[Sequence[Int[np.ndarray, "images"]]],
    memory_bytes: int,
) -> Read:
    """Test probes of all columns of a cell on every split; in `draws`, by repeat, are shuffled labels."""
    letters, targets = np.unique(labels, return_inverse=True)
    predictions, accuracies, chosen = [], [], []
    grouped = [split for split in splits if split.protocol == "grouped"]
    folds = folds_of(cell.vectors, grouped, memory_bytes)
    for split in splits:
        if split.protocol == "signbridge":
            probe = fit_notebook_probe(cell.vectors, labels, split.train, penalties.signbridge)
            predicted = np.searchsorted(letters, probe.predict(cell.vectors[split.test]))
        else:
            fold = next(folds)
            chosen.append(_choose(fold, targets, penalties.grouped))
            predicted = fold.read(targets, chosen[-1], TOLERANCE_FOR_PREDICTIONS).predicted
            right = [(fold.read(draw, chosen[-1], LOOSE_TOLERANCE).predicted == draw[split.test]).mean()
                     for draw in (draws[split.repeat] if draws else [])]  # fmt: skip
            accuracies.append(np.array(right, dtype=float))
        rows = {"protocol": split.protocol, "row": np.flatnonzero(split.test), "predicted": predicted}
        predictions.append(pd.DataFrame(rows))
    shuffled = (
        accuracy_of_draws(accuracies, grouped) if grouped and draws else pd.DataFrame(columns=["draw", "accuracy"])
    )
    return Read(pd.concat(predictions, ignore_index=True), shuffled, chosen)


def read_control(
    cell: ControlCell, targets: Int[np.ndarray, "images"], splits: Sequence[Split], memory_bytes: int
) -> float:
    """The accuracy, over the tested images of all `splits` of `grouped`, of probes of what a control shows."""
    right = 0
    for fold, Cs in zip(folds_of(cell.vectors, splits, memory_bytes), cell.Cs, strict=True):
        predicted = fold.read(targets, _choose(fold, targets, Cs), TOLERANCE_FOR_PREDICTIONS).predicted
        right += int((predicted == targets[fold.split.test]).sum())
    return right / sum(int(split.test.sum()) for split in splits)


def _choose(fold: Fold, targets: Int[np.ndarray, "images"], Cs: Sequence[float]) -> float:
    """The best of `Cs` in the inner folds; one alone is not tried."""
    return fold.choose(targets, Cs).C if len(Cs) > 1 else float(Cs[0])
