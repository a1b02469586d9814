"""sae_effects: what steering by single features amounts to, against noise and against other features.

Metrics of the feature that is subtracted call its nulls as those of the feature that is added are called:
`feature_down_over_like_features` is beyond features of like activation that are subtracted.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import (
    CLASSES,
    CONCEPT,
    CONCEPT_UNDONE,
    FEATURE_DIRECTIONS,
    FEATURE_DOWN,
    FEATURE_NULLS,
    NULLS_DOWN,
    PRETRAINED,
    model_name,
)
from signbridge.core.sweeps import QuestionsParams
from signbridge.sae.concept import ConceptParams, concept_names
from signbridge.sae.feature_directions import read_steered
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.steering_effect import Steering, SteeringEffectsParams, steering_effects

STEERING = Path("data/sae_steering")
PLOTS = Path("plots")


def main() -> None:
    """Read `data/sae_steering/`, write metrics/sae_steering.json and plots/sae_steering*.csv."""
    statistics = params.section("statistics", StatisticsParams)
    settings = params.section("steering_effects", SteeringEffectsParams)
    _, up = concept_names(params.section("concept", ConceptParams, params.SAE).finger)
    answers, damage = (read_steered(STEERING, name, up) for name in ("answers", "damage"))
    kinds = (CLASSES, PRETRAINED, CONCEPT, CONCEPT_UNDONE)
    generators = np.random.default_rng(params.seed()).spawn(len(kinds))
    values: dict[str, tables.Metric] = {
        "model": model_name(STEERING / CLASSES / "answers.parquet", params.model_notes()),
        "sweep": params.section("questions", QuestionsParams).sweep,
        "confidence": statistics.confidence,
    }
    doses, areas = [], []
    for kind, generator in zip(kinds, generators, strict=True):
        of_kind = (table[table["steered"] == kind] for table in (answers, damage))
        nulls_of = {FEATURE_DOWN: NULLS_DOWN}
        steering = Steering(*of_kind, settings, statistics, FEATURE_DIRECTIONS, FEATURE_NULLS, kind, nulls_of)
        of_doses, of_areas, found = steering_effects(steering, generator)
        values |= found
        doses.append(of_doses.assign(steered=kind))
        areas.append(of_areas.assign(steered=kind))
    tables.write_metrics("metrics/sae_steering.json", values)
    for found, path in ((doses, "sae_steering.csv"), (areas, "sae_steering_area.csv")):
        there = [table for table in found if len(table)] or found[:1]
        tables.write_csv(pd.concat(there, ignore_index=True), PLOTS / path)


if __name__ == "__main__":
    run(main)
