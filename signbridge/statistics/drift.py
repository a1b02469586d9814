"""How far vectors, and effects of patching, lie apart of one model that was read twice.

In several kinds of weights, such as NF4 and 16 bits, or before and after it was tuned.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from signbridge.statistics.alignment import cka_with_interval, linear_cka
from signbridge.statistics.effects import effects
from signbridge.statistics.intervals import StatisticsParams, interval, resampled_accuracy

COLUMNS = ["reference", "model", "site", "position", "relative_error", "cosine", "cka", "same_answer"]
CELL = ["site", "position"]
PATCHING_COLUMNS = ["reference", "model", *CELL, "effect_reference", "effect", "difference", "low", "high", "pairs"]
MOVED = ["run", *CELL, "relative_error", "cosine", "cosine_low", "cosine_high", "cka", "cka_low", "cka_high"]
# What tells one model from another, whatever its weights are packed in and whatever is computed in.
_ONE_MODEL = ("source", "hub_id", "revision", "path", "seed", "family", "untrained", "prompt")
_BITS = {"float32": 32, "bfloat16": 16, "float16": 16}


class Drift(NamedTuple):
    """Of one site and position."""

    relative_error: float  # the norm of the difference of all vectors, over that of the reference
    cosine: float  # of each vector and its reference, averaged over images
    cka: float  # linear, unbiased (Kornblith et al. 2019); NaN where the vectors of all images are alike


def drift(exact: Float[np.ndarray, "images width"], drifted: Float[np.ndarray, "images width"]) -> Drift:
    """What became of the vectors `exact` of the same images, in order, in other weights."""
    exact, drifted = exact.astype(np.float64), drifted.astype(np.float64)
    norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(drifted, axis=1)
    cosine = (exact * drifted).sum(axis=1) / np.where(norms > 0, norms, 1)
    error = np.linalg.norm(exact - drifted) / max(np.linalg.norm(exact), np.finfo(float).tiny)
    return Drift(float(error), float(cosine.mean()), linear_cka(exact, drifted))


def patching_drift(exact: pd.DataFrame, drifted: pd.DataFrame, statistics: StatisticsParams, seed: int) -> pd.DataFrame:
    """What became of the effects of patching in other weights: `PATCHING_COLUMNS` without the two models.

    `exact` and `drifted` are tables of `signbridge.causal.patching` of the same pairs of images. An effect is the share
    of the logit gap that is moved, of the runs that have a gap in both; its difference, with the interval over pairs,
    is that of the other weights less the reference's.
    """
    key = ["pair", "receiver", *CELL]
    both = exact[[*key, "gap", "moved"]].merge(drifted[[*key, "gap", "moved"]], on=key, suffixes=("_exact", ""))
    if both.empty:
        return pd.DataFrame(columns=PATCHING_COLUMNS[2:])
    before, after = (
        effects(both, CELL, "pair", f"moved{of}", statistics, np.random.default_rng(seed), weight=f"gap{of}")
        for of in ("_exact", "")
    )
    low, high = interval(after.resampled - before.resampled, statistics.confidence)
    return before.keys.assign(
        effect_reference=before.overall, effect=after.overall, difference=after.overall - before.overall, low=low,
        high=high, pairs=both["pair"].nunique(),
    )  # fmt: skip


def moved(
    before: Float[np.ndarray, "images width"],
    after: Float[np.ndarray, "images width"],
    group: Int[np.ndarray, "images"],
    drawn: Int[np.ndarray, "resamples groups"],
    confidence: float,
) -> tuple[float, ...]:
    """`drift` of the vectors of the same images, with intervals over groups: the columns of `MOVED` from the error on.

    The cosine's interval is over the resamples `drawn` of groups, that of CKA leaves them out in turn. Vectors that did
    not move have none.
    """
    found = drift(before, after)
    if np.array_equal(before, after):
        return found.relative_error, *[1.0] * 3, *[found.cka] * 3
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    cosine = (before.astype(np.float64) * after).sum(axis=1) / np.where(norms > 0, norms, 1)
    sums, counts = np.bincount(group, cosine)[:, None], np.bincount(group).astype(float)[:, None]
    low, high = interval(resampled_accuracy(drawn, sums, counts), confidence)
    cka = cka_with_interval(before.astype(np.float64), after.astype(np.float64), group, confidence)
    return found.relative_error, found.cosine, float(low[0]), float(high[0]), *cka


def in_kinds_of_weights(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Models that were read in several kinds of weights: the entry of most bits, and those that are compared with it.

    `entries` are those of the catalog, by name. Of equal bits the first is the reference.
    """
    alike: dict[tuple, list[str]] = {}
    for name, entry in entries.items():
        alike.setdefault(tuple(entry.get(key) for key in _ONE_MODEL), []).append(name)
    found = {}
    for names in alike.values():
        first = max(names, key=lambda name: _bits(entries[name]))
        if others := [name for name in names if name != first]:
            found[first] = others
    return found


def _bits(entry: Mapping[str, Any]) -> float:
    if entry["quantization"] == "nf4":
        return 4 + (entry["quantize"] == "decoder")
    return _BITS[entry["dtype"]]
