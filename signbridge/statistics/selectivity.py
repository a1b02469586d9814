"""Selectivity: what a probe of the notebook's split reads beyond what it can remember (Hewitt and Liang 2019)."""

import numpy as np
import pandas as pd

from signbridge.core.tables import Metric
from signbridge.statistics.effects import effects
from signbridge.statistics.intervals import StatisticsParams

CONTROL_TASK = "control_task"
COLUMNS = ["site", "position", "accuracy", CONTROL_TASK, "selectivity", "selectivity_low", "selectivity_high"]
PLACES = {"pixels": "flat", "vision": "image_mean"}  # that findings name, beside the peak


def selectivity_table(
    predictions: pd.DataFrame,
    control_task: pd.DataFrame,
    group_of: pd.Series,
    statistics: StatisticsParams,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """A row a site and position of the protocol `signbridge`, in order of depth (`COLUMNS`).

    `accuracy` is that of the letters, `control_task` that of one random letter a photo on the same tested images, mean
    over draws. The interval of `selectivity`, their difference, is over groups and draws. `control_task` is the table
    of `score_control_task`; without rows of it the table is empty.
    """
    if control_task.empty:
        return pd.DataFrame(columns=COLUMNS)
    model = predictions[predictions["protocol"] == "signbridge"]
    model = model.assign(right=model["label"] == model["predicted"], draw=0, series="model")
    rows = pd.concat([model, control_task.assign(series=CONTROL_TASK)], ignore_index=True)
    rows = rows[rows["site"].isin(set(control_task["site"]))]
    rows = rows.assign(group=rows["image_id"].map(group_of))
    keys = ["site", "position", "series"]
    found = effects(rows, keys, "group", "right", statistics, generator, nulls="series")
    shares = found.keys.assign(share=found.overall).pivot_table("share", ["site", "position"], "series")
    gaps = found.over("series", CONTROL_TASK).table("selectivity", statistics.confidence)
    gaps = gaps[gaps["series"] == "model"].drop(columns="series")
    shares = shares.rename(columns={"model": "accuracy"}).reset_index()
    return gaps.merge(shares, on=["site", "position"])[COLUMNS]


def selectivity_findings(table: pd.DataFrame, prefix: str) -> dict[str, Metric]:
    """Of pixels, tower and the layer whose accuracy is highest: the control task's accuracy and the selectivity.

    `prefix` begins the names of the findings under the notebook's split.
    """
    rows = {name: table[(table["site"] == name) & (table["position"] == position)] for name, position in PLACES.items()}
    layers = table[table["site"].str.startswith("layer_")]
    if len(layers):
        rows["peak"] = layers.loc[[layers["accuracy"].idxmax()]]
    return {
        f"{prefix}{name}_{column}": float(row[column].iloc[0])
        for name, row in rows.items()
        if len(row)
        for column in COLUMNS[3:]
    }
