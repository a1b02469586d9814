"""The model's own probability of each letter as its next word, under a prompt that offers the letters.

    python -m stages.score_letters

Environment as for `stages.extract`; finished shards lie in .scratch/ until the table is written.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.shards import vectors_of
from signbridge.datasets.images import decoded
from signbridge.vlm.letter_scoring import VECTORS, PromptsParams, letter_scores, offering_prompt
from signbridge.vlm.model_run import model_run

SAMPLE = Path("data/sample.parquet")
SCORES = Path("data/letter_scores.parquet")


def main() -> None:
    """Read `data/sample.parquet` and `data/model_as_read.json`, write `data/letter_scores.parquet`."""
    prompts = params.section("prompts", PromptsParams)
    sample = tables.read(SAMPLE)
    classes = sorted(sample["label"].unique())
    prompt = offering_prompt(prompts.offer_letters, classes)
    with model_run(__file__, sample=SAMPLE, prompts=prompts.model_dump()) as reading:
        asked = reading.reader.asking(prompt, "prompts.offer_letters", 1)
        work = letter_scores(asked, classes)
        shards = reading.read_in_shards(decoded(sample["image"]), work, "score letters", reader=asked)
        tables.write(_table(sample, asked.prompt, classes, vectors_of(shards, VECTORS)), SCORES, reading.made_by)


def _table(sample: pd.DataFrame, prompt: str, classes: list[str], scores: np.ndarray) -> pd.DataFrame:
    """One row an image and class: image_id, label, prompt, letter, log_probability."""
    each = sample[["image_id", "label"]].loc[sample.index.repeat(len(classes))].reset_index(drop=True)
    return each.assign(prompt=prompt, letter=classes * len(sample), log_probability=scores.reshape(-1))


if __name__ == "__main__":
    run(main)
