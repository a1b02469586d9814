"""The model's own probability of each letter as its next word, under a prompt that offers the letters.

    python -m stages.score_letters

Environment as for `stages.extract`; finished shards lie in .scratch/ until the table is written.
"""

from pathlib import Path

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.shards import vectors_of
from signbridge.datasets.images import decoded
from signbridge.vlm.letter_scoring import VECTORS, PromptsParams, letter_scores, offering_prompt, scores_table
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
        table = scores_table(sample, asked.prompt, classes, vectors_of(shards, VECTORS))
        tables.write(table, SCORES, reading.made_by)


if __name__ == "__main__":
    run(main)
