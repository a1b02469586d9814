"""The accuracies of probes of all features (`probing/sparse_probes.py`), with intervals, and against the stream's."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from signbridge.core.names import AUTOENCODER, STREAM
from signbridge.datasets.control_images import CONTROLS
from signbridge.probing.sparse_probes import Place, Read
from signbridge.statistics.curves import Curves, curves
from signbridge.statistics.intervals import StatisticsParams, holm

_ENDS = ("", "_low", "_high", "_p_holm")  # of what is known of a difference
COLUMNS = ["protocol", "site", "position", "reads", "accuracy", "low", "high", "shuffled", "over_chance", *CONTROLS]


def sparse_probes(
    sample: pd.DataFrame,
    reads: Mapping[Place, Read],
    controls: Mapping[tuple[str, str, str, str], float],
    statistics: StatisticsParams,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """The table of `sparse_probe_table` from what `probe_letters` gives of `sample` (image_id, label, group)."""
    predictions = predictions_table(reads, sample["image_id"].to_numpy(), sample["label"].to_numpy())
    accuracies = curves(predictions, sample.set_index("image_id")["group"], statistics, generator)
    return sparse_probe_table(accuracies, reads, controls)


def predictions_table(reads: Mapping[Place, Read], image_ids: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """All predictions as `curves` takes them; the series is what was read: `AUTOENCODER` or `STREAM`."""
    letters = np.unique(labels)
    parts = []
    for (site, position, what), read in reads.items():
        rows = read.predictions["row"].to_numpy()
        columns = {"site": site, "position": position, "image_id": image_ids[rows], "label": labels[rows]}
        said = read.predictions.assign(**columns, predicted=letters[read.predictions["predicted"]])
        parts.append(said.assign(series=what))
    return pd.concat(parts, ignore_index=True).drop(columns="row")


def sparse_probe_table(
    curves: Curves, reads: Mapping[Place, Read], controls: Mapping[tuple[str, str, str, str], float]
) -> pd.DataFrame:
    """A row a probe: `COLUMNS`, and of probes of features how much better they are than those of the stream.

    `minus_stream` is the accuracy less that of all dimensions of the stream, with its interval on the same resamples
    (`_low`, `_high`) and its p-value (`_p_holm`), corrected together with all others of the same protocol. `shuffled`
    is the mean over draws of shuffled letters, and `over_chance` the accuracy less that. The columns of `CONTROLS` have
    the accuracies of `controls`, which are by control, site, position and what was read; NaN of a control that was not
    read. All these are of `grouped` alone.
    """
    table = curves.table.rename(columns={"series": "reads"})
    places = list(table[["site", "position", "reads"]].itertuples(index=False, name=None))
    shuffled = {place: read.shuffled["accuracy"].mean() for place, read in reads.items() if len(read.shuffled)}
    table["shuffled"] = [shuffled.get(place, np.nan) for place in places]
    for control in CONTROLS:
        table[control] = [controls.get((control, *place), np.nan) for place in places]
    table.loc[table["protocol"] != "grouped", ["shuffled", *CONTROLS]] = np.nan
    table["over_chance"] = table["accuracy"] - table["shuffled"]
    names = [f"minus_stream{end}" for end in _ENDS]
    table[names] = np.nan
    other = [curves.column(STREAM, row.protocol, row.site, row.position) for row in table.itertuples()]
    for protocol in table["protocol"].unique():
        of_features = (table["reads"] == AUTOENCODER) & (table["protocol"] == protocol)
        mine = [row for row in table.index[of_features] if other[row] is not None]
        if mine:
            found = curves.compare(np.array(mine), np.array([other[row] for row in mine]))
            values = [found.difference, found.low, found.high, holm(found.p_value)]
            table.loc[mine, names] = np.column_stack(values)
    return table[[*COLUMNS, *names]]


def sparse_probe_metrics(table: pd.DataFrame, confidence: float) -> dict[str, float | int]:
    """Under `grouped`: each accuracy at the first and last site, and how many probes of features beat the stream's.

    Beside that of features stand its controls that were read: `sae_image_mean_last_no_image`. `sae_probes_above_stream`
    are those whose accuracy is above that of all dimensions, tested and corrected for being many,
    `sae_probes_below_stream` below.
    """
    table = table[table["protocol"] == "grouped"]
    sites = list(dict.fromkeys(table["site"]))
    metrics: dict[str, float | int] = {}
    for end, site in (("first", sites[0]), ("last", sites[-1])) if sites else ():
        for row in table[table["site"] == site].itertuples():
            name = f"{row.reads}_{row.position}_{end}"
            metrics[name] = float(row.accuracy)
            if row.reads == AUTOENCODER:
                of_controls = {f"{name}_{control}": float(getattr(row, control)) for control in CONTROLS}
                metrics |= {name: accuracy for name, accuracy in of_controls.items() if not np.isnan(accuracy)}
    of_features = table[table["reads"] == AUTOENCODER]
    difference, sure = of_features["minus_stream"], of_features["minus_stream_p_holm"] < 1 - confidence
    metrics["sae_probes_compared"] = int(difference.notna().sum())
    metrics["sae_probes_above_stream"] = int((sure & (difference > 0)).sum())
    metrics["sae_probes_below_stream"] = int((sure & (difference < 0)).sum())
    return metrics
