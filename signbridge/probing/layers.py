"""Does a layer stand out? Every pair of layers compared on the same resamples, and how often each is the highest."""

from itertools import combinations

import numpy as np
import pandas as pd

from signbridge.peak import layer_of_each_fold
from signbridge.probing.curves import Curves
from signbridge.probing.statistics import holm, peak_probability


def layer_comparison(curves: Curves) -> pd.DataFrame:
    """One row a position and pair of layers: position, site_a, site_b, difference, low, high, p_value, p_holm.

    `difference` is the accuracy of a minus that of b under `grouped`; Holm corrects for all pairs of a position.
    """
    tables = []
    for position, layers in _layers(curves).groupby("position", sort=False):
        first, second = np.array(list(combinations(layers.index, 2)), dtype=int).reshape(-1, 2).T
        difference = curves.compare(first, second)
        tables.append(
            pd.DataFrame(
                {
                    "position": position,
                    "site_a": curves.table["site"].to_numpy()[first],
                    "site_b": curves.table["site"].to_numpy()[second],
                    **difference._asdict(),
                    "p_holm": holm(difference.p_value),
                }
            )
        )
    columns = ["position", "site_a", "site_b", "difference", "low", "high", "p_value", "p_holm"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def peak_table(curves: Curves, comparison: pd.DataFrame, choices: pd.DataFrame) -> pd.DataFrame:
    """One row a position and layer: how good a claim it has to be the peak.

    Columns: position, site, depth, accuracy, peak_probability (share of resamples in which it is highest),
    share_chosen (of the folds that chose it inside their training images), tied_with_best (not worse than the layer of
    highest accuracy by the corrected test). A layer stands out if it is the only one tied with the best.
    """
    layers = _layers(curves)
    level = 1 - curves.confidence
    apart = comparison[comparison["p_holm"] < level]
    tables = []
    for position, rows in layers.groupby("position", sort=False):
        best = rows.loc[rows["accuracy"].idxmax(), "site"]
        pairs = apart[(apart["position"] == position) & ((apart["site_a"] == best) | (apart["site_b"] == best))]
        worse = {*pairs["site_a"], *pairs["site_b"]} - {best}
        chosen = layer_of_each_fold(choices, position)["site"].value_counts(normalize=True)
        tables.append(
            pd.DataFrame(
                {
                    "position": position,
                    "site": rows["site"],
                    "depth": rows["depth"],
                    "accuracy": rows["accuracy"],
                    "peak_probability": peak_probability(curves.resampled[:, rows.index]),
                    "share_chosen": rows["site"].map(chosen).fillna(0.0),
                    "tied_with_best": ~rows["site"].isin(worse),
                }
            )
        )
    columns = ["position", "site", "depth", "accuracy", "peak_probability", "share_chosen", "tied_with_best"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _layers(curves: Curves) -> pd.DataFrame:
    """The layers of the model under `grouped`; the index is the column in `curves`."""
    model = curves.model
    return model[(model["protocol"] == "grouped") & model["site"].str.startswith("layer_")]
