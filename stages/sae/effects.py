"""What steering by single features does, against noise and other features; and which fingers features tell.

python -m stages.sae.effects
"""

from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import CLASSES, CONCEPT, CONCEPT_UNDONE, FEATURE, FEATURE_DOWN, model_name
from signbridge.core.sweeps import QuestionsParams
from signbridge.core.tables import Metric
from signbridge.datasets.concept import ConceptParams, concept_names
from signbridge.statistics.feature_steering import feature_effects, read_steered
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.steering_effect import SteeringEffectsParams
from signbridge.statistics.told_fingers import HEADLINE as FINGERS_TOLD
from signbridge.statistics.told_fingers import told_fingers

STEERING = Path("data/sae/steering")
EFFECTS = Path("data/sae/effects")
PAIRS = Path("data/sae/minimal_pairs")
METRICS, OF_PAIRS = Path("metrics/sae/steering.json"), Path("metrics/sae/minimal_pairs.json")
ENDS = ("", "_low", "_high")
# Where it works best: the probability of the wanted answer, and how far it is above that of a null.
OF_CONCEPT = [*(f"{name}{end}" for name in ("natural_probability", "probability", "over_equal_logit") for end in ENDS),
              "over_like_features", "damage", "best_strength"]  # fmt: skip
OF_CLASSES = [*(f"{name}{end}" for name in ("probability", "over_equal_logit") for end in ENDS), "over_like_features",
              "damage", "best_strength"]  # fmt: skip
OF_UNDONE = ["probability"]
HEADLINE: dict[str, str] = {}
# By the feature that is pushed up; away from the concept, by the one that is pushed down.
for kind, push, names in ((CONCEPT, FEATURE, OF_CONCEPT), (CLASSES, FEATURE, OF_CLASSES),
                          (CONCEPT_UNDONE, FEATURE_DOWN, OF_UNDONE)):  # fmt: skip
    HEADLINE |= {f"{kind}_{name}": f"{kind}_{push}_{name}" for name in names}
HEADLINE |= {f"{CONCEPT}_images": f"{CONCEPT}_images", "sweep": "sweep", "model": "model"}


def main() -> None:
    """Read `data/sae/steering/` and `data/sae/minimal_pairs/`, write `data/sae/effects/` and the metrics."""
    statistics = params.section("statistics", StatisticsParams)
    settings = params.section("steering_effects", SteeringEffectsParams, params.SAE)
    _, up = concept_names(params.section("concept", ConceptParams, params.SAE).finger)
    answers, damage = (read_steered(STEERING, name, (CLASSES, CONCEPT), up) for name in ("answers", "damage"))
    kinds = (CLASSES, CONCEPT, CONCEPT_UNDONE)
    doses, areas, found = feature_effects(answers, damage, kinds, settings, statistics, params.seed())
    found |= natural_doses(doses, found)
    made_by = tables.made_by(STEERING / CLASSES / "answers.parquet")
    findings = {
        "model": model_name(STEERING / CLASSES / "answers.parquet", params.model_notes()),
        "sweep": params.section("questions", QuestionsParams).sweep, "confidence": statistics.confidence, **found,
    }  # fmt: skip
    told, changed = (tables.read(PAIRS / f"{name}.parquet") for name in ("told", "changed"))
    of_fingers, found_of_fingers = told_fingers(told, changed, statistics, np.random.default_rng(params.seed()))
    findings |= found_of_fingers
    tables.write(of_fingers, EFFECTS / "minimal_pairs.parquet", {"model": made_by["model"]})
    tables.write(doses, EFFECTS / "steering.parquet", {"model": made_by["model"]})
    tables.write(areas, EFFECTS / "steering_area.parquet", {"model": made_by["model"]})
    tables.write_findings(EFFECTS / "findings.json", findings)
    tables.write_metrics(METRICS, findings, HEADLINE)
    tables.write_metrics(OF_PAIRS, findings, FINGERS_TOLD)


def natural_doses(doses: pd.DataFrame, found: dict[str, Metric]) -> dict[str, Metric]:
    """The probability at the largest natural activation (strength 1), where each push works best at any strength."""
    natural: dict[str, Metric] = {}
    for row in doses[doses["strength"] == 1].itertuples():
        key = f"{row.steered}_{row.direction}"
        if all(found.get(f"{key}_best_{what}") == getattr(row, what) for what in ("at", "during", "site")):
            natural |= {f"{key}_natural_probability{end}": float(getattr(row, f"probability{end}")) for end in ENDS}
    return natural


if __name__ == "__main__":
    run(main)
