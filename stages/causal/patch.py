"""Activation patching: pairs of images put into each other's runs, site by site and position by position.

    python -m stages.causal.patch

Environment as for `stages.extract`; finished shards lie in .scratch/ until the table is written.
"""

import logging
from pathlib import Path

import numpy as np

from signbridge.causal.pairs import differ, image_pairs
from signbridge.causal.patching import PatchingParams, as_table, patching_work, swaps
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.sweeps import QuestionsParams
from signbridge.vlm.model_run import model_run

SAMPLE = Path("data/sample.parquet")
ANSWERS = Path("data/answers.parquet")
PATCHING = Path("data/causal/patching.parquet")
log = logging.getLogger(__name__)


def main() -> None:
    """Read the sample, the answers and `data/model.json`, write `data/causal/patching.parquet`."""
    settings, seed = params.section("patching", PatchingParams, params.CAUSAL), params.seed()
    sweep = getattr(settings, params.section("questions", QuestionsParams).sweep)
    sample = tables.read(SAMPLE)
    answers = tables.read(ANSWERS, columns=["image_id", "answer"]).set_index("image_id").loc[sample["image_id"]]
    labels, photos, said = sample["label"].to_numpy(), sample["photo"].to_numpy(), answers["answer"].to_numpy()
    by_answer = settings.question == "answer"
    pairs = image_pairs(
        labels, photos, sweep.pairs, np.random.default_rng(seed), lambda a, b: not by_answer or differ(said[a], said[b])
    )
    if not pairs and sweep.pairs:
        log.warning(
            "No two photos of different classes got different answers: nothing is patched. "
            "patching.question: two_letters compares the letters' own logits."
        )
    asked = {"question": settings.question, "two_letters": settings.two_letters, **sweep.model_dump()}
    drawn = [list(pair) for pair in pairs]
    with model_run(__file__, sample=SAMPLE, patching=asked, pairs=drawn, seed=seed) as reading:
        todo = swaps(reading.reader, settings, list(sample["image"]), list(labels), pairs)
        shards = reading.read_in_shards(todo, patching_work(reading.reader), "patch", "pair")
        table = as_table(sample, pairs, reading.reader.loaded, shards)
        if dropped := len(pairs) - table["pair"].nunique():
            log.warning("%d of %d pairs are left out: their next tokens' logits do not differ.", dropped, len(pairs))
        tables.write(table, PATCHING, reading.made_by)


if __name__ == "__main__":
    run(main)
