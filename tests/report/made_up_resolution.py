"""A made-up resolution ladder: the larger the pictures, the more is read, of the decoder more than of pixels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from signbridge.datasets.resolution import FULL, RUNGS, ladder
from signbridge.statistics import resolution
from signbridge.statistics.intervals import StatisticsParams

STATISTICS = StatisticsParams(confidence=0.95, resamples=200)
PLACES = {"pixels": "flat", "vision": "image_mean", "layer_00": "prompt_last", "layer_01": "prompt_last"}
SKILL = {"pixels": 0.3, "vision": 0.8, "layer_00": 0.5, "layer_01": 0.9, "answer": 0.2}  # of the full pictures
LEFT_OUT = ("112", "224")  # larger than any picture


def predictions(sample: pd.DataFrame, shares: dict[str, dict[str, float]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions and choices by rung and site; the first images of each letter are those that are read right."""
    read, chose = [], []
    place = sample.groupby("label").cumcount() / sample.groupby("label")["label"].transform("size")
    columns = ["rung", "protocol", "site", "position", "repeat", "fold", "C", "inner_accuracy", "at_edge"]
    for rung, of_site in shares.items():
        for site, share in of_site.items():
            position = {**PLACES, "answer": "text"}[site]
            told = sample[["image_id", "label"]].assign(predicted=sample["label"].where(place < share, "?"))
            told["fold"] = (np.arange(len(sample)) % 2).astype(int)
            read.append(told.assign(protocol="grouped", rung=rung, site=site, position=position, repeat=0))
            if site != "answer":
                chose += [(rung, "grouped", site, position, 0, fold, 1.0, share, False) for fold in range(2)]
    return pd.concat(read, ignore_index=True), pd.DataFrame(chose, columns=columns)


def compared(sample: pd.DataFrame, shares: dict[str, dict[str, float]]) -> dict[str, pd.DataFrame]:
    """The tables of `compare_rungs` of them; the answers name nothing."""
    read, chose = predictions(sample, shares)
    answers = {rung: sample[["image_id", "label"]].assign(answer="Fist") for rung in shares}
    group_of = sample.set_index("image_id")["photo"]
    return resolution.compare_rungs(read, chose, answers, group_of, STATISTICS, np.random.default_rng(0))


def tables(sample: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """The tables and findings that `Resolution` has of pictures of 96 pixels, by name."""
    rungs = ladder(names)
    shares = {rung.name: {site: share * rung.side / 100 for site, share in SKILL.items()} for rung in rungs}
    found = compared(sample, {**shares, FULL: SKILL})
    rows = [(rung.name, rung.side, rung.side, rung.colour, 3, "") for rung in rungs]
    rows += [(name, 96, 24, True, len(sample), FULL) for name in LEFT_OUT] + [(FULL, 96, 24, True, len(sample), "")]
    table = pd.DataFrame(rows, columns=RUNGS)
    said = {"model": "tiny", "confidence": 0.95, **resolution.findings_of(found, table, 0.95)}
    return {**found, "rungs": table, "found": said}
