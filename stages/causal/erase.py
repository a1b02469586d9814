"""Erasure: the letter taken out of the residual stream, and what probes, answers and descriptions make of the rest.

    python -m stages.causal.erase

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

import importlib.metadata
from pathlib import Path

from signbridge.causal.directions import FittedParams
from signbridge.causal.erasure import ErasureParams
from signbridge.causal.erasure_sweep import erase
from signbridge.core import activations, params, tables
from signbridge.core.command_line import run
from signbridge.core.groups import read_sample
from signbridge.core.sweeps import QuestionsParams
from signbridge.vlm.model_run import model_run

SAMPLE = Path("data/sample.parquet")
ACTIVATIONS = Path("data/activations")
PROBES = Path("data/causal/erasure/probes.parquet")
CHANGED = Path("data/causal/erasure/answers.parquet")
DAMAGE = Path("data/causal/erasure/damage.parquet")


def main() -> None:
    """Read sample, activations and `data/model_as_read.json`, write the three tables."""
    questions, seed = params.section("questions", QuestionsParams), params.seed()
    fitted = params.section("fitted", FittedParams, params.CAUSAL)
    sweep = getattr(params.section("erasure", ErasureParams, params.CAUSAL), questions.sweep)
    made_by = {
        "questions": questions.model_dump(include={"sweep", "describe", "describe_tokens"}),
        "fitted": fitted.model_dump(),
        "erasure": sweep.model_dump(),
        "seed": seed,
        "concept_erasure": importlib.metadata.version("concept-erasure"),
    }
    activations.check_own_basis(ACTIVATIONS)
    with model_run(
        __file__, sample=SAMPLE, beside=activations.files_of(ACTIVATIONS, "pixels")[0], **made_by
    ) as reading:
        images = tables.made_by(SAMPLE).get("images", {})
        found = erase(reading, questions, sweep, fitted.C, read_sample()[0], images, ACTIVATIONS, seed)
        tables.write(found.probes, PROBES, reading.made_by | {"drawn_images": found.drawn})
        tables.write(found.changed, CHANGED, reading.made_by)
        tables.write(found.damage, DAMAGE, reading.made_by)


if __name__ == "__main__":
    run(main)
