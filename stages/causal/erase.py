"""Erasure: the letter taken out of the residual stream, and what probes, answers and descriptions make of the rest.

    python -m stages.causal.erase

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

import importlib.metadata
import shutil
from pathlib import Path

from signbridge.causal.erasure import ErasureParams
from signbridge.causal.erasure_sweep import Scratch, erase
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.sweeps import QuestionsParams
from signbridge.vlm.loading import ModelParams, device_from_environment
from signbridge.vlm.model_run import (
    fingerprint,
    images_per_shard,
    made_from,
    open_reader,
)

SAMPLE = Path("data/sample.parquet")
MODEL = Path("data/model.json")
ACTIVATIONS = Path("data/activations")
PROBES = Path("data/erasure.parquet")
CHANGED = Path("data/erasure_answers.parquet")
DAMAGE = Path("data/erasure_damage.parquet")
SCRATCH = Path(".scratch")


def main() -> None:
    """Read sample and activations, write the three tables."""
    name, model = params.selected("model", params.MODELS, ModelParams)
    causal, seed = params.section("questions", QuestionsParams), params.seed()
    sweep = getattr(params.section("erasure", ErasureParams, params.CAUSAL), causal.sweep)
    device = device_from_environment()
    made_by = {
        **made_from(name, model, MODEL, SAMPLE),
        "causal": causal.model_dump(),
        "erasure": sweep.model_dump(),
        "seed": seed,
        "concept_erasure": importlib.metadata.version("concept-erasure"),
    }
    scratch = Scratch(SCRATCH / "erase" / fingerprint(made_by, device, __file__), images_per_shard())

    reader = open_reader(model, SCRATCH / "models", device)
    found = erase(reader, causal, sweep, tables.read(SAMPLE), ACTIVATIONS, seed, scratch)

    tables.write(found.probes, PROBES, made_by)
    tables.write(found.changed, CHANGED, made_by)
    tables.write(found.damage, DAMAGE, made_by)
    shutil.rmtree(SCRATCH / "erase", ignore_errors=True)  # what other settings left there too


if __name__ == "__main__":
    run(main)
