"""What steering by single features does, against noise and against other features, for each kind of steering.

Findings about the feature that is pushed down call its nulls as those of the feature that is pushed up are called:
`feature_down_over_like_features` is the effect beyond features of like activation that are subtracted.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import tables
from signbridge.core.names import (
    CLASSES,
    CONCEPT,
    CONCEPT_UNDONE,
    FEATURE_DIRECTIONS,
    FEATURE_DOWN,
    FEATURE_NULLS,
    NULLS_DOWN,
    PRETRAINED,
)
from signbridge.core.tables import Metric
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.steering_effect import Steering, SteeringEffectsParams, steering_effects

KINDS = (CLASSES, PRETRAINED, CONCEPT, CONCEPT_UNDONE)  # each has random numbers of its own


def read_steered(folder: Path, name: str, kinds: Collection[str], concept: str | None) -> pd.DataFrame:
    """The tables `name` of these `kinds` of steering in `folder`, with the column `steered`: the kind.

    Steering of the concept goes both ways. `concept` is the label of hands for which it holds: steering towards it is
    `CONCEPT`, steering away from it is `CONCEPT_UNDONE`.
    """
    parts = {kind: tables.read(folder / kind / f"{name}.parquet") for kind in kinds}
    there = []
    for kind, part in parts.items():
        steered = np.where(part["b"] == concept, CONCEPT, CONCEPT_UNDONE) if kind == CONCEPT else kind
        there.append(part.assign(steered=steered))
    return pd.concat([part for part in there if len(part)] or there[:1], ignore_index=True)


def feature_effects(
    answers: pd.DataFrame,
    damage: pd.DataFrame,
    kinds: Collection[str],
    settings: SteeringEffectsParams,
    statistics: StatisticsParams,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Metric]]:
    """The doses, the areas (`statistics/steering_effect.py`) and the findings for each of `kinds`, by `steered`.

    `answers` and `damage` are tables of steering with the column `steered`.
    """
    generators = dict(zip(KINDS, np.random.default_rng(seed).spawn(len(KINDS)), strict=True))
    findings: dict[str, Metric] = {}
    doses, areas = [], []
    for kind in kinds:
        of_kind = (table[table["steered"] == kind] for table in (answers, damage))
        nulls_of = {FEATURE_DOWN: NULLS_DOWN}
        steering = Steering(*of_kind, settings, statistics, FEATURE_DIRECTIONS, FEATURE_NULLS, kind, nulls_of)
        of_doses, of_areas, found = steering_effects(steering, generators[kind])
        findings |= found
        doses.append(of_doses.assign(steered=kind))
        areas.append(of_areas.assign(steered=kind))
    return _together(doses), _together(areas), findings


def _together(parts: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
