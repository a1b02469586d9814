"""Which features change with one finger, and do they tell which finger it was, beside what else tells it?

All intervals are over photos; what is chosen for each half of the photos is not chosen anew in a resample.
"""

import numpy as np
import pandas as pd

from signbridge.core.names import NAMED, RANDOM, STREAM
from signbridge.core.tables import Metric
from signbridge.statistics.effects import Effects, effects
from signbridge.statistics.intervals import StatisticsParams, interval

FEATURES, PROBE = "features", "probe"  # as `signbridge/sae/minimal_pairs.py` has them
EACH, ALL = "each", "all"
KEYS = ["reads", "site", "position", "letters", "fitted_on"]
COLUMNS = [*KEYS, "auc", "auc_low", "auc_high", "index", "middle", "ring", "pinky"]
AT = "image_mean"  # the position that is quoted
# Each letter by itself at the image tokens of the last layer, by the name of a finding: what is read, at which site.
QUOTED = {
    "features": (FEATURES, "last"),
    "dimensions": (STREAM, "last"),
    "stream": (PROBE, "last"),
    "tower": (PROBE, "vision"),
    "pixels": (PROBE, "pixels"),
}
BASELINES = ("dimensions", "stream", "tower", "pixels")
HEADLINE = {
    "photos": "fingers_told_photos",
    **{f"auc_{name}{end}": f"fingers_told_{name}{end}" for name in QUOTED for end in ("", "_low", "_high")},
    "auc_features_first_layer": "fingers_told_features_first_layer",
    "auc_features_all_letters": "fingers_told_features_all_letters",
    "auc_shuffled": "fingers_told_shuffled",
    **{f"over_strongest{end}": f"fingers_told_over_strongest{end}" for end in ("", "_low", "_high")},
    "changed_features": "fingers_told_changed",
    "model": "model",
}  # by the name of a metric, the finding that it is


def told_fingers(
    told: pd.DataFrame, changed: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, Metric]]:
    """A row a place, kind of column and null (`COLUMNS`), and the findings, from the tables of `sae.minimal_pairs`.

    `auc` is over all fingers; beside it stands that of each finger. Without pairs the table is empty.
    """
    if told.empty:
        return pd.DataFrame(columns=COLUMNS), {"fingers_told_photos": 0}
    curves = effects(told, KEYS, "photo", "won", statistics, generator, nulls="fitted_on")
    of_fingers = told.pivot_table("won", KEYS, "finger", aggfunc="mean", sort=False)
    table = curves.table("auc", statistics.confidence).merge(of_fingers.reset_index(), on=KEYS)[COLUMNS]
    sites = [site for site in dict.fromkeys(table["site"]) if (table["reads"][table["site"] == site] == FEATURES).any()]
    quoted = {name: _at(table, reads, sites[-1] if site == "last" else site) for name, (reads, site) in QUOTED.items()}
    findings: dict[str, Metric] = {"fingers_told_photos": int(told["photo"].nunique())}
    for name, row in quoted.items():
        findings |= {f"fingers_told_{name}{end}": float(table.loc[row, f"auc{end}"]) for end in ("", "_low", "_high")}
    strongest = max(BASELINES, key=lambda name: table.loc[quoted[name], "auc"])
    findings |= _over(curves, quoted["features"], quoted[strongest], statistics.confidence)
    here = (changed["site"] == sites[-1]) & (changed["position"] == AT)
    null = (table["fitted_on"] == RANDOM) & (table["reads"] == FEATURES)
    return table, findings | {
        "fingers_told_strongest": strongest,
        "fingers_told_features_first_layer": float(table.loc[_at(table, FEATURES, sites[0]), "auc"]),
        "fingers_told_features_all_letters": float(table.loc[_at(table, FEATURES, sites[-1], ALL), "auc"]),
        "fingers_told_shuffled": float(table.loc[null, "auc"].max()),
        "fingers_told_changed": float(changed.loc[here, "changed"].sum() / max(changed.loc[here, "features"].sum(), 1)),
        "fingers_told_site": sites[-1],
    }


def _at(table: pd.DataFrame, reads: str, site: str, letters: str = EACH) -> int:
    """The row of what is read at that site with the fingers as they are."""
    here = (table["reads"] == reads) & (table["site"] == site) & (table["letters"] == letters)
    position = "flat" if site == "pixels" else AT
    return int(table.index[here & (table["fitted_on"] == NAMED) & (table["position"] == position)][0])


def _over(curves: Effects, of: int, other: int, confidence: float) -> dict[str, float]:
    low, high = interval((curves.resampled[:, of] - curves.resampled[:, other])[:, None], confidence)
    value = float(curves.overall[of] - curves.overall[other])
    name = "fingers_told_over_strongest"
    return {name: value, f"{name}_low": float(low[0]), f"{name}_high": float(high[0])}
