"""Where the answer is taken over by the last token, before and after tuning: patching on the same pairs of photos.

The site quoted is the first from which on patching the last token moves half of the answer or more, to the end. Before
and after share the resamples of pairs, so the shift has an interval.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from signbridge.statistics.effects import Effects, effects, site_interval
from signbridge.statistics.intervals import StatisticsParams, interval

HALF = 0.5  # of what patching can move
CURVES = ["run", "site", "position", "effect", "effect_low", "effect_high", "says_donor"]
SITES = ["run", "pairs", "site", "site_low", "site_high", "shift", "shift_low", "shift_high"]


def taken_over(
    patched: Mapping[str, pd.DataFrame], statistics: StatisticsParams, generator: np.random.Generator
) -> dict[str, pd.DataFrame]:
    """The tables `patching` (the curves) and `taken_over` (a row a run), from the tables of the stage `patch`, by run.

    `base` comes first: `shift` is in blocks against it, positive where the site lies deeper. Only pairs that tell a
    donor from a receiver in every run are compared. Without such pairs the tables have no row.
    """
    shared = set.intersection(*(set(table["pair"]) for table in patched.values())) if patched else set()
    parts = [table[table["pair"].isin(shared)].assign(run=run) for run, table in patched.items()]
    if not shared:
        return {"patching": pd.DataFrame(columns=CURVES), "taken_over": pd.DataFrame(columns=SITES)}
    table = pd.concat(parts, ignore_index=True)
    keys = ["run", "site", "position"]
    found = effects(table, keys, "pair", "moved", statistics, generator, weight="gap")
    says = table.groupby(keys, sort=False)["says_donor"].mean().to_numpy()
    sites = list(table["site"].unique())
    rows, places = [], {}
    for run in patched:
        places[run] = [_half(found, values, run, sites) for values in (found.overall[None], found.resampled)]
        [overall], drawn = places[run]
        [base], base_drawn = places[next(iter(patched))]
        low, high = interval((drawn - base_drawn)[:, None].astype(float), statistics.confidence)
        between = site_interval(drawn, sites, statistics.confidence)
        rows.append((run, len(shared), sites[overall], *between, int(overall - base), float(low[0]), float(high[0])))
    curves = found.table("effect", statistics.confidence).assign(says_donor=says)[CURVES]
    return {"patching": curves, "taken_over": pd.DataFrame(rows, columns=SITES)}


def _half(found: Effects, values: np.ndarray, run: str, sites: Sequence[str]) -> np.ndarray:
    """The place of that site in each row of `values`. It always holds at the last site."""
    of_run = (found.keys["run"] == run) & (found.keys["position"] == "prompt_last")
    reached = values[:, of_run.to_numpy()] >= HALF
    reached[:, -1] = True
    return np.logical_and.accumulate(reached[:, ::-1], axis=1)[:, ::-1].argmax(axis=1) + len(sites) - reached.shape[1]
