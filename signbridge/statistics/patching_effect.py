"""What patching moves: the share of the logit gap that another image's stream carries, site by site.

The effect is normalised as in Zhang and Nanda 2023: 0 where the patched run is the receiver's own, 1 where it is the
donor's. It is the sum of what was moved over the sum of the gaps, so that a pair whose logits hardly differ cannot
outweigh the others. The noise is the same share of what patching an image into itself moves, whichever way: an effect
no larger is rounding.
"""

import numpy as np
import pandas as pd

from signbridge.core.tables import Metric
from signbridge.statistics.effects import Effects, effects, site_interval
from signbridge.statistics.intervals import StatisticsParams

COLUMNS = ["site", "depth", "position", "effect", "effect_low", "effect_high", "says_donor", "noise"]
PLOTTED = ("prompt_last", "image")  # with all tokens the effect is 1 everywhere
HEADLINE = {
    "handover_layer": "patching_handover_site",
    "handover_layer_low": "patching_handover_site_low",
    "handover_layer_high": "patching_handover_site_high",
    "handover_prompt_last": "patching_handover_prompt_last",
    "handover_image": "patching_handover_image",
    "largest_step": "patching_largest_step",
    "largest_step_layer": "patching_largest_step_site",
    "largest_step_layer_low": "patching_largest_step_site_low",
    "largest_step_layer_high": "patching_largest_step_site_high",
    "noise": "patching_noise",
    "pairs": "patching_pairs",
    "question": "patching_question",
    "sweep": "sweep",
    "model": "model",
}  # by the name of a metric, the finding that it is


def patching_effects(
    table: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, Metric]]:
    """The curves and the findings, from the table of the stage `patch`.

    The curves have a row a site and position: site, depth, position, effect with its interval over pairs of photos, and
    the share of runs whose likeliest token became the donor's, and the noise. `patching_noise` is the largest of any
    site and position. Where nothing was patched there is no row.
    """
    if table.empty:
        return pd.DataFrame(columns=COLUMNS), {"patching_pairs": 0}
    found = effects(table, ["site", "position"], "pair", "moved", statistics, generator, weight="gap")
    curves = found.table("effect", statistics.confidence)
    says = table.groupby(["site", "position"], sort=False)["says_donor"].mean().to_numpy()
    cells = table.assign(noise=table["moved_by_itself"].abs()).groupby(["site", "position"], sort=False)
    noise = (cells["noise"].sum() / cells["gap"].sum()).to_numpy()
    sites = list(curves["site"].unique())
    curves.insert(1, "depth", curves["site"].map(sites.index))
    findings: dict[str, Metric] = {
        "patching_pairs": int(table["pair"].nunique()),
        "patching_noise": float(noise.max()),
        **_handover(found, sites, statistics.confidence),
        **_largest_step(found, sites, statistics.confidence),
    }
    return curves.assign(says_donor=says, noise=noise)[COLUMNS], findings


def patching_plot(curves: pd.DataFrame) -> pd.DataFrame:
    """What `dvc plots` draws of the table of `patching_effects`: layer (a number), position, effect, low, high."""
    rows = curves[curves["site"].str.startswith("layer_") & curves["position"].isin(PLOTTED)]
    rows = rows.assign(layer=rows["site"].str.removeprefix("layer_").astype(int))
    rows = rows.rename(columns={"effect_low": "low", "effect_high": "high"})
    return rows[["layer", "position", "effect", "low", "high"]]


def _handover(found: Effects, sites: list[str], confidence: float) -> dict[str, Metric]:
    """The first site from which on the last token carries more of the answer than the image tokens do, to the end."""
    resampled, [overall] = (_taken_over(found, values) for values in (found.resampled, found.overall[None]))
    low, high = site_interval(resampled, sites, confidence)
    at = {position: _curves(found, found.overall[None], position)[0, overall] for position in ("prompt_last", "image")}
    return {
        "patching_handover_site": sites[overall],
        "patching_handover_site_low": low,
        "patching_handover_site_high": high,
        "patching_handover_prompt_last": float(at["prompt_last"]),
        "patching_handover_image": float(at["image"]),
    }


def _taken_over(found: Effects, values: np.ndarray) -> np.ndarray:
    """The place of that site. It always holds at the last site, where only the last token is read."""
    above = _curves(found, values, "prompt_last") > _curves(found, values, "image")
    above[:, -1] = True
    to_the_end = np.logical_and.accumulate(above[:, ::-1], axis=1)[:, ::-1]
    return to_the_end.argmax(axis=1)


def _largest_step(found: Effects, sites: list[str], confidence: float) -> dict[str, Metric]:
    """The block that adds most to what the last token carries of the answer."""
    steps = np.diff(_curves(found, found.resampled, "prompt_last"), axis=1)
    overall = np.diff(_curves(found, found.overall[None], "prompt_last"), axis=1)[0]
    low, high = site_interval(1 + steps.argmax(axis=1), sites, confidence)
    return {
        "patching_largest_step": float(overall.max()),
        "patching_largest_step_site": sites[1 + int(overall.argmax())],
        "patching_largest_step_site_low": low,
        "patching_largest_step_site_high": high,
    }


def _curves(found: Effects, values: np.ndarray, position: str) -> np.ndarray:
    """The columns of one position, in order of depth."""
    return values[:, (found.keys["position"] == position).to_numpy()]
