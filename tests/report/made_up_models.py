"""Made-up results of models side by side: the deeper a layer, the better it reads, up to each model's own peak."""

from typing import Any

import numpy as np
import pandas as pd

from signbridge.core.names import PATCHED
from signbridge.probing.settings import SideBySideParams
from signbridge.statistics import drift, side_by_side
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.side_by_side import ModelResults

STATISTICS = StatisticsParams(confidence=0.95, resamples=200)
BLOCKS = {"large": 8, "small": 4}  # of the models
SKILL = {"large": 0.95, "small": 0.5}  # the share that the best layer reads
PEAK = {"large": 0.5, "small": 1.0}  # where it lies
BEFORE = ("pixels", "vision", "projector", "embedding")
NEEDS = {"parameters": 7_000_000_000, "weights": 4 * 2**30, "image_tokens": 576, "prompt": 8e12, "word": 1e10}
ENTRY = {"quantization": "none", "quantize": "all", "dtype": "float16", "prompt": "<image>\nWhich?",
         "max_new_tokens": 20}  # fmt: skip
NOTES = "small: it has learnt nothing"


def params(models: list[str]) -> SideBySideParams:
    """Two repeats, peaks alike within a tenth of the decoder."""
    return SideBySideParams(
        models=models, positions=["prompt_last"], repeats=2, same_depth=0.1, letters_question="Which of {letters}?",
        patching_pairs=0, shuffled_draws=20, controls=["no_image", "other_letter"],
    )  # fmt: skip


def results(sample: pd.DataFrame, name: str) -> ModelResults:
    """Of one model: every prediction right or not by a draw of its own, under folds that need not be any."""
    random = np.random.default_rng(len(name))
    sites = [*BEFORE, *(f"layer_{block:02d}" for block in range(BLOCKS[name]))]
    predictions, choices = [], []
    for site in sites:
        position = {"pixels": "flat", "vision": "image_mean", "projector": "image_mean"}.get(site, "prompt_last")
        share = _share(name, site)
        for repeat in range(2):
            predictions.append(_read(sample, share, random).assign(site=site, position=position, repeat=repeat))
            choices += [("grouped", site, position, repeat, fold, 1.0, share, False) for fold in range(2)]
    predictions.append(_read(sample, 0.3, random).assign(site="answer", position="text", repeat=0))
    columns = ["protocol", "site", "position", "repeat", "fold", "C", "inner_accuracy", "at_edge"]
    answers = sample[["image_id", "label"]].assign(
        answer=np.where(random.random(len(sample)) < 0.2, sample["label"], "no")
    )
    made_by = {"model": {"name": name, **ENTRY}, "needs": NEEDS, "read_on": {"device": "cpu"}}
    table = pd.concat(predictions, ignore_index=True)
    chosen = pd.DataFrame(choices, columns=columns)
    controls = _controls(sample, chosen)
    return ModelResults(table, chosen, answers, controls, _shuffled(chosen, random), _scores(sample, random), made_by)


def _controls(sample: pd.DataFrame, choices: pd.DataFrame) -> pd.DataFrame:
    """Under each control a quarter right, in every layer and the tower; of a generator of its own."""
    random = np.random.default_rng(1)
    cells = choices[["site", "position"]].drop_duplicates()
    cells = cells[cells["site"].str.startswith(("layer_", "vision"))]
    found = [
        _read(sample, 0.25, random).assign(control=control, site=site, position=position, repeat=repeat)
        for control in ("no_image", "other_letter")
        for site, position in cells.itertuples(index=False)
        for repeat in range(2)
    ]
    return pd.concat(found, ignore_index=True)


def _shuffled(choices: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Twenty draws at chance."""
    draws = pd.DataFrame({"draw": range(20), "accuracy": 0.25 + 0.02 * random.random(20)})
    return choices[["site", "position"]].drop_duplicates().merge(draws, how="cross")


def _scores(sample: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """A third of the images have their own letter as the likeliest of four."""
    letters = sorted(sample["label"].unique())[:4]
    each = sample[["image_id", "label"]].loc[sample.index.repeat(len(letters))].reset_index(drop=True)
    each = each.assign(prompt="<image>\nWhich of A, B, C or D?", letter=letters * len(sample))
    own = (each["letter"] == each["label"]) & np.repeat(random.random(len(sample)) < 0.3, len(letters))
    return each.assign(log_probability=np.where(own, -0.1, -3 - random.random(len(each))))


def _share(name: str, site: str) -> float:
    depth = side_by_side.relative_depth(site, BLOCKS[name])
    return SKILL[name] - 0.4 * abs(depth - PEAK[name]) if depth == depth else 0.4


def _read(sample: pd.DataFrame, share: float, random: np.random.Generator) -> pd.DataFrame:
    right = random.random(len(sample)) < share
    fold = (np.arange(len(sample)) % 2).astype(int)
    read = sample[["image_id", "label"]].assign(predicted=np.where(right, sample["label"], "?"), fold=fold)
    return read.assign(protocol="grouped", probability=share)


def tables(sample: pd.DataFrame, models: list[str], drifted: bool = False) -> dict[str, Any]:
    """The tables and findings that `Models` has of them, by name."""
    photo_of = sample.set_index("image_id")["photo"]
    chosen, read = params(models), {name: results(sample, name) for name in models}
    found = side_by_side.compare_models(read, photo_of, chosen, STATISTICS, np.random.default_rng(0))
    said = {"model": ", ".join(models), "confidence": 0.95, "notes": NOTES, **side_by_side.findings_of(found, chosen)}
    rows = [
        ("large", "small", site, position, 0.01, 0.999, 0.998, 0.9)
        for site, position in (("vision", "image_mean"), ("layer_00", "prompt_last"), ("layer_01", "prompt_last"))
    ]
    of_drift = pd.DataFrame(rows if drifted else [], columns=drift.COLUMNS)
    cells = [("large", "small", "layer_00", tokens, 0.6, 0.5, -0.1, -0.2, 0.05, 8) for tokens in PATCHED]
    patched = pd.DataFrame(cells if drifted else [], columns=drift.PATCHING_COLUMNS)
    return {**found, "found": said, "drift": of_drift, "patching_drift": patched, "licences": {"large": "Llama 2"}}
