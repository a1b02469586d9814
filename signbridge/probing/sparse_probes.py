"""Letters from a few features: sparse probes of autoencoder features and of the residual stream's own dimensions.

Gurnee et al. 2023 ("Finding Neurons in a Haystack") probe the k best neurons. Kantamneni et al. 2025 ("Are Sparse
Autoencoders Useful?") probe the k best features of an autoencoder, by the difference between the means of two classes,
and find that they seldom beat probes of the stream. Here one probe separates many classes, so the k features are those
with the largest F of an analysis of variance: for two classes that ranks features as the difference of means over the
spread does. Features are chosen among the training images of each fold, for shuffled letters by the shuffled letters.
Then a probe reads them as it reads a site (`probing/folds.py`): its penalty is chosen among the training images too.

Controls (`datasets/control_images.py`) are probed in the same folds: features are chosen and probes are fitted anew,
with the penalties that were chosen for the model. The untrained twin gets penalties of its own.
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
from signbridge.core.names import AUTOENCODER, POSITIONS, STREAM
from signbridge.core.params import Section
from signbridge.datasets.control_images import UNTRAINED_TWIN
from signbridge.probing.control_sweep import accuracy_of_draws, draws_by_repeat
from signbridge.probing.folds import LOOSE_TOLERANCE, TOLERANCE_FOR_PREDICTIONS, folds_of
from signbridge.probing.probes import fit_notebook_probe
from signbridge.probing.protocols import Split
from signbridge.probing.settings import ProbeParams, splits_of
from signbridge.probing.sweep import Cell, Penalties, side_by_side

DENSE = "dense"  # in place of k: all features, or dimensions
Place = tuple[str, str, str]  # site, position, and what is read there: `AUTOENCODER` or `STREAM`


class SparseProbeParams(Section):
    """The section `probes` of stages/sae/params.yaml."""

    k: list[Annotated[int, Field(ge=1)]] = Field(min_length=1)  # features of a sparse probe
    repeats: int = Field(ge=1)  # of the grouped protocol's folds, at most
    draws: int = Field(ge=1)  # of shuffled letters


class Stored(NamedTuple):
    """Where the vectors that are read of each image of the sample lie."""

    folder: Path
    image_ids: list[str]  # the rows to read, one for each image of the sample


Where = Mapping[str, Stored]  # by what is read: `AUTOENCODER`, `STREAM`


class Read(NamedTuple):
    """What the probes of one cell said."""

    predictions: pd.DataFrame  # protocol, k, row (of the sample), predicted (index of the letter)
    shuffled: pd.DataFrame  # k, draw, accuracy: of shuffled letters, in the folds of `grouped`
    Cs: dict[int | str, list[float]]  # by k: the penalty that was chosen in each of those folds


class ControlCell(NamedTuple):
    """What a control shows at one place, in the images' stead."""

    vectors: Float[np.ndarray, "images width"]
    Cs: Mapping[int | str, Sequence[Sequence[float]]]  # by k, which must not exceed the width: of each fold, to choose


def probe_letters(
    sample: pd.DataFrame,
    sites: Sequence[str],
    of_model: Where,
    of_controls: Mapping[str, Where],
    probe: ProbeParams,
    settings: SparseProbeParams,
    seed: int,
) -> tuple[dict[Place, Read], dict[tuple[str, str, str, str], dict[str, float]]]:
    """What sparse probes say of every image at every place; and by control and place the accuracies of its probes.

    `sample` has image_id, label and photo. `probe` are the settings of the study's probes. Controls, like shuffled
    letters, are probed under the protocol `grouped` alone.
    """
    labels, photos = sample["label"].to_numpy(), sample["photo"].to_numpy()
    splits = splits_of(with_repeats(probe, settings.repeats), labels, photos, seed)
    grouped = [split for split in splits if split.protocol == "grouped"]
    targets = np.unique(labels, return_inverse=True)[1]
    draws = draws_by_repeat(targets, photos, grouped, settings.draws, seed) if grouped else []
    places = [(site, position, reads) for site in sites for position in POSITIONS for reads in (AUTOENCODER, STREAM)]
    cells = (Cell(site, position, _vectors(of_model[reads], site, position)) for site, position, reads in places)
    penalties = Penalties(probe.signbridge.C, probe.grouped.C)
    results = side_by_side(read_sparsely, cells, labels, splits, settings.k, penalties, draws, probe.memory_bytes)
    reads = dict(zip(places, tqdm(results, total=len(places), desc="sparse probes", unit="cell"), strict=True))
    if not grouped:
        return reads, {}
    places, cells = control_cells(reads, of_controls, probe.grouped.C)
    results = side_by_side(read_control, cells, targets, grouped, probe.memory_bytes)
    controls = zip(places, tqdm(results, total=len(places), desc="their controls", unit="cell"), strict=True)
    return reads, dict(controls)


def control_cells(
    reads: Mapping[tuple[str, str, str], Read], of_controls: Mapping[str, Where], Cs: list[float]
) -> tuple[list[tuple[str, str, str, str]], Iterator[ControlCell]]:
    """Control, site, position and what is read there, for each of `of_controls`; and the cells of these places.

    The twin's probes choose among `Cs`, as those of `reads` did. The others take what was chosen for the model.
    """
    places = [(control, *place) for control in of_controls for place in reads]

    def cell(control: str, site: str, position: str, what: str) -> ControlCell:
        chosen = reads[site, position, what].Cs
        to_choose = {k: [Cs if control == UNTRAINED_TWIN else [C] for C in of_k] for k, of_k in chosen.items()}
        return ControlCell(_vectors(of_controls[control][what], site, position), to_choose)

    return places, (cell(*place) for place in places)


def with_repeats(probe: ProbeParams, most: int) -> ProbeParams:
    """The same params with the first repeats of the folds, `most` at most."""
    repeats = min(most, probe.grouped.repeats)
    return probe.model_copy(update={"grouped": probe.grouped.model_copy(update={"repeats": repeats})})


def _vectors(stored: Stored, site: str, position: str) -> Float[np.ndarray, "images width"]:
    return activations.read(stored.folder, site, position, stored.image_ids)


def ranked(vectors: Float[np.ndarray, "images width"], targets: Int[np.ndarray, "images"]) -> Int[np.ndarray, "width"]:
    """The features, those first whose means differ most between classes; one that never varies comes last."""
    classes = np.eye(targets.max() + 1)[targets]
    classes = classes[:, classes.any(0)]
    rows = vectors.astype(np.float64) - vectors.mean(0, dtype=np.float64)
    between = ((classes.T @ rows) ** 2 / classes.sum(0)[:, None]).sum(0)
    total = (rows**2).sum(0)
    varies = np.ptp(vectors, axis=0) > 0
    # F grows with the share of the variance that is between classes, so both rank alike.
    share = np.divide(between, total, out=np.full(len(total), -1.0), where=varies)
    return np.argsort(-share, kind="stable")


def read_sparsely(
    cell: Cell,
    labels: np.ndarray,
    splits: Sequence[Split],
    ks: Sequence[int],
    penalties: Penalties,
    draws: Sequence[Sequence[Int[np.ndarray, "images"]]],
    memory_bytes: int,
) -> Read:
    """Test probes of the best of `ks` features of a cell on every split, and of all; in `draws`, by repeat, are labels.

    A k that is not below the width is left out: it would be the probe of all.
    """
    letters, targets = np.unique(labels, return_inverse=True)
    numbers: list[int | str] = [*sorted({k for k in ks if k < cell.vectors.shape[1]}), DENSE]
    predictions, accuracies, chosen = [], {k: [] for k in numbers}, {k: [] for k in numbers}
    for split in splits:
        orders = _Orders(cell.vectors, split, targets, _draws_of(split, draws))
        for k in numbers:
            if split.protocol == "signbridge":
                best = orders.best(k)
                probe = fit_notebook_probe(best, labels, split.train, penalties.signbridge)
                predicted = np.searchsorted(letters, probe.predict(best[split.test]))
            else:
                predicted, right, C = _read_fold(orders, k, penalties.grouped, memory_bytes)
                accuracies[k].append(right)
                chosen[k].append(C)
            rows = {"protocol": split.protocol, "k": str(k), "row": np.flatnonzero(split.test), "predicted": predicted}
            predictions.append(pd.DataFrame(rows))
    grouped = [split for split in splits if split.protocol == "grouped"]
    shuffled = [accuracy_of_draws(of, grouped).assign(k=str(k)) for k, of in accuracies.items() if grouped and draws]
    return Read(
        pd.concat(predictions, ignore_index=True),
        pd.concat(shuffled, ignore_index=True) if shuffled else pd.DataFrame(columns=["draw", "accuracy", "k"]),
        chosen,
    )


def read_control(
    cell: ControlCell, targets: Int[np.ndarray, "images"], splits: Sequence[Split], memory_bytes: int
) -> dict[str, float]:
    """By k the accuracy, over the tested images of all `splits` of `grouped`, of probes of what a control shows."""
    right = dict.fromkeys(cell.Cs, 0)
    for number, split in enumerate(splits):
        orders = _Orders(cell.vectors, split, targets, [])
        for k, Cs in cell.Cs.items():
            predicted, _, _ = _read_fold(orders, k, Cs[number], memory_bytes)
            right[k] += int((predicted == targets[split.test]).sum())
    tested = sum(int(split.test.sum()) for split in splits)
    return {str(k): count / tested for k, count in right.items()}


class _Orders:
    """The features of a cell in the order in which the training images of a split rank them, by letters and draws."""

    def __init__(self, vectors: np.ndarray, split: Split, targets: np.ndarray, draws: Sequence[np.ndarray]):
        self.vectors, self.split, self.targets, self.draws = vectors, split, targets, draws
        train = vectors[split.train]
        self._by_letters, *self._by_draws = (ranked(train, labels[split.train]) for labels in (targets, *draws))

    def best(self, k: int | str, draw: int | None = None) -> Float[np.ndarray, "images best"]:
        """The k best features by the letters, or by those of a draw; the vectors as they are where k is `DENSE`."""
        order = self._by_letters if draw is None else self._by_draws[draw]
        return self.vectors if k == DENSE else self.vectors[:, np.sort(order[:k])]


def _read_fold(
    orders: _Orders, k: int | str, Cs: Sequence[float], memory_bytes: int
) -> tuple[Int[np.ndarray, "tested"], Float[np.ndarray, "draws"], float]:
    """What a probe of the k best features says of the tested images, how accurate those of shuffled letters are, its C.

    Of `Cs` the best in the inner folds is taken; one alone is not tried.
    """
    (fold,) = folds_of(orders.best(k), [orders.split], memory_bytes)
    C = fold.choose(orders.targets, Cs).C if len(Cs) > 1 else float(Cs[0])
    right = []
    for number, draw in enumerate(orders.draws):
        (its,) = [fold] if k == DENSE else folds_of(orders.best(k, number), [orders.split], memory_bytes)
        right.append((its.read(draw, C, LOOSE_TOLERANCE).predicted == draw[orders.split.test]).mean())
    return fold.read(orders.targets, C, TOLERANCE_FOR_PREDICTIONS).predicted, np.array(right, dtype=float), C


def _draws_of(split: Split, draws: Sequence) -> Sequence[Int[np.ndarray, "images"]]:
    return draws[split.repeat] if split.protocol == "grouped" and draws else []
