"""Steering: directions from one class to another added to the residual stream, against random ones.

    python -m stages.causal.steer

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

import shutil
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from signbridge.causal.courses import courses
from signbridge.causal.directions import ClassDirections
from signbridge.causal.steering import COURSES_PER_SHARD, Steerer, SteeringParams
from signbridge.causal.steering_tables import answers_table, damage_table, descriptions_table
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.sweeps import QuestionsParams, spread_layers
from signbridge.vlm.extraction import read_in_shards
from signbridge.vlm.loading import ModelParams, device_from_environment
from signbridge.vlm.model_run import fingerprint, made_from, open_reader

SAMPLE = Path("data/sample.parquet")
MODEL = Path("data/model.json")
ANSWERS = Path("data/answers.parquet")
ACTIVATIONS = Path("data/activations")
STEERING = Path("data/steering.parquet")
DESCRIPTIONS = Path("data/steering_descriptions.parquet")
DAMAGE = Path("data/steering_damage.parquet")
SCRATCH = Path(".scratch")


def main() -> None:
    """Read sample, answers and activations, write the three tables."""
    name, model = params.selected("model", params.MODELS, ModelParams)
    causal = params.section("questions", QuestionsParams)
    sweep = getattr(params.section("steering", SteeringParams, params.CAUSAL), causal.sweep)
    answers = tables.read(ANSWERS, columns=["image_id", "answer"])
    sample = tables.read(SAMPLE).merge(answers, on="image_id", how="left", validate="one_to_one")
    device = device_from_environment()
    made_by = {
        **made_from(name, model, MODEL, SAMPLE),
        "causal": causal.model_dump(),
        "steering": sweep.model_dump(),
        "seed": params.seed(),
    }
    folder = SCRATCH / "steer" / fingerprint(made_by, device, __file__)

    reader = open_reader(model, SCRATCH / "models", device)
    describer = reader.asking(causal.describe, "causal.describe", causal.describe_tokens)
    seed, sites = params.seed(), spread_layers(sweep.layers, len(reader.loaded.parts.blocks))

    def fit(half: Bool[np.ndarray, " images"]) -> ClassDirections:
        return ClassDirections(reader, sweep, sites, sample, ACTIVATIONS, half, causal.C, seed)

    todo = courses(reader, describer, sweep, sites, sample, fit, seed)
    steerer = Steerer(reader, describer, sweep)
    shards = read_in_shards(steerer, todo, folder, COURSES_PER_SHARD, "steer", "course")

    tables.write(answers_table(todo, sweep, shards), STEERING, made_by)
    tables.write(damage_table(todo, sweep, shards), DAMAGE, made_by)
    tables.write(descriptions_table(todo, sweep, shards), DESCRIPTIONS, made_by)
    shutil.rmtree(SCRATCH / "steer", ignore_errors=True)  # what other settings left there too


if __name__ == "__main__":
    run(main)
