"""Activation patching: pairs of images put into each other's runs, site by site and position by position.

    python -m stages.causal.patch

Environment as for `stages.extract`; finished shards lie in .scratch/ until the table is written.
"""

import logging
import shutil
from pathlib import Path

import numpy as np

from signbridge.causal.pairs import differ, image_pairs
from signbridge.causal.patching import (
    Patcher,
    PatchingParams,
    as_table,
    swaps,
)
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.sweeps import QuestionsParams
from signbridge.vlm.extraction import read_in_shards
from signbridge.vlm.loading import ModelParams, device_from_environment
from signbridge.vlm.model_run import (
    fingerprint,
    images_per_shard,
    made_from,
    open_reader,
)

SAMPLE = Path("data/sample.parquet")
MODEL = Path("data/model.json")
ANSWERS = Path("data/answers.parquet")
PATCHING = Path("data/patching.parquet")
SCRATCH = Path(".scratch")
log = logging.getLogger(__name__)


def main() -> None:
    """Read the sample, the answers and `data/model.json`, write `data/patching.parquet`."""
    name, model = params.selected("model", params.MODELS, ModelParams)
    settings = params.section("patching", PatchingParams, params.CAUSAL)
    sweep = getattr(settings, params.section("questions", QuestionsParams).sweep)
    sample = tables.read(SAMPLE)
    answers = tables.read(ANSWERS, columns=["image_id", "answer"]).set_index("image_id").loc[sample["image_id"]]
    device = device_from_environment()
    asked = {"question": settings.question, "two_letters": settings.two_letters, **sweep.model_dump()}
    made_by = {**made_from(name, model, MODEL, SAMPLE), "patching": asked, "seed": params.seed()}

    labels, photos, said = sample["label"].to_numpy(), sample["photo"].to_numpy(), answers["answer"].to_numpy()
    by_answer = settings.question == "answer"
    pairs = image_pairs(
        labels, photos, sweep.pairs, np.random.default_rng(params.seed()),
        lambda a, b: not by_answer or differ(said[a], said[b]),
    )  # fmt: skip
    if not pairs and sweep.pairs:
        log.warning(
            "No two photos of different classes got different answers: nothing is patched. "
            "patching.question: two_letters compares the letters' own logits."
        )
    reader = open_reader(model, SCRATCH / "models", device)
    patcher = Patcher(reader.loaded, model.prompt, 1, reader.batch_size)
    made_by["pairs"] = [list(pair) for pair in pairs]
    folder = SCRATCH / "patch" / fingerprint(made_by, device, __file__)
    todo = swaps(patcher, settings, list(sample["image"]), list(labels), pairs)
    shards = read_in_shards(patcher, todo, folder, images_per_shard(), "patch", "pair")

    table = as_table(sample, pairs, reader.loaded, shards)
    if dropped := len(pairs) - table["pair"].nunique():
        log.warning("%d of %d pairs are left out: their next tokens' logits do not differ.", dropped, len(pairs))
    tables.write(table, PATCHING, made_by)
    shutil.rmtree(SCRATCH / "patch", ignore_errors=True)  # what other settings left there too


if __name__ == "__main__":
    run(main)
