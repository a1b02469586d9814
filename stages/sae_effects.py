"""sae_effects: what steering by single features amounts to, against noise and against other features."""

from pathlib import Path

import numpy as np
import pandas as pd

from signbridge import metrics, params, tables
from signbridge.causal.steering_effect import Steering, SteeringEffectsParams, steering_effects
from signbridge.causal.sweeps import CausalParams
from signbridge.command_line import run
from signbridge.model_name import model_name
from signbridge.probing.statistics import StatisticsParams
from signbridge.sae.concept import ConceptParams, concept_names
from signbridge.sae.steering.feature_edits import (
    CLASSES,
    CONCEPT,
    CONCEPT_UNDONE,
    FEATURE_DIRECTIONS,
    FEATURE_NULLS,
    PRETRAINED,
)

STEERING = Path("data/sae_steering")
PLOTS = Path("plots")


def main() -> None:
    """Read `data/sae_steering/`, write metrics/sae_steering.json and plots/sae_steering*.csv."""
    statistics = params.section("statistics", StatisticsParams)
    settings = params.section("steering_effects", SteeringEffectsParams)
    _, up = concept_names(params.section("concept", ConceptParams).finger)
    generators = np.random.default_rng(params.seed()).spawn(4)
    values: dict[str, metrics.Metric] = {
        "model": model_name(STEERING / CLASSES / "answers.parquet"),
        "sweep": params.section("causal", CausalParams).sweep,
        "confidence": statistics.confidence,
    }
    doses, areas = [], []
    for (name, answers, damage), generator in zip(_steered(up), generators, strict=True):
        steering = Steering(answers, damage, settings, statistics, FEATURE_DIRECTIONS, FEATURE_NULLS, name)
        of_doses, of_areas, found = steering_effects(steering, generator)
        values |= found
        doses.append(of_doses.assign(steered=name))
        areas.append(of_areas.assign(steered=name))
    metrics.write("metrics/sae_steering.json", values)
    for found, path in ((doses, "sae_steering.csv"), (areas, "sae_steering_area.csv")):
        there = [table for table in found if len(table)] or found[:1]
        tables.write_csv(pd.concat(there, ignore_index=True), PLOTS / path)


def _steered(up: str) -> list[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """What was steered, with its answers and damage: between classes, to the concept, and away from it."""
    read = {
        kind: [tables.read(STEERING / kind / f"{name}.parquet") for name in ("answers", "damage")]
        for kind in (CLASSES, CONCEPT, PRETRAINED)
    }
    towards = [table[table["b"] == up] for table in read[CONCEPT]]
    away = [table[table["b"] != up] for table in read[CONCEPT]]
    of_classes = [(kind, *read[kind]) for kind in (CLASSES, PRETRAINED)]
    return [*of_classes, (CONCEPT, *towards), (CONCEPT_UNDONE, *away)]


if __name__ == "__main__":
    run(main)
