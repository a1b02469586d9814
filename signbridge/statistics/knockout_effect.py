"""What attention knockout takes of the answer: the share of its probability that is lost, span by span of blocks.

The loss is the fall of the probability of the model's own answer over that probability, as in Geva et al. 2023: 0 where
nothing is lost, 1 where all is. It is the sum of the falls over the sum of the probabilities. The null cuts as many
other keys, drawn at random; its draws are resampled with the photos.
"""

import numpy as np
import pandas as pd

from signbridge.core.names import EDGES, NAMED, ONWARDS, RANDOM, WINDOW
from signbridge.core.tables import Metric
from signbridge.statistics.effects import Effects, effects, site_interval
from signbridge.statistics.intervals import StatisticsParams

KEYS = ["edges", "keys", "span", "first"]
COLUMNS = [*KEYS, "stop", "tokens", "lost", "lost_low", "lost_high", "changed"]
LEFT = 0.5  # of what a cut in all blocks takes: from the first block on where less is lost, most has been read
HEADLINE = {
    **{
        f"{edges}_{name}": f"knockout_{edges}_{name}"
        for edges in EDGES
        for name in ("lost", "lost_low", "lost_high", "over_random", "over_random_low", "over_random_high")
    },
    "last_to_image_half_layer": "knockout_last_to_image_half_site",
    "last_to_image_half_layer_low": "knockout_last_to_image_half_site_low",
    "last_to_image_half_layer_high": "knockout_last_to_image_half_site_high",
    "last_to_image_window_lost": "knockout_last_to_image_window_lost",
    "images": "knockout_images",
    "sweep": "sweep",
    "model": "model",
}  # by the name of a metric, the finding that it is


def knockout_effects(
    table: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, Metric]]:
    """The curves and the findings, from the table of the stage `knockout`, which has an image a photo.

    The curves have a row of edges, keys and span: first and stop (sites behind its first and last block), tokens (keys
    cut), lost with its interval over photos and draws, and changed, the share of images whose likeliest token is
    another. Findings of each of the edges: `lost` in all blocks, beside the null; `half`, the first block from which on
    a cut takes at most half of that, so that most has been read before it; `window`, the largest loss of any window.
    Where nothing was cut there is no row.
    """
    if table.empty:
        return pd.DataFrame(columns=COLUMNS), {"knockout_images": 0}
    table = table.assign(lost=table["clean"] - table["probability"], changed=~table["same"].astype(bool))
    found = effects(table, KEYS, "image_id", "lost", statistics, generator, weight="clean", nulls="keys")
    of_cut = table.groupby(KEYS, sort=False).agg(
        stop=("stop", "first"), tokens=("tokens", "first"), changed=("changed", "mean")
    )
    curves = found.table("lost", statistics.confidence).merge(of_cut.reset_index(), on=KEYS)
    findings: dict[str, Metric] = {"knockout_images": int(table["image_id"].nunique())}
    for edges in curves["edges"].unique():
        of_edges = _of_edges(found, edges, statistics.confidence)
        findings |= {f"knockout_{edges}_{name}": value for name, value in of_edges.items()}
    return curves[COLUMNS], findings


def knockout_plot(curves: pd.DataFrame) -> pd.DataFrame:
    """What `dvc plots` draws: layer (a number, the first that is cut), edges, lost, low, high; from there on."""
    rows = curves[(curves["span"] == ONWARDS) & (curves["keys"] == NAMED)]
    rows = rows.assign(layer=rows["first"].str.removeprefix("layer_").astype(int))
    return rows.rename(columns={"lost_low": "low", "lost_high": "high"})[["layer", "edges", "lost", "low", "high"]]


def _of_edges(found: Effects, edges: str, confidence: float) -> dict[str, Metric]:
    """What is lost in all blocks, over the null; from which block on at most half of it; the largest of any window."""
    keys = found.keys[found.keys["edges"] == edges]
    onwards = keys[(keys["span"] == ONWARDS) & (keys["keys"] == NAMED)]
    in_all = onwards.index[0]
    metrics: dict[str, Metric] = found.metrics("lost", in_all, confidence)
    metrics |= found.over("keys", RANDOM).metrics("over_random", in_all, confidence)
    sites = list(onwards["first"])
    low, high = site_interval(_half(found.resampled[:, onwards.index]), sites, confidence)
    half = int(_half(found.overall[None, onwards.index])[0])
    metrics |= {"half_site": sites[half], "half_site_low": low, "half_site_high": high}
    windows = keys[(keys["span"] == WINDOW) & (keys["keys"] == NAMED)].index
    most = windows[int(found.overall[windows].argmax())]
    return metrics | {"window_lost": float(found.overall[most]), "window_site": found.keys["first"][most]}


def _half(lost: np.ndarray) -> np.ndarray:
    """The place of the first block from which on at most `LEFT` of what is lost in all blocks is, to the last one."""
    more = lost > LEFT * lost[:, :1].clip(min=0)
    last_more = lost.shape[1] - 1 - more[:, ::-1].argmax(axis=1)
    return np.where(more.any(axis=1), np.minimum(last_more + 1, lost.shape[1] - 1), 0)
