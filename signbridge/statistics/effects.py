"""Means and ratios of causal effects, with intervals over what was drawn; all curves share the resamples.

Clusters are resampled whole (Davison and Hinkley 1997, section 3.8). Where what was drawn is nested (images within
pairs of classes) each level is resampled within the one above. Where a null was drawn several times, its draws are
resampled too, crossed with the clusters (Owen 2007, "The pigeonhole bootstrap"): images that share three directions and
three draws say less than as many independent ones.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from signbridge.statistics.intervals import (
    StatisticsParams,
    at_the_edges,
    draw_groups,
    draw_nested,
    interval,
)

DRAW = "draw"  # the column that numbers the draws of a null


class Effects(NamedTuple):
    """Curves over resampled clusters."""

    keys: pd.DataFrame  # a row a curve
    overall: Float[np.ndarray, "curves"]  # the value of each curve
    # in each resample; that over all clusters where a resample holds nothing of it
    resampled: Float[np.ndarray, "resamples curves"]
    drawn: Int[np.ndarray, "resamples clusters"]
    sums: Float[np.ndarray, "outermost curves"]  # of the values, by outermost cluster
    weights: Float[np.ndarray, "outermost curves"]  # what the sums are divided by: counts, or gaps

    def table(self, name: str, confidence: float, share: bool = False) -> pd.DataFrame:
        """A row a curve: its keys, `name`, `name_low` and `name_high`; a `share` of 0 or 1 has Wilson's interval."""
        low, high = interval(self.resampled, confidence)
        if share:
            low, high = at_the_edges(low, high, self.sums, self.weights, confidence)
        return self.keys.assign(**{name: self.overall, f"{name}_low": low, f"{name}_high": high})

    def over(self, column: str, null: str) -> "Effects":
        """Every curve less the one whose key `column` is `null` and whose other keys are the same.

        Differences are no shares: `table` takes `share` of the curves themselves alone.
        """
        others = [name for name in self.keys if name != column]
        same = self.keys.groupby(others, sort=False).ngroup() if others else pd.Series(0, self.keys.index)
        of_null = pd.Series(self.keys.index, same)[(self.keys[column] == null).to_numpy()]
        columns = same.map(of_null).to_numpy(dtype=int)
        return self._replace(
            overall=self.overall - self.overall[columns], resampled=self.resampled - self.resampled[:, columns]
        )

    def beyond(self, curve: int) -> "Effects":
        """What the curve of that number is above each curve, itself too, on the same resamples."""
        return self._replace(
            overall=self.overall[curve] - self.overall, resampled=self.resampled[:, [curve]] - self.resampled
        )

    def metrics(self, name: str, curve: int, confidence: float) -> dict[str, float]:
        """One curve as metrics: `name`, `name_low` and `name_high`."""
        low, high = interval(self.resampled[:, [curve]], confidence)
        return {name: float(self.overall[curve]), f"{name}_low": float(low[0]), f"{name}_high": float(high[0])}


def effects(
    table: pd.DataFrame,
    keys: Sequence[str],
    cluster: str | Sequence[str],
    value: str,
    statistics: StatisticsParams,
    generator: np.random.Generator,
    weight: str | None = None,
    nulls: str | None = None,
) -> Effects:
    """The mean of the column `value` for each combination of `keys`, in order of appearance.

    With `weight` it is the sum of `value` over the sum of `weight`. All rows of a `cluster` are resampled together;
    of several columns the first is the outermost, and each is resampled within the one before. `nulls` names the key
    whose values may have several draws (column `DRAW`): these are resampled too, alike for all clusters and curves.
    """
    levels = [cluster] if isinstance(cluster, str) else list(cluster)
    curve = table.groupby(list(keys), sort=False).ngroup().to_numpy()
    codes = np.stack([table[level].astype("category").cat.codes.to_numpy() for level in levels], axis=1)
    clusters, where = np.unique(codes, axis=0, return_inverse=True)
    where = where.reshape(-1)
    draw = np.zeros(len(table), dtype=int) if nulls is None else table[DRAW].to_numpy()
    there = table[list(keys)].drop_duplicates().reset_index(drop=True)
    shape = draw.max() + 1, len(clusters), len(there)
    sums, weights = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (draw, where, curve), table[value].to_numpy(dtype=np.float64))
    np.add.at(weights, (draw, where, curve), 1.0 if weight is None else table[weight].to_numpy(dtype=np.float64))
    if len(levels) == 1:
        drawn = draw_groups(len(clusters), statistics.resamples, generator)
    else:
        drawn = draw_nested(clusters, statistics.resamples, generator)
    overall = _ratio(sums.sum(axis=(0, 1)), weights.sum(axis=(0, 1)))
    resampled = np.empty((statistics.resamples, len(there)))
    for columns in _alike(there, nulls):
        resampled[:, columns] = _resampled(sums[:, :, columns], weights[:, :, columns], drawn, generator)
    resampled = np.where(np.isnan(resampled), overall, resampled)
    outermost = np.unique(clusters[:, 0], return_inverse=True)[1][:, None] == np.arange(len(np.unique(clusters[:, 0])))
    by_outermost = (outermost.T.astype(float) @ part.sum(axis=0) for part in (sums, weights))
    return Effects(there, overall, resampled, drawn, *by_outermost)


def _alike(keys: pd.DataFrame, nulls: str | None) -> list[np.ndarray]:
    """The curves whose draws are the same."""
    if nulls is None:
        return [np.arange(len(keys))]
    return [np.flatnonzero(keys[nulls] == null) for null in keys[nulls].unique()]


def _resampled(
    sums: Float[np.ndarray, "draws clusters curves"],
    weights: Float[np.ndarray, "draws clusters curves"],
    drawn: Int[np.ndarray, "resamples clusters"],
    generator: np.random.Generator,
) -> Float[np.ndarray, "resamples curves"]:
    """Curves with the same draws; a single draw is in every resample once."""
    there = np.flatnonzero(weights.any(axis=(1, 2)))
    times = draw_groups(len(there), len(drawn), generator) if len(there) > 1 else np.ones((len(drawn), len(there)))
    shown = drawn.astype(np.float64)
    nothing = np.zeros((len(drawn), sums.shape[2]))
    above, below = (
        sum((times[:, [number]] * (shown @ part[draw]) for number, draw in enumerate(there)), start=nothing)
        for part in (sums, weights)
    )
    return _ratio(above, below)


def mean_metrics(
    name: str,
    of_cluster: Float[np.ndarray, "clusters"],
    drawn: Int[np.ndarray, "resamples clusters"],
    confidence: float,
) -> dict[str, float]:
    """The mean over clusters as metrics: `name`, `name_low` and `name_high`, the interval over what was `drawn`."""
    low, high = interval((drawn @ of_cluster)[:, None] / len(of_cluster), confidence)
    return {name: float(of_cluster.mean()), f"{name}_low": float(low[0]), f"{name}_high": float(high[0])}


def site_interval(places: Int[np.ndarray, "resamples"], sites: Sequence[str], confidence: float) -> tuple[str, str]:
    """The sites between which a place in `sites` lies in `confidence` of the resamples."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(places, [tail, 1 - tail], method="nearest")
    return sites[int(low)], sites[int(high)]


def _ratio(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.divide(sums, weights, out=np.full(np.broadcast(sums, weights).shape, np.nan), where=weights > 0)
