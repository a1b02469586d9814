"""One model's own probability of each letter: the stage `score_letters` of the study, for each of several.

python -m stages.models.score_letters NAME

Every model is asked `letters_question` in the form of its own prompt.
"""

import logging
import sys
from pathlib import Path

import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.shards import vectors_of
from signbridge.datasets.images import decoded
from signbridge.vlm.chat_template import asking_instead
from signbridge.vlm.letter_scoring import COLUMNS, VECTORS, letter_scores, offering_prompt, scores_table
from signbridge.vlm.model_run import model_run

SAMPLE = Path("data/sample.parquet")
KEY = f"{params.SIDE_BY_SIDE}: letters_question"
log = logging.getLogger(__name__)


def main() -> None:
    """Read the sample and, as it was read, the model that the first argument names; write data/models/scored/."""
    name, sample = sys.argv[1], tables.read(SAMPLE)
    question, letters = params.section("question", str), params.section("letters_question", str, params.SIDE_BY_SIDE)
    classes = sorted(sample["label"].unique())
    offering = offering_prompt(letters, classes, KEY)
    scored = Path(f"data/models/scored/{name}.parquet")
    with model_run(
        __file__, of=Path(f"data/models/as_read/{name}.json"), sample=SAMPLE, letters=[question, letters]
    ) as reading:
        reader = reading.reader
        try:
            asked = reader.asking(asking_instead(reader.prompt, question, offering, reader.loaded.processor), KEY, 1)
            work = letter_scores(asked, classes, KEY)
        except SignBridgeError as reason:  # of this model alone, whose other results stand
            log.warning("%s: its letters are not scored. %s", name, reason)
            tables.write(pd.DataFrame(columns=COLUMNS), scored, {**reading.made_by, "not_scored": str(reason)})
            return
        shards = reading.read_in_shards(decoded(sample["image"]), work, f"score letters, {name}", reader=asked)
        table = scores_table(sample, asked.prompt, classes, vectors_of(shards, VECTORS))
        tables.write(table, scored, reading.made_by)


if __name__ == "__main__":
    run(main)
