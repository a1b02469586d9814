"""Means and ratios of causal effects, with intervals over photos: clusters are resampled whole, all curves alike."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from signbridge.statistics.intervals import (
    StatisticsParams,
    at_the_edges,
    draw_photos,
    interval,
)


class Effects(NamedTuple):
    """Curves over resampled clusters."""

    keys: pd.DataFrame  # a row a curve
    sums: Float[np.ndarray, "clusters curves"]
    weights: Float[np.ndarray, "clusters curves"]  # what the sums are divided by: counts, or gaps
    drawn: Int[np.ndarray, "resamples clusters"]

    @property
    def overall(self) -> Float[np.ndarray, "curves"]:
        """The value of each curve."""
        return _ratio(self.sums.sum(axis=0), self.weights.sum(axis=0))

    @property
    def resampled(self) -> Float[np.ndarray, "resamples curves"]:
        """The value of each curve in each resample; that over all clusters where a resample holds nothing of it."""
        drawn = self.drawn.astype(np.float64)
        values = _ratio(drawn @ self.sums, drawn @ self.weights)
        return np.where(np.isnan(values), self.overall, values)

    def table(self, name: str, confidence: float, share: bool = False) -> pd.DataFrame:
        """A row a curve: its keys, `name`, `name_low` and `name_high`; a `share` of 0 or 1 has Wilson's interval."""
        low, high = interval(self.resampled, confidence)
        if share:
            low, high = at_the_edges(low, high, self.sums, self.weights, confidence)
        return self.keys.assign(**{name: self.overall, f"{name}_low": low, f"{name}_high": high})


def effects(
    table: pd.DataFrame,
    keys: Sequence[str],
    cluster: str,
    value: str,
    statistics: StatisticsParams,
    generator: np.random.Generator,
    weight: str | None = None,
) -> Effects:
    """The mean of the column `value` for each combination of `keys`, in order of appearance.

    With `weight` it is the sum of `value` over the sum of `weight`. All rows of a `cluster` are resampled together.
    """
    curve = table.groupby(list(keys), sort=False).ngroup().to_numpy()
    where = table[cluster].astype("category").cat.codes.to_numpy()
    shape = where.max() + 1, curve.max() + 1
    sums, weights = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (where, curve), table[value].to_numpy(dtype=np.float64))
    np.add.at(weights, (where, curve), 1.0 if weight is None else table[weight].to_numpy(dtype=np.float64))
    there = table[list(keys)].drop_duplicates().reset_index(drop=True)
    return Effects(there, sums, weights, draw_photos(shape[0], statistics.resamples, generator))


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
