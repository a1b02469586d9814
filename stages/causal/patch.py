"""Activation patching: pairs of images put into each other's runs, by site and position, and by head and MLP.

    python -m stages.causal.patch

Environment as for `stages.extract`; finished shards lie in .scratch/ until the table is written.
"""

import logging
from functools import partial
from pathlib import Path

import numpy as np

from signbridge.causal.pairs import differ, image_pairs
from signbridge.causal.patched_parts import parts_of_block, patch_parts
from signbridge.causal.patching import PatchingParams, as_table, patching_work, swaps
from signbridge.causal.within_blocks import has_heads
from signbridge.core import params, tables
from signbridge.core.activations import layer_site
from signbridge.core.command_line import run
from signbridge.core.names import PATCHED
from signbridge.core.sweeps import QuestionsParams
from signbridge.vlm.model_run import model_run
from signbridge.vlm.residual import decoder_sites

SAMPLE = Path("data/sample.parquet")
ANSWERS = Path("data/answers.parquet")
PATCHING = Path("data/causal/patching.parquet")
PARTS = Path("data/causal/patched_parts.parquet")
log = logging.getLogger(__name__)


def main() -> None:
    """Read the sample, the answers and `data/model_as_read.json`, write the two tables of patches."""
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
        reader, parts = reading.reader, reading.reader.loaded.parts
        todo = swaps(reader, settings, list(sample["image"]), list(labels), pairs)
        shards = reading.read_in_shards(todo, patching_work(reader), "patch", "pair", within="sites")
        table = as_table(sample, pairs, shards, {"site": decoder_sites(parts), "position": PATCHED})
        if dropped := len(pairs) - table["pair"].nunique():
            log.warning("%d of %d pairs are left out: their next tokens' logits do not differ.", dropped, len(pairs))
        cells = {
            "part": [],
            "position": sweep.parts_at,
            "site": [layer_site(block) for block in range(len(parts.blocks))],
        }
        shards, of_parts = [], []
        if sweep.parts_at and not has_heads(parts):
            log.warning("Heads and MLPs are not found in the decoder's blocks: they are not patched.")
        elif pairs and sweep.parts_at:
            cells["part"], of_parts = parts_of_block(parts), pairs
            work = patching_work(reader, partial(patch_parts, at=sweep.parts_at))
            shards = reading.read_in_shards(todo, work, "patch heads and MLPs", "pair", within="parts")
        tables.write(table, PATCHING, reading.made_by)
        tables.write(as_table(sample, of_parts, shards, cells), PARTS, reading.made_by)


if __name__ == "__main__":
    run(main)
