"""causal: what patching, steering and erasure amount to, with intervals over photos."""

from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import model_name
from signbridge.core.sweeps import QuestionsParams
from signbridge.report.figures.causal_effects import causal_effects
from signbridge.report.figures.saving import save_figure
from signbridge.statistics.erasure_effect import Erasure, erasure_effects
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.patching_effect import patching_effects
from signbridge.statistics.steering_effect import (
    Steering,
    SteeringEffectsParams,
    at_the_best_place,
    steering_effects,
)

DATA = Path("data")
PLOTS = Path("plots")
ERASURE = ("erasure", "erasure_answers", "erasure_damage")


def main() -> None:
    """Read the tables of `patch`, `steer` and `erase`, write metrics/causal.json, the plots' tables and the figure."""
    statistics = params.section("statistics", StatisticsParams)
    settings = params.section("steering_effects", SteeringEffectsParams)
    of_patching, of_steering, of_erasure = np.random.default_rng(params.seed()).spawn(3)
    sample = tables.read(DATA / "sample.parquet", columns=["image_id", "photo"])
    photo = sample.set_index("image_id")["photo"]
    values: dict[str, tables.Metric] = {
        "model": model_name(DATA / "patching.parquet", params.model_notes()),
        "sweep": params.section("questions", QuestionsParams).sweep,
        "patching_question": tables.made_by(DATA / "patching.parquet")["patching"]["question"],
        "confidence": statistics.confidence,
    }

    patched, found = patching_effects(tables.read(DATA / "patching.parquet"), statistics, of_patching)
    values |= found
    tables.write_csv(patched, PLOTS / "patching.csv")

    answers, damage = tables.read(DATA / "steering.parquet"), tables.read(DATA / "steering_damage.parquet")
    steering = Steering(answers, damage, settings, statistics)
    doses, area, found = steering_effects(steering, of_steering)
    values |= found
    tables.write_csv(doses, PLOTS / "steering.csv")
    tables.write_csv(area, PLOTS / "steering_area.csv")

    erasure = Erasure(*(tables.read(DATA / f"{name}.parquet") for name in ERASURE), photo)
    accuracy, erased, found = erasure_effects(erasure, statistics, of_erasure)
    values |= found
    tables.write_csv(accuracy, PLOTS / "erasure.csv")
    tables.write_csv(erased, PLOTS / "erasure_answers.csv")

    tables.write_metrics("metrics/causal.json", values)
    figure = causal_effects(
        _probed(), patched, at_the_best_place(doses, area), erased[erased["at"] == erased["at"].head(1).squeeze()],
        statistics.confidence, str(values["model"]),
    )  # fmt: skip
    save_figure(figure, PLOTS / "causal_effects.png")


def _probed() -> pd.DataFrame:
    """The last token's probe without leakage: site, accuracy, low, high; no row where it was not run."""
    table = tables.read_csv(PLOTS / "probe_accuracy.csv")
    rows = table[(table["protocol"] == "grouped") & (table["position"] == "prompt_last")]
    return rows[["site"]].assign(**{name: rows[name].astype(float) for name in ("accuracy", "low", "high")})


if __name__ == "__main__":
    run(main)
