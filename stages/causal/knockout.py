"""Attention knockout: what is left of the answer where some tokens no longer see some others, block by block.

    python -m stages.causal.knockout

Environment as for `stages.extract`; finished shards lie in .scratch/ until the table is written.
"""

from pathlib import Path

import numpy as np

from signbridge.causal.knockout_sweep import KnockoutParams, as_table, knockout_work, plan
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.sweeps import QuestionsParams
from signbridge.datasets.images import decoded
from signbridge.datasets.sampling import one_of_each_photo
from signbridge.vlm.model_run import model_run

SAMPLE = Path("data/sample.parquet")
KNOCKOUT = Path("data/causal/knockout.parquet")


def main() -> None:
    """Read the sample and `data/model_as_read.json`, write `data/causal/knockout.parquet`."""
    settings, seed = params.section("knockout", KnockoutParams, params.CAUSAL), params.seed()
    sweep = getattr(settings, params.section("questions", QuestionsParams).sweep)
    sample = tables.read(SAMPLE)
    rows = one_of_each_photo(sample["photo"].to_numpy(), np.random.default_rng(seed))[: sweep.images]
    with model_run(__file__, sample=SAMPLE, knockout=sweep.model_dump(), seed=seed) as reading:
        reader = reading.reader
        planned = plan(len(reader.loaded.parts.blocks), sweep)
        images = decoded(sample["image"].iloc[rows])
        shards = reading.read_in_shards(images, knockout_work(reader, sweep, seed)) if rows else []
        tables.write(as_table(list(sample["image_id"].iloc[rows]), planned, shards), KNOCKOUT, reading.made_by)


if __name__ == "__main__":
    run(main)
