"""Letters from a few features: sparse probes, on autoencoders' features and on the stream's own dimensions.

Gurnee et al. 2023 ("Finding Neurons in a Haystack") probe the k best neurons; Kantamneni et al. 2025 ("Are Sparse
Autoencoders Useful?") the k best features of an autoencoder, by the difference between the means of two classes, and
find that they seldom beat probes of the stream. Here there are many classes and one probe of them all, so the k
features are those whose means differ most between letters against their spread within: the F of an analysis of
variance, which of two classes ranks as the difference of means over the spread does. They are chosen among the
training images of each fold, for shuffled letters by the shuffled letters, and then a probe reads them as it reads a
site (`nested.py`; the penalty too is chosen among the training images, of the same k features).

What the controls show instead (`datasets/control_images.py`) is read in the same folds: features are chosen and probes
fitted anew, with the penalties that were chosen for the model; for its untrained twin they too are chosen anew. Which
image of another letter is shown was drawn once, for all repeats.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from signbridge.datasets.control_images import CONTROLS
from signbridge.probing.control_sweep import accuracy_of_draws
from signbridge.probing.folds import LOOSE_TOLERANCE, TOLERANCE_FOR_PREDICTIONS, folds_of
from signbridge.probing.probes import fit_notebook_probe
from signbridge.probing.protocols import Split
from signbridge.probing.sweep import Cell, Penalties
from signbridge.sae.features import AUTOENCODER, STREAM
from signbridge.statistics.curves import Curves
from signbridge.statistics.intervals import holm

DENSE = "dense"  # in place of k: all features, or dimensions
_ENDS = ("", "_low", "_high", "_p_holm")  # of what is known of a difference
_PLACE = ("protocol", "site", "position", "reads", "k")
COLUMNS = [*_PLACE, "accuracy", "low", "high", "shuffled", "selectivity", *CONTROLS]


class Read(NamedTuple):
    """What the probes of one cell said."""

    predictions: pd.DataFrame  # protocol, k, row (of the sample), predicted (index of the letter)
    shuffled: pd.DataFrame  # k, draw, accuracy: of shuffled letters, in the folds of `grouped`
    Cs: dict[int | str, list[float]]  # by k: the penalty that was chosen in each of those folds


class ControlCell(NamedTuple):
    """What a control shows at one place, in the images' stead."""

    vectors: Float[np.ndarray, "images width"]
    Cs: Mapping[int | str, Sequence[Sequence[float]]]  # by k, which must not exceed the width: of each fold, to choose


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


def predictions_table(
    reads: Mapping[tuple[str, str, str], Read], image_ids: np.ndarray, labels: np.ndarray
) -> pd.DataFrame:
    """All predictions as `curves` takes them; the series is what was read and k: `sae 5`.

    The keys of `reads` are site, position, and `AUTOENCODER` or `STREAM`.
    """
    letters = np.unique(labels)
    parts = []
    for (site, position, what), read in reads.items():
        rows = read.predictions["row"].to_numpy()
        columns = {"site": site, "position": position, "image_id": image_ids[rows], "label": labels[rows]}
        said = read.predictions.assign(**columns, predicted=letters[read.predictions["predicted"]])
        parts.append(said.assign(series=what + " " + said["k"]))
    return pd.concat(parts, ignore_index=True).drop(columns=["row", "k"])


def sparse_probe_table(
    curves: Curves,
    reads: Mapping[tuple[str, str, str], Read],
    controls: Mapping[tuple[str, str, str, str], Mapping[str, float]],
) -> pd.DataFrame:
    """A row a probe: `COLUMNS`, and of probes of features how much better they are than those of the stream.

    `minus_same_k` is the accuracy less that of the k best dimensions of the stream, `minus_dense` less that of all of
    them, each with its interval on the same resamples (`_low`, `_high`) and its p-value (`_p_holm`), corrected
    together with all others of the same protocol and kind. `shuffled` is the mean over draws of shuffled letters, and
    `selectivity` the accuracy less that. The columns of `CONTROLS` have the accuracies of `controls`, which are by
    control, site, position and what was read, then by k; NaN of a control that was not read. All these are of `grouped`
    alone.
    """
    table = curves.table.copy()
    table[["reads", "k"]] = table["series"].str.split(" ", expand=True).to_numpy()
    places = list(zip(*(table[name] for name in ("site", "position", "reads", "k")), strict=True))
    by_chance = {
        (*place, k): rows["accuracy"].mean() for place, read in reads.items() for k, rows in read.shuffled.groupby("k")
    }
    table["shuffled"] = [by_chance.get(place, np.nan) for place in places]
    for control in CONTROLS:
        table[control] = [controls.get((control, *place), {}).get(k, np.nan) for *place, k in places]
    table.loc[table["protocol"] != "grouped", ["shuffled", *CONTROLS]] = np.nan
    table["selectivity"] = table["accuracy"] - table["shuffled"]
    of_features = table["reads"] == AUTOENCODER
    for name, against in (("minus_same_k", table["k"].replace(DENSE, "")), ("minus_dense", DENSE)):
        table[[name + end for end in _ENDS]] = np.nan
        other = [
            curves.column(f"{STREAM} {k}", row.protocol, row.site, row.position)
            for row, k in zip(table.itertuples(), np.broadcast_to(against, len(table)), strict=True)
        ]
        for protocol in table["protocol"].unique():
            mine = [row for row in table.index[of_features & (table["protocol"] == protocol)] if other[row] is not None]
            if mine:
                found = curves.compare(np.array(mine), np.array([other[row] for row in mine]))
                values = [found.difference, found.low, found.high, holm(found.p_value)]
                table.loc[mine, [name + end for end in _ENDS]] = np.column_stack(values)
    return table[[*COLUMNS, *(column for column in table if column.startswith("minus"))]]


def sparse_probe_metrics(table: pd.DataFrame, confidence: float) -> dict[str, float | int]:
    """Under `grouped`: each accuracy at the first and last site, and how many probes of features beat the stream's.

    Beside that of all features stand its controls that were read: `sae_dense_image_mean_last_no_image`.
    `sae_probes_above_dense` are those whose accuracy is above that of all dimensions, tested and corrected for being
    many, `_below_dense` below; `_same_k` against as many dimensions.
    """
    table = table[table["protocol"] == "grouped"]
    sites = list(dict.fromkeys(table["site"]))
    metrics: dict[str, float | int] = {}
    for end, site in (("first", sites[0]), ("last", sites[-1])) if sites else ():
        for row in table[table["site"] == site].itertuples():
            name = f"{row.reads}_{row.k}_{row.position}_{end}"
            metrics[name] = float(row.accuracy)
            if (row.reads, row.k) == (AUTOENCODER, DENSE):
                of_controls = {f"{name}_{control}": float(getattr(row, control)) for control in CONTROLS}
                metrics |= {name: accuracy for name, accuracy in of_controls.items() if not np.isnan(accuracy)}
    of_features = table[table["reads"] == AUTOENCODER]
    for against in ("dense", "same_k"):
        difference, p_value = of_features[f"minus_{against}"], of_features[f"minus_{against}_p_holm"]
        sure = p_value < 1 - confidence
        metrics[f"sae_probes_compared_{against}"] = int(difference.notna().sum())
        metrics[f"sae_probes_above_{against}"] = int((sure & (difference > 0)).sum())
        metrics[f"sae_probes_below_{against}"] = int((sure & (difference < 0)).sum())
    return metrics
