"""What minimal pairs say: does the text follow the finger, is it read from the stream, and where is it carried?

All intervals are over photos: the pairs of a photo share all but a finger.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from signbridge.core.names import NAMED, RANDOM
from signbridge.core.tables import Metric
from signbridge.statistics.effects import effects
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.patching_effect import COLUMNS as PATCHED_COLUMNS
from signbridge.statistics.patching_effect import patching_effects

PLACE = ["site", "position"]
READ_COLUMNS = [*PLACE, "fitted_on", "accuracy", "accuracy_low", "accuracy_high"]
STEERED_COLUMNS = ["site", "strength"]
STEERED_COLUMNS += [f"{name}{end}" for name in ("own", "other", "over_other") for end in ("", "_low", "_high")]
QUOTED = {
    "pixels": ("pixels", "flat"),
    "vision": ("vision", "image_mean"),
    "image_tokens": ("last", "image_tokens"),
    "prompt_last": ("last", "prompt_last"),
}  # by the name of a finding, where the finger is read
HEADLINE = {
    **{name: f"minimal_{name}" for name in ("photos", "patched_pairs")},
    **{name: f"minimal_{name}" for name in ("changed", "changed_low", "changed_high")},
    **{f"read_{name}{end}": f"minimal_read_{name}{end}" for name in QUOTED for end in ("", "_low", "_high")},
    "read_shuffled": "minimal_read_shuffled",
    "handover_layer": "minimal_handover_site",
    "steered": "minimal_steered",
    "steered_over_other": "minimal_steered_over_other",
    "steered_over_other_low": "minimal_steered_over_other_low",
    "steered_over_other_high": "minimal_steered_over_other_high",
    "sweep": "sweep",
    "model": "model",
}  # by the name of a metric, the finding that it is


class MinimalEffects(NamedTuple):
    """The tables that a page shows."""

    minimal_read: pd.DataFrame
    minimal_patched: pd.DataFrame
    minimal_steered: pd.DataFrame


def minimal_pairs_effects(
    tables: Mapping[str, pd.DataFrame], statistics: StatisticsParams, generator: np.random.Generator
) -> tuple[MinimalEffects, dict[str, Metric]]:
    """What comes of the tables `said`, `read`, `patched` and `steered` of the stage `minimal_pairs`, and the findings.

    minimal_read: a row a place and `fitted_on`, with the share of pairs whose finger is read right. minimal_patched: as
    of `patching_effects`. minimal_steered: a row a site and strength: the share of the gap that the finger's own mean
    difference moves, that another's does, and the difference. Where nothing was drawn all are empty.
    """
    said = tables["said"]
    if said.empty:
        columns = (READ_COLUMNS, PATCHED_COLUMNS, STEERED_COLUMNS)
        return MinimalEffects(*(pd.DataFrame(columns=names) for names in columns)), {"minimal_photos": 0}
    changed = effects(said.assign(all=0), ["all"], "photo", "changed", statistics, generator)
    share = changed.table("changed", statistics.confidence, share=True).iloc[0]
    findings: dict[str, Metric] = {
        "minimal_photos": int(said["photo"].nunique()), "minimal_pairs": len(said),
        "minimal_patched_pairs": int(tables["patched"]["pair"].nunique()),
        **{f"minimal_{name}": float(share[name]) for name in ("changed", "changed_low", "changed_high")},
    }  # fmt: skip
    reads, found_by_reading = _read(tables["read"], statistics, generator)
    by_photo = tables["patched"].assign(pair=tables["patched"]["photo"])
    patched, found = patching_effects(by_photo, statistics, generator)
    names = [f"handover_{name}" for name in ("site", "site_low", "site_high", "prompt_last", "image")]
    findings |= {f"minimal_{name}": found[f"patching_{name}"] for name in names if f"patching_{name}" in found}
    steered, found_by_steering = _steered(tables["steered"], statistics, generator)
    return MinimalEffects(reads, patched, steered), {**findings, **found_by_reading, **found_by_steering}


def _read(
    table: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, Metric]]:
    table = table.assign(right=table["predicted"] == table["finger"])
    curves = effects(table, [*PLACE, "fitted_on"], "photo", "right", statistics, generator, nulls="fitted_on")
    reads = curves.table("accuracy", statistics.confidence)
    last = reads["site"].iloc[-1]
    findings: dict[str, Metric] = {}
    for name, (site, position) in QUOTED.items():
        here = (reads["site"] == (last if site == "last" else site)) & (reads["position"] == position)
        for curve in reads.index[here & (reads["fitted_on"] == NAMED)]:
            findings |= curves.metrics(f"minimal_read_{name}", curve, statistics.confidence)
    findings["minimal_read_shuffled"] = float(reads.loc[reads["fitted_on"] == RANDOM, "accuracy"].max())
    return reads[READ_COLUMNS], findings


def _steered(
    table: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, Metric]]:
    if table.empty:
        return pd.DataFrame(columns=STEERED_COLUMNS), {}
    keys = ["site", "strength", "direction"]
    found = effects(table, keys, "photo", "moved", statistics, generator, weight="gap")
    both = found.table("moved", statistics.confidence)
    over = found.over("direction", "other").table("moved", statistics.confidence)
    own = (both["direction"] == "own").to_numpy()
    parts = {"own": both[own], "other": both[~own], "over_other": over[own]}
    steered = parts["own"][["site", "strength"]].reset_index(drop=True)
    for name, part in parts.items():
        for end in ("", "_low", "_high"):
            steered[f"{name}{end}"] = part[f"moved{end}"].to_numpy()
    first = steered.iloc[0]
    over_other = ("over_other", "over_other_low", "over_other_high")
    return steered[STEERED_COLUMNS], {
        "minimal_steered": float(first["own"]), "minimal_steered_site": first["site"],
        "minimal_steered_strength": float(first["strength"]),
        **{f"minimal_steered_{name}": float(first[name]) for name in over_other},
    }  # fmt: skip
