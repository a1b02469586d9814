"""What steering by features of an autoencoder that others trained does, against noise and against other features.

python -m stages.pretrained.effects
"""

from pathlib import Path

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import FEATURE, PRETRAINED, model_name
from signbridge.core.sweeps import QuestionsParams
from signbridge.statistics.feature_steering import feature_effects
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.steering_effect import SteeringEffectsParams

STEERING = Path("data/pretrained/steering")
EFFECTS = Path("data/pretrained/effects")
METRICS = Path("metrics/pretrained/steering.json")
# Of the feature that is pushed up, where it works best: the probability of the wanted answer, and that beyond nulls.
ENDS = ("", "_low", "_high")
MEASURED = [f"{name}{end}" for name in ("probability", "over_like_features", "over_neighbours", "over_random")
            for end in ENDS]  # fmt: skip
MEASURED += ["says", "damage", "best_site", "best_at", "best_strength"]
HEADLINE = {"sweep": "sweep", **{name: f"{PRETRAINED}_{FEATURE}_{name}" for name in MEASURED}}
HEADLINE |= {name: f"{PRETRAINED}_{name}" for name in ("class_pairs", "images", "described_images")}


def main() -> None:
    """Read `data/pretrained/steering/`, write `data/pretrained/effects/` and metrics/pretrained/steering.json."""
    statistics = params.section("statistics", StatisticsParams)
    settings = params.section("steering_effects", SteeringEffectsParams, params.PRETRAINED)
    answers, damage = (
        tables.read(STEERING / f"{name}.parquet").assign(steered=PRETRAINED) for name in ("answers", "damage")
    )
    doses, areas, found = feature_effects(answers, damage, [PRETRAINED], settings, statistics, params.seed())
    made_by = tables.made_by(STEERING / "answers.parquet")
    findings = {
        "model": model_name(STEERING / "answers.parquet", params.model_notes()),
        "pretrained": made_by["autoencoder"]["pretrained"],
        "sweep": params.section("questions", QuestionsParams).sweep, "confidence": statistics.confidence, **found,
    }  # fmt: skip
    tables.write(doses, EFFECTS / "steering.parquet", {"model": made_by["model"]})
    tables.write(areas, EFFECTS / "steering_area.parquet", {"model": made_by["model"]})
    tables.write_findings(EFFECTS / "findings.json", findings)
    tables.write_metrics(METRICS, findings, HEADLINE)


if __name__ == "__main__":
    run(main)
