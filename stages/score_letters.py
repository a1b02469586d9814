"""The letters scored by the model itself: how likely it holds each to be its next word, where the prompt offers them.

    python -m stages.score_letters

Environment as for `stages.extract`; finished shards lie in .scratch/ until the table is written.
"""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.shards import vectors_of
from signbridge.vlm.extraction import read_in_shards
from signbridge.vlm.letter_scoring import (
    VECTORS,
    LetterScorer,
    PromptsParams,
    offering_prompt,
)
from signbridge.vlm.loading import ModelParams, device_from_environment
from signbridge.vlm.model_run import (
    decoded,
    fingerprint,
    images_per_shard,
    made_from,
    open_reader,
)

SAMPLE = Path("data/sample.parquet")
MODEL = Path("data/model.json")
SCORES = Path("data/letter_scores.parquet")
SCRATCH = Path(".scratch")


def main() -> None:
    """Read `data/sample.parquet` and `data/model.json`, write `data/letter_scores.parquet`."""
    name, model = params.selected("model", "models", ModelParams)
    prompts = params.section("prompts", PromptsParams)
    sample = tables.read(SAMPLE)
    classes = sorted(sample["label"].unique())
    prompt = offering_prompt(prompts.offer_letters, classes)
    device = device_from_environment()
    made_by = {**made_from(name, model, MODEL, SAMPLE), "prompts": prompts.model_dump()}
    folder = SCRATCH / "score_letters" / fingerprint(made_by, device, __file__)

    reader = open_reader(model, SCRATCH / "models", device)
    scorer = LetterScorer(reader.loaded, prompt, classes, reader.batch_size)
    shards = read_in_shards(scorer, decoded(sample["image"]), folder, images_per_shard(), "score letters")

    tables.write(_table(sample, scorer.prompt, classes, vectors_of(shards, VECTORS)), SCORES, made_by)
    shutil.rmtree(SCRATCH / "score_letters")  # what other settings left there too


def _table(sample: pd.DataFrame, prompt: str, classes: list[str], scores: np.ndarray) -> pd.DataFrame:
    """One row an image and class: image_id, label, prompt, letter, log_probability."""
    each = sample[["image_id", "label"]].loc[sample.index.repeat(len(classes))].reset_index(drop=True)
    return each.assign(prompt=prompt, letter=classes * len(sample), log_probability=scores.reshape(-1))


if __name__ == "__main__":
    run(main)
