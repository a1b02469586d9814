"""Where a probe reads the sign best: one rule for every stage that speaks of the peak."""

from typing import NamedTuple

import pandas as pd


class Peak(NamedTuple):
    """The best layer of a sweep."""

    site: str  # layer_16
    position: str  # prompt_last
    accuracy: float  # share of the held-out images that were read right, over all folds and repeats


def peak_layer(predictions: pd.DataFrame, protocol: str, position: str | None = None) -> Peak | None:
    """The layer of highest accuracy under `protocol`, at `position` or, where that is None, at any.

    `predictions` is the table `data/predictions.parquet`. Of equal layers the first in depth wins. None if
    the sweep holds no layer under that protocol at that position.
    """
    chosen = predictions[(predictions["protocol"] == protocol) & predictions["site"].str.startswith("layer_")]
    if position is not None:
        chosen = chosen[chosen["position"] == position]
    if chosen.empty:
        return None
    right = chosen["label"] == chosen["predicted"]
    accuracy = right.groupby([chosen["site"], chosen["position"]]).mean().sort_index()
    site, position = accuracy.idxmax()
    return Peak(site, position, float(accuracy.max()))
