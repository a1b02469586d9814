"""The accuracies of sparse probes (`probing/sparse_probes.py`), with intervals, and features against the stream."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from signbridge.core.names import AUTOENCODER, STREAM
from signbridge.datasets.control_images import CONTROLS
from signbridge.probing.sparse_probes import DENSE, Read
from signbridge.statistics.curves import Curves, curves
from signbridge.statistics.intervals import StatisticsParams, holm

_ENDS = ("", "_low", "_high", "_p_holm")  # of what is known of a difference
COLUMNS = ["protocol", "site", "position", "reads", "k"]
COLUMNS += ["accuracy", "low", "high", "shuffled", "over_chance", *CONTROLS]


def sparse_probes(
    sample: pd.DataFrame,
    reads: Mapping[tuple[str, str, str], Read],
    controls: Mapping[tuple[str, str, str, str], Mapping[str, float]],
    statistics: StatisticsParams,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """The table of `sparse_probe_table` from what `probe_letters` gives of `sample` (image_id, label, photo)."""
    predictions = predictions_table(reads, sample["image_id"].to_numpy(), sample["label"].to_numpy())
    accuracies = curves(predictions, sample.set_index("image_id")["photo"], statistics, generator)
    return sparse_probe_table(accuracies, reads, controls)


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
    `over_chance` the accuracy less that. The columns of `CONTROLS` have the accuracies of `controls`, which are by
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
    table["over_chance"] = table["accuracy"] - table["shuffled"]
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
