"""Which frame matters? The share of a gap between two answers that one frame, put into the other clip's run, moves."""

import numpy as np
import pandas as pd

from signbridge.core.names import ALL_FRAMES
from signbridge.core.tables import Metric
from signbridge.statistics.effects import effects
from signbridge.statistics.intervals import StatisticsParams

FRAMES = ["site", "frame", "moved", "low", "high", "says_donor", "noise", "pairs"]


def frame_table(
    patched: pd.DataFrame, signer_of: pd.Series, statistics: StatisticsParams, generator: np.random.Generator
) -> pd.DataFrame:
    """A row a site and frame (`ALL_FRAMES`: all of them at once), in order: the columns `FRAMES`; none without pairs.

    `patched` is what `causal.patching.as_table` makes of clips, with `frame`; `signer_of` is by clip. `moved` is the
    sum of what moved over the sum of the gaps, `noise` that of a frame put into its own run. Intervals resample
    signers, and the pairs of each.
    """
    if patched.empty:
        return pd.DataFrame(columns=FRAMES)
    rows = patched.assign(signer=patched["receiver"].map(signer_of), says=patched["says_donor"].astype(float))
    keys, clusters = ["site", "frame"], ["signer", "pair"]
    found = effects(rows, keys, clusters, "moved", statistics, generator, weight="gap")
    table = found.table("moved", statistics.confidence).rename(columns={"moved_low": "low", "moved_high": "high"})
    by_cell = rows.groupby(keys, sort=False)
    noise = by_cell["moved_by_itself"].sum().abs() / by_cell["gap"].sum()
    cells = pd.MultiIndex.from_frame(table[keys])
    return table.assign(
        says_donor=by_cell["says"].mean().reindex(cells).to_numpy(), noise=noise.reindex(cells).to_numpy(),
        pairs=rows["pair"].nunique(),
    )[FRAMES]  # fmt: skip


def frame_findings(table: pd.DataFrame, tried: int) -> dict[str, Metric]:
    """The frame that moves most at the first site, and how many pairs were tried and had two answers."""
    found: dict[str, Metric] = {"pairs_tried": tried, "pairs_patched": int(table["pairs"].max()) if len(table) else 0}
    single = table[table["frame"] != ALL_FRAMES]
    if len(single):
        first = single[single["site"] == single["site"].iloc[0]]
        most = first.loc[first["moved"].idxmax()]
        found |= {"most_moving_frame": int(most["frame"]), "most_moving_frame_moves": float(most["moved"])}
        found |= {"patched_at": str(most["site"])}
    return found
