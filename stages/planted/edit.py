"""Patching and attention knockout of the last token, on pairs of questions with other words and answers.

    python -m stages.planted.edit

Environment as for `stages.extract`; finished shards lie in .scratch/ until the table is written.
"""

from pathlib import Path

import numpy as np

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.datasets.images import decoded
from signbridge.planted.asked import check_truth
from signbridge.planted.edits import Exchange, edit_table, edit_work, question_pairs
from signbridge.planted.questions import ANSWERS
from signbridge.planted.reading import Asked, answer_tokens, prompt_of
from signbridge.planted.settings import EditParams
from signbridge.vlm.catalog import ModelParams
from signbridge.vlm.model_run import model_run
from signbridge.vlm.residual import decoder_sites

SAMPLE = Path("data/sample.parquet")
ASKED = Path("data/planted/asked.parquet")
EDITS = Path("data/planted/edits.parquet")


def main() -> None:
    """Read the questions, the sample and the model; write `data/planted/edits.parquet`."""
    settings, seed = params.section("edit", EditParams, params.PLANTED), params.seed()
    name, model = params.selected("model", params.MODELS, ModelParams)
    check_truth(name, model)
    sample, asked = tables.read(SAMPLE), tables.read(ASKED)
    images = dict(zip(sample["image_id"], decoded(sample["image"]), strict=True))
    pairs = question_pairs(asked, settings.pairs, np.random.default_rng(seed))
    drawn = [list(pair) for pair in pairs]
    with model_run(__file__, sample=SAMPLE, edit=settings.model_dump(), pairs=drawn, seed=seed) as reading:
        token = dict(zip(ANSWERS, answer_tokens(reading.reader), strict=True))
        rows = list(asked.itertuples())
        of_row = [Asked(images[row.image_id], prompt_of(row.finger, row.word, reading.model.prompt)) for row in rows]
        items = [
            Exchange(of_row[pair.a], of_row[pair.b], (token[rows[pair.a].answer], token[rows[pair.b].answer]))
            for pair in pairs
        ]
        shards = reading.read_in_shards(items, edit_work(reading.reader), "edit", "pair")
        tables.write(edit_table(shards, decoder_sites(reading.reader.loaded.parts)), EDITS, reading.made_by)


if __name__ == "__main__":
    run(main)
