"""causal: what patching, steering and erasure amount to, with intervals over photos."""

from pathlib import Path

import numpy as np

from signbridge import metrics, params, tables
from signbridge.causal.erasure_effect import effect_on_text, erasure_metrics, probe_accuracy_under_erasure
from signbridge.causal.patching_effect import patching_effects
from signbridge.causal.steering_effect import CausalEffectsParams, Steering, areas, dose_response, steering_metrics
from signbridge.causal.sweeps import CausalParams
from signbridge.command_line import run
from signbridge.model_name import model_name
from signbridge.probing.statistics import StatisticsParams

DATA = Path("data")
PLOTS = Path("plots")


def main() -> None:
    """Read the tables of `patch`, `steer` and `erase`, write metrics/causal.json and the tables of its plots."""
    statistics = params.section("statistics", StatisticsParams)
    settings = params.section("causal_effects", CausalEffectsParams)
    generator = np.random.default_rng(params.seed())
    sample = tables.read(DATA / "sample.parquet", columns=["image_id", "photo"])
    photo = sample.set_index("image_id")["photo"]
    values: dict[str, metrics.Metric] = {
        "model": model_name(DATA / "patching.parquet"),
        "sweep": params.section("causal", CausalParams).sweep,
        "confidence": statistics.confidence,
    }

    patched, found = patching_effects(tables.read(DATA / "patching.parquet"), statistics, generator)
    values |= found
    tables.write_csv(patched, PLOTS / "patching.csv")

    answers, damage = tables.read(DATA / "steering.parquet"), tables.read(DATA / "steering_damage.parquet")
    steering = Steering(answers, damage, settings, statistics)
    doses = dose_response(steering, generator)
    values |= steering_metrics(steering, doses, generator)
    tables.write_csv(doses, PLOTS / "steering.csv")
    tables.write_csv(areas(steering, doses, generator), PLOTS / "steering_area.csv")

    accuracy = probe_accuracy_under_erasure(tables.read(DATA / "erasure.parquet"), photo, statistics, generator)
    changed, rise = tables.read(DATA / "erasure_answers.parquet"), tables.read(DATA / "erasure_damage.parquet")
    erased, found = effect_on_text(changed, rise, photo, statistics, generator)
    values |= {**erasure_metrics(accuracy), **found}
    tables.write_csv(accuracy, PLOTS / "erasure.csv")
    tables.write_csv(erased, PLOTS / "erasure_answers.csv")

    metrics.write("metrics/causal.json", values)


if __name__ == "__main__":
    run(main)
