"""Made-up runs of fine-tuning whose truth is known: the gap closes, nothing moves, or a null does as well."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from signbridge.probing.transfer import AFTER, BEFORE
from signbridge.statistics import drift, finetune, taken_over, tuned
from signbridge.statistics.intervals import StatisticsParams

STATISTICS = StatisticsParams(confidence=0.95, resamples=200)
RUNS = ("letters", "early", "middle", "late", "shuffled_labels", "untrained_twin")
LAYERS = [f"layer_{block:02d}" for block in range(4)]
PLACES = {"pixels": "flat", "vision": "image_mean", **dict.fromkeys(LAYERS, "prompt_last"), "answer": "text"}
BASE = {"pixels": 0.4, "vision": 0.8, **dict.fromkeys(LAYERS, 0.8), "answer": 0.4, "named": 0.0, "scored": 0.3}
RISEN = BASE | {"layer_02": 0.9, "layer_03": 1.0, "answer": 0.9, "named": 0.9, "scored": 0.9}
NULL = BASE | dict.fromkeys(LAYERS, 0.7) | {"answer": 0.1, "named": 0.1, "scored": 0.1}
# What each run reads right, by site; all else is as before tuning.
SAMPLE = pd.DataFrame({
    "image_id": [f"i{number}" for number in range(80)], "label": np.repeat(list("ABCD"), 20),
    "photo": [f"{number // 2}" for number in range(80)], "image": [b""] * 80,
})  # fmt: skip
CLOSES = {"base": BASE, **dict.fromkeys(RUNS, RISEN), "early": BASE, "shuffled_labels": NULL, "untrained_twin": NULL}
TRUTHS = {
    "closes": CLOSES,
    "nothing": dict.fromkeys(("base", *RUNS), BASE),
    "null_as_good": CLOSES | {"shuffled_labels": RISEN},
}


def runs(sample: pd.DataFrame, shares: dict[str, dict[str, float]]) -> dict[str, finetune.Run]:
    """Predictions, choices and answers of each run; the first images of each letter are those that are read right."""
    place = sample.groupby("label").cumcount() / sample.groupby("label")["label"].transform("size")
    columns = ["protocol", "site", "position", "repeat", "fold", "C", "inner_accuracy", "at_edge"]
    found = {}
    for run, of_site in shares.items():
        told = {site: sample["label"].where(place < share, "?") for site, share in of_site.items()}
        ids = sample[["image_id", "label"]]
        said = ids.assign(run=run, answer=told["named"], named=told["named"], scored=told["scored"])
        read = pd.concat(
            [
                ids.assign(protocol="grouped", site=site, position=PLACES[site], repeat=0,
                           fold=np.arange(len(sample)) % 2, predicted=told[site])
                for site in PLACES
            ]
        )  # fmt: skip
        chose = [
            ("grouped", site, PLACES[site], 0, fold, 1.0, of_site[site], False)
            for site in PLACES
            for fold in range(2)
            if site != "answer"
        ]
        found[run] = finetune.Run(read, pd.DataFrame(chose, columns=columns), said)
    return found


def transfer(sample: pd.DataFrame, names: tuple[str, ...], share: float) -> pd.DataFrame:
    """Probes of either model read that share of the other's images, of the deepest layer half of it."""
    place = sample.groupby("label").cumcount() / sample.groupby("label")["label"].transform("size")
    parts = []
    for run in names:
        for fitted_on in (BEFORE, AFTER):
            for how in ("as_read", "recentred"):
                for site in LAYERS:
                    right = place < (share / 2 if site == LAYERS[-1] else share)
                    table = sample[["image_id", "label"]].assign(predicted=sample["label"].where(right, "?"))
                    where = {"site": site, "position": "prompt_last", "repeat": 0, "fold": 0}
                    parts.append(table.assign(run=run, fitted_on=fitted_on, how=how, **where))
    return pd.concat(parts, ignore_index=True)


def patched(at: int, pairs: int = 12) -> pd.DataFrame:
    """Patching whose answer is taken over by the last token at block `at`."""
    rows = [
        (pair, site, position, 2.0, 2.0 * moves, float(moves), 0.0)
        for pair in range(pairs)
        for depth, site in enumerate(["embedding", *LAYERS])
        for position, moves in (("prompt_last", depth > at), ("image", depth <= at))
    ]
    return pd.DataFrame(rows, columns=["pair", "site", "position", "gap", "moved", "says_donor", "moved_by_itself"])


@cache
def found(truth: str) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """The tables and the findings of `compare` of one of `TRUTHS`: leave them as they are."""
    shares, sample = TRUTHS[truth], SAMPLE
    at = (1, 1) if truth == "nothing" else (1, 2)  # blocks at which the answer is taken over, before and after
    names = tuple(shares)[1:]
    group_of, random = sample.set_index("image_id")["photo"], np.random.default_rng(0)
    moved = transfer(sample, tuple(name for name in names if name != "untrained_twin"), 0.8)
    tables = finetune.compare_runs(runs(sample, shares), moved, "prompt_last", group_of, STATISTICS, random)
    tables |= {"drift": drifted(names)}
    tables |= taken_over.taken_over({"base": patched(at[0]), "letters": patched(at[1])}, STATISTICS, random)
    hurt = {name: (0.05 if name == "shuffled_labels" else 0.5) for name in names if name != "untrained_twin"}
    described = {run: sample[["image_id"]].assign(damage=damage) for run, damage in hurt.items()}
    tables |= {"damage": tuned.damages(described, group_of, STATISTICS, random)}
    findings = {
        "model": "tiny", "images": len(sample), "photos": sample["photo"].nunique(), "confidence": 0.95,
        "chance": 0.25, "position": "prompt_last", "in_train": 0.0, "photo_in_train": 0.0,
        "groups": sample["photo"].nunique(), "grouped_by": "photo",
        **tuned.findings_of(tables, ["base", *names], 0.95),
    }  # fmt: skip
    return tables, findings


def drifted(names: tuple[str, ...]) -> pd.DataFrame:
    """Vectors that lie the farther apart the deeper they are."""
    rows = [
        (name, site, "prompt_last", 0.1 * depth, *[1 - 0.1 * depth] * 3, *[1 - 0.2 * depth] * 3)
        for name in names
        for depth, site in enumerate(LAYERS)
    ]
    return pd.DataFrame(rows, columns=drift.MOVED)
