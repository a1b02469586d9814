"""What the probes read where there should be nothing to find, beside what they read from the model."""

import numpy as np
import pandas as pd

from signbridge.probing.curves import BEST, Curves
from signbridge.probing.statistics import permutation_p_value

SHUFFLED = "shuffled_labels"
COLUMNS = [
    "control",
    "site",
    "depth",
    "position",
    "accuracy",
    "low",
    "high",
    "selectivity",
    "selectivity_low",
    "selectivity_high",
    "p_value",
]


def controls_table(curves: Curves, shuffled: pd.DataFrame) -> pd.DataFrame:
    """One row a control, site and position under `grouped`, in the columns of `COLUMNS`.

    `shuffled` has the accuracy of every draw of shuffled labels: site, position, draw, accuracy. Selectivity is the
    accuracy of the model less that of the control (Hewitt and Liang 2019); its interval is over photos, and that of the
    shuffled labels themselves over draws. `p_value` is the permutation test's, and only theirs.
    """
    model = curves.model[curves.model["protocol"] == "grouped"]
    tables = [_read_controls(curves, model), _shuffled(curves, model, shuffled)]
    return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)[COLUMNS]


def _read_controls(curves: Curves, model: pd.DataFrame) -> pd.DataFrame:
    """The controls that were read through the model: untrained twin, no image, another letter's image."""
    table = curves.table
    controls = table[(table["series"] != "model") & (table["site"] != BEST)]
    model_column = pd.Series(model.index, index=pd.MultiIndex.from_frame(model[["site", "position"]]))
    cells = pd.MultiIndex.from_frame(controls[["site", "position"]])
    difference = curves.compare(model_column.reindex(cells).to_numpy(dtype=int), controls.index.to_numpy())
    return controls.rename(columns={"series": "control"}).assign(
        selectivity=difference.difference,
        selectivity_low=difference.low,
        selectivity_high=difference.high,
        p_value=np.nan,
    )


def _shuffled(curves: Curves, model: pd.DataFrame, shuffled: pd.DataFrame) -> pd.DataFrame:
    of_cell = dict(list(shuffled.groupby(["site", "position"], sort=False)["accuracy"]))
    tail = (1 - curves.confidence) / 2
    rows = []
    for row in model.itertuples():
        if (row.site, row.position) not in of_cell:
            continue
        draws = of_cell[row.site, row.position].to_numpy()
        mean = draws.mean()
        low, high = np.quantile(draws, [tail, 1 - tail])
        rows.append(
            {
                "control": SHUFFLED,
                "site": row.site,
                "depth": row.depth,
                "position": row.position,
                "accuracy": mean,
                "low": low,
                "high": high,
                "selectivity": row.accuracy - mean,
                "selectivity_low": row.low - mean,
                "selectivity_high": row.high - mean,
                "p_value": permutation_p_value(row.accuracy, draws),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)
