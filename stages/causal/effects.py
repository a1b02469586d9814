"""What patching, knockout, steering and erasure amount to, with intervals over photos.

python -m stages.causal.effects
"""

from pathlib import Path

import numpy as np

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.groups import read_sample
from signbridge.core.names import model_name
from signbridge.core.sweeps import QuestionsParams
from signbridge.statistics import (
    erasure_effect,
    knockout_effect,
    minimal_pairs_effect,
    parts_effect,
    patching_effect,
    steering_effect,
)
from signbridge.statistics.intervals import StatisticsParams

SAMPLE = Path("data/sample.parquet")
PATCHING = Path("data/causal/patching.parquet")
PARTS = Path("data/causal/patched_parts.parquet")
KNOCKOUT = Path("data/causal/knockout.parquet")
MINIMAL_PAIRS = Path("data/causal/minimal_pairs")
STEERING = Path("data/causal/steering")
ERASURE = Path("data/causal/erasure")
WRITTEN = Path("data/causal/effects")
METRICS = Path("metrics/causal")
PLOTS = Path("plots/causal")


def main() -> None:
    """Read the tables of the five stages before; write `data/causal/effects/`, metrics and what DVC plots."""
    settings, seed = params.section("statistics", StatisticsParams), params.seed()
    steering_settings = params.section("steering_effects", steering_effect.SteeringEffectsParams, params.CAUSAL)
    of_patching, of_steering, of_erasure, of_parts, of_knockout, of_minimal = np.random.default_rng(seed).spawn(6)
    group = read_sample(["image_id"])[0].set_index("image_id")["group"]

    patched, found_by_patching = patching_effect.patching_effects(tables.read(PATCHING), settings, of_patching)
    parts, found_in_parts = parts_effect.parts_effects(tables.read(PARTS), settings, of_parts)
    knocked_out, found_by_knockout = knockout_effect.knockout_effects(tables.read(KNOCKOUT), settings, of_knockout)
    drawn = {name: tables.read(MINIMAL_PAIRS / f"{name}.parquet") for name in ("said", "read", "patched", "steered")}
    minimal, found_in_pairs = minimal_pairs_effect.minimal_pairs_effects(drawn, settings, of_minimal)
    steering = steering_effect.Steering(
        *(tables.read(STEERING / f"{name}.parquet") for name in ("answers", "damage")), steering_settings, settings
    )
    doses, areas, found_by_steering = steering_effect.steering_effects(steering, of_steering)
    erasure = erasure_effect.Erasure(
        *(tables.read(ERASURE / f"{name}.parquet") for name in ("probes", "answers", "damage")), group
    )
    accuracy, changed, found_by_erasure = erasure_effect.erasure_effects(erasure, settings, of_erasure)

    findings: dict[str, tables.Metric] = {
        "model": model_name(PATCHING, params.model_notes()),
        "sweep": params.section("questions", QuestionsParams).sweep,
        "patching_question": tables.made_by(PATCHING)["patching"]["question"],
        "confidence": settings.confidence,
        **found_by_patching,
        **found_in_parts,
        **found_by_knockout,
        **found_in_pairs,
        "minimal_degrees": tables.made_by(MINIMAL_PAIRS / "said.parquet")["minimal_pairs"]["degrees"],
        "knockout_window": tables.made_by(KNOCKOUT)["knockout"]["window"],
        **found_by_steering,
        **found_by_erasure,
        "erasure_drawn_images": tables.made_by(ERASURE / "probes.parquet")["drawn_images"],
    }
    made_by = {"statistics": settings.model_dump(), "steering_effects": steering_settings.model_dump(), "seed": seed}
    for name, table in {
        "patching": patched,
        "parts": parts,
        "knockout": knocked_out,
        **minimal._asdict(),
        "steering": doses,
        "steering_area": areas,
        "erasure": accuracy,
        "erasure_answers": changed,
    }.items():
        tables.write(table, WRITTEN / f"{name}.parquet", made_by)
    tables.write_findings(WRITTEN / "findings.json", findings)
    for name, module in {
        "patching": patching_effect,
        "patched_parts": parts_effect,
        "knockout": knockout_effect,
        "minimal_pairs": minimal_pairs_effect,
        "steering": steering_effect,
        "erasure": erasure_effect,
    }.items():
        tables.write_metrics(METRICS / f"{name}.json", findings, module.HEADLINE)
    tables.write_csv(patching_effect.patching_plot(patched), PLOTS / "patching.csv")
    tables.write_csv(knockout_effect.knockout_plot(knocked_out), PLOTS / "knockout.csv")
    tables.write_csv(steering_effect.dose_plot(doses, areas), PLOTS / "steering.csv")


if __name__ == "__main__":
    run(main)
