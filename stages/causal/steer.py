"""Steering: directions from one class to another added to the residual stream, against random ones.

    python -m stages.causal.steer

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool

from signbridge.causal.courses import check_steerable, courses
from signbridge.causal.directions import ClassDirections, FittedParams
from signbridge.causal.steering import COURSES_PER_SHARD, SteeringParams, steering_work
from signbridge.causal.steering_tables import answers_table, damage_table, descriptions_table
from signbridge.core import activations, params, tables
from signbridge.core.command_line import run
from signbridge.core.groups import read_sample
from signbridge.core.sweeps import QuestionsParams, spread_layers
from signbridge.vlm.model_run import model_run

SAMPLE = Path("data/sample.parquet")
ANSWERS = Path("data/answers.parquet")
ACTIVATIONS = Path("data/activations")
STEERED = Path("data/causal/steering/answers.parquet")
DAMAGE = Path("data/causal/steering/damage.parquet")
DESCRIPTIONS = Path("data/causal/steering/descriptions.parquet")


def main() -> None:
    """Read sample, answers, activations and `data/model_as_read.json`, write the three tables."""
    questions, seed = params.section("questions", QuestionsParams), params.seed()
    fitted = params.section("fitted", FittedParams, params.CAUSAL)
    sweep = getattr(params.section("steering", SteeringParams, params.CAUSAL), questions.sweep)
    answers = tables.read(ANSWERS, columns=["image_id", "answer"])
    sample = read_sample()[0].merge(answers, on="image_id", how="left", validate="one_to_one")
    if sweep.layers != 0:
        check_steerable(sample, sweep, seed)
    asked = questions.model_dump(include={"sweep", "describe", "describe_tokens"})
    made_by = {"questions": asked, "fitted": fitted.model_dump(), "steering": sweep.model_dump(), "seed": seed}
    activations.check_own_basis(ACTIVATIONS)
    with model_run(
        __file__, sample=SAMPLE, beside=activations.files_of(ACTIVATIONS, "pixels")[0], **made_by
    ) as reading:
        reader = reading.reader
        describer = reader.asking(questions.describe, "questions.describe", questions.describe_tokens)
        sites = spread_layers(sweep.layers, len(reader.loaded.parts.blocks))

        def fit(half: Bool[np.ndarray, " images"]) -> ClassDirections:
            return ClassDirections(reader, sweep, sites, sample, ACTIVATIONS, half, fitted.C, seed)

        todo = courses(reader, describer, sweep, sites, sample, fit, seed)
        work = steering_work(reader, describer, sweep)
        shards = reading.read_in_shards(todo, work, "steer", "course", items_per_shard=COURSES_PER_SHARD)
        tables.write(answers_table(todo, sweep, shards), STEERED, reading.made_by)
        tables.write(damage_table(todo, sweep, shards), DAMAGE, reading.made_by)
        tables.write(descriptions_table(todo, sweep, shards), DESCRIPTIONS, reading.made_by)


if __name__ == "__main__":
    run(main)
