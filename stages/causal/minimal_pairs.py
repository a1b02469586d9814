"""Minimal pairs: photos drawn twice, with one finger bent further, read, patched into each other and steered.

    python -m stages.causal.minimal_pairs

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

import logging
from pathlib import Path

from signbridge.causal.minimal_pairs import MinimalPairsParams, drawn_pairs
from signbridge.causal.minimal_pairs_sweep import sweep_pairs
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.sweeps import QuestionsParams
from signbridge.vlm.model_run import model_run

SAMPLE = Path("data/sample.parquet")
WRITTEN = Path("data/causal/minimal_pairs")
log = logging.getLogger(__name__)


def main() -> None:
    """Read the sample's labels and `data/model_as_read.json`, write the tables of `data/causal/minimal_pairs/`."""
    settings, seed = params.section("minimal_pairs", MinimalPairsParams, params.CAUSAL), params.seed()
    questions = params.section("questions", QuestionsParams)
    sweep = getattr(settings, questions.sweep)
    letters = sorted(set(tables.read(SAMPLE, columns=["label"])["label"]))
    photos = drawn_pairs(tables.made_by(SAMPLE).get("images", {}), letters, sweep)
    if not photos and sweep.photos:
        log.warning("The images of this dataset are not drawn, or no letter fits: there are no minimal pairs.")
    asked = questions.model_dump(include={"sweep", "describe", "describe_tokens"})
    with model_run(__file__, sample=SAMPLE, questions=asked, minimal_pairs=sweep.model_dump(), seed=seed) as reading:
        for name, table in sweep_pairs(reading, questions, sweep, photos, seed).items():
            tables.write(table, WRITTEN / f"{name}.parquet", reading.made_by)


if __name__ == "__main__":
    run(main)
