"""How long is the code of the letters at each site, how sure is that, and does it grow with depth?

What was drawn is drawn anew: the groups (photos, clips or signers), and the orders of sending. Both are resampled at
once, each on its own (Owen 2007, "The pigeonhole bootstrap"). Sites share the resamples, so that two can be compared.
The probes are not fitted anew, and each order keeps its penalty.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from signbridge.statistics.intervals import StatisticsParams, compare, draw_groups, interval

COLUMNS = ["site", "depth", "position", "bits", "low", "high", "uniform_bits", "compression", "orders", "at_edge"]


class CodeLengths(NamedTuple):
    """One row of the table and one column of the resamples a site and position."""

    table: pd.DataFrame  # the columns `COLUMNS`; `at_edge` counts the orders whose C is an end of the list
    resampled: Float[np.ndarray, "resamples cells"]  # bits
    confidence: float

    def growth(self, position: str) -> dict[str, float | str]:
        """By how many bits the code of the last layer is longer than that of the first, with its interval.

        Both are named before anything is measured: that of the shortest of many codes would be too short. Empty with
        fewer than two layers.
        """
        layers = self.table[self.table["site"].str.startswith("layer_") & (self.table["position"] == position)]
        if len(layers) < 2:
            return {}
        last, first = layers.index[[-1]].to_numpy(), layers.index[[0]].to_numpy()
        bits = self.table["bits"].to_numpy()
        longer = compare(self.resampled, bits, last, first, self.confidence)
        return {
            "code_first_layer_bits": float(bits[first[0]]),
            "code_last_layer_bits": float(bits[last[0]]),
            "code_growth_bits": float(longer.difference[0]),
            "code_growth_low": float(longer.low[0]),
            "code_growth_high": float(longer.high[0]),
        }


def code_lengths(
    codes: pd.DataFrame,
    sample: pd.DataFrame,
    depths: dict[str, int],
    params: StatisticsParams,
    generator: np.random.Generator,
) -> CodeLengths:
    """The mean code of `codes` (data/description_length.parquet) over its orders, in bits for all images of `sample`.

    `depths` are those of the sites. `uniform_bits` is what the letters cost without vectors, log2(letters) an image.
    """
    keys = pd.MultiIndex.from_frame(codes[["site", "position"]])
    of_cell, cells = keys.factorize()
    group, groups = pd.factorize(sample["group"])
    images = np.bincount(group, minlength=len(groups))
    group_of = pd.Series(group, index=sample["image_id"])
    orders = int(codes["order"].max()) + 1 if len(codes) else 0
    bits = np.zeros((orders, len(cells), len(groups)))
    where = codes["order"].to_numpy(dtype=int), of_cell, group_of.loc[codes["image_id"]].to_numpy()
    np.add.at(bits, where, codes["bits"].to_numpy(dtype=float))

    drawn = draw_groups(len(groups), params.resamples, generator)
    resampled = np.zeros((params.resamples, len(cells)))
    if orders:
        times = generator.multinomial(orders, np.full(orders, 1 / orders), size=params.resamples) / orders
        for of_order, weight in zip(bits, times.T, strict=True):
            resampled += weight[:, None] * (drawn @ of_order.T)
        resampled *= len(sample) / (drawn @ images)[:, None]
    table = pd.DataFrame(list(cells), columns=["site", "position"])
    table["depth"] = table["site"].map(depths).astype(int)
    table["bits"] = bits.sum(axis=2).mean(axis=0) if orders else np.zeros(0)
    table["low"], table["high"] = interval(resampled, params.confidence)
    table["uniform_bits"] = len(sample) * np.log2(sample["label"].nunique())
    table["compression"] = table["uniform_bits"] / table["bits"]
    table["orders"] = orders
    chosen = codes.drop_duplicates(["site", "position", "order"])
    table["at_edge"] = chosen.groupby(["site", "position"], sort=False)["at_edge"].sum().to_numpy(dtype=int)
    return CodeLengths(table[COLUMNS], resampled, params.confidence)
