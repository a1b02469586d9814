"""judge: a vision model on a server of the user's choice says which patches can be read; off by default.

    python -m stages.lenses.judge

Off, it asks nobody and writes empty tables. On, it sends pictures of the sample to `judge.server`, with the key in
OPENAI_API_KEY if there is one. Answers stay in .scratch/judge/ also when all is done: they may have cost money, and no
question is asked twice. Delete that folder to have them asked anew.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.names import model_name
from signbridge.lenses.judge_server import Question, answers_to, fingerprint
from signbridge.lenses.red_box import red_box_pictures
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.judged import (
    JUDGED,
    SHARES,
    JudgeParams,
    as_table,
    judge_metrics,
    judged_patches,
    judged_shares,
    patches_to_judge,
    question_text,
)

LENSES = Path("data/lenses.parquet")
SAMPLE = Path("data/sample.parquet")
DATA = Path("data/judged.parquet")
METRICS = Path("metrics/judge.json")
PLOT = Path("plots/judge.csv")
SCRATCH = Path(".scratch")


def main() -> None:
    """Read the lenses' table and the sample, write data/judged.parquet, metrics/judge.json and plots/judge.csv."""
    settings = params.section("judge", JudgeParams, params.LENSES)
    if settings.judge == "none":
        tables.write(as_table(pd.DataFrame(columns=JUDGED.names)), DATA, {"judge": "none"})
        tables.write_metrics(METRICS, {"judge": "none"})
        tables.write_csv(pd.DataFrame(columns=SHARES), PLOT)
        return
    statistics = params.section("statistics", StatisticsParams)
    of_patches, of_photos = np.random.default_rng(params.seed()).spawn(2)
    sample = tables.read(SAMPLE, columns=["image_id", "label", "image"]).set_index("image_id")
    text = question_text(settings.question)
    asked = patches_to_judge(tables.read(LENSES), sample["label"].to_dict(), settings.patches, of_patches)
    questions = questions_of(asked, sample["image"], grid_of_patches(), settings.box)
    folder = SCRATCH / "judge" / fingerprint(settings, text, params.seed())
    answers = answers_to(questions, settings, text, params.seed(), folder)

    judged = judged_patches(asked, [answer.text for answer in answers])
    made_by = {**settings.model_dump(exclude={"at_once"}), "seed": params.seed(), "text": text}
    tables.write(as_table(judged), DATA, made_by)
    values = {
        "judge": settings.judge,
        "judge_model": settings.model,
        "server_model": ", ".join(sorted({answer.model for answer in answers})),
        "model": model_name(LENSES, params.model_notes()),
        "confidence": statistics.confidence,
    }
    of_layers = judged_shares(judged, ["lens", "site"], statistics, of_photos)
    of_lenses = judged_shares(judged, ["lens"], statistics, of_photos)
    tables.write_metrics(METRICS, values | judge_metrics(judged, of_lenses))
    tables.write_csv(of_layers, PLOT)


def grid_of_patches() -> list[int]:
    """Rows and columns of a model's image tokens. Raises `SignBridgeError` if they make no grid."""
    grid = tables.made_by(LENSES).get("grid")
    if grid is None:
        raise SignBridgeError(
            f"{LENSES}: the image tokens of this model make no square grid, so none has a place to show a judge. "
            "Set judge.judge: none, or choose another model."
        )
    return grid


def questions_of(asked: pd.DataFrame, images: pd.Series, grid: list[int], box: int) -> list[Question]:
    """The question of every row; what is shown of a patch is drawn once."""
    patches = asked[["image_id", "patch"]].drop_duplicates()
    pictures = {
        (image, patch): red_box_pictures(images[image], patch, grid, box)
        for image, patch in patches.itertuples(index=False)
    }
    return [Question(row.words, pictures[row.image_id, row.patch]) for row in asked.itertuples()]


if __name__ == "__main__":
    run(main)
