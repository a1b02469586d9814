"""Does accuracy still rise at the sample's full size? Each point of the learning curve less the study itself.

Intervals resample the groups and, crossed with them, the repeats of the folds, in each of which the training groups
were drawn anew (Owen 2007, "The pigeonhole bootstrap"). Nothing is extrapolated.
"""

import numpy as np
import pandas as pd

from signbridge.core.tables import Metric
from signbridge.probing.learning_curve import ALL, DATASET, SAMPLE
from signbridge.statistics.effects import DRAW, effects
from signbridge.statistics.intervals import StatisticsParams

KEYS = ["site", "position", "of", "trained_on"]
SIZES = ["groups", "images"]
ENDS = ["accuracy", "low", "high"]
COLUMNS = [*KEYS, *SIZES, "repeats", *ENDS, "difference", "difference_low", "difference_high"]
HALF = "share 0.5"


def learning_curve(
    points: pd.DataFrame,
    predictions: pd.DataFrame,
    group_of: pd.Series,
    statistics: StatisticsParams,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """One row a place and point (`COLUMNS`), the smallest training set first; none without points.

    `points` is `data/control_probes/learning_curve.parquet`, `predictions` that of the study, `group_of` the group of
    each image_id of the sample. `groups` and `images` that train are means over the folds. `difference` is the accuracy
    less that of the study's own probes in the same repeats (`trained_on` is `all`).
    """
    if points.empty:
        return pd.DataFrame(columns=COLUMNS)
    own = _trained_on_all(predictions[predictions["protocol"] == "grouped"], group_of)
    rows = [points]
    for of, of_these in points.groupby("of", sort=False):
        places = of_these[["site", "position", "repeat"]].drop_duplicates()
        rows.append(own.merge(places, on=["site", "position", "repeat"]).assign(of=of, trained_on=ALL))
    rows = pd.concat(rows, ignore_index=True)
    rows["right"] = rows["label"] == rows["predicted"]
    rows["group"] = rows["image_id"].map(group_of)
    found = effects(rows.rename(columns={"repeat": DRAW}), KEYS, "group", "right", statistics, generator, nulls="of")
    table = found.table("accuracy", statistics.confidence, share=True)
    table = table.rename(columns={"accuracy_low": "low", "accuracy_high": "high"})
    gaps = found.over("trained_on", ALL).table("difference", statistics.confidence)
    sizes = rows.groupby(KEYS, as_index=False, sort=False).agg(
        groups=("groups", "mean"), images=("images", "mean"), repeats=("repeat", "nunique")
    )
    table = table.merge(gaps, on=KEYS).merge(sizes, on=KEYS)
    depth = {site: number for number, site in enumerate(points["site"].unique())}
    table["depth"] = table["site"].map(depth)
    table["beyond"] = table["of"] == DATASET
    return table.sort_values(["depth", "beyond", "images", "groups"], kind="stable", ignore_index=True)[COLUMNS]


def _trained_on_all(predictions: pd.DataFrame, group_of: pd.Series) -> pd.DataFrame:
    """The study's predictions with the numbers of training groups and images of their fold."""
    cell = predictions[["repeat", "fold", "image_id"]].drop_duplicates()
    tested = cell.assign(group=cell["image_id"].map(group_of)).groupby(["repeat", "fold"])
    sizes = pd.DataFrame(
        {"groups": group_of.nunique() - tested["group"].nunique(), "images": len(group_of) - tested.size()}
    )
    return predictions.merge(sizes.reset_index(), on=["repeat", "fold"])


def learning_findings(table: pd.DataFrame, best: str | None, position: str | None) -> dict[str, Metric]:
    """`second_half_of_photos` with its interval: all training groups less half of them, at the layer that is quoted."""
    of_sample = (table["of"] == SAMPLE) & (table["trained_on"] == HALF)
    row = table[of_sample & (table["site"] == best) & (table["position"] == position)]
    if row.empty:
        return {}
    gap, low, high = (float(row[name].iloc[0]) for name in ("difference", "difference_low", "difference_high"))
    return {"second_half": -gap, "second_half_low": -high, "second_half_high": -low}
