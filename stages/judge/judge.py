"""judge: a vision model on a server of the user's choice says which patches can be read. Run only when wanted.

    python -m stages.judge.judge

It sends pictures of the sample to `judge.server`, with the key in OPENAI_API_KEY if there is one. Answers stay in
.scratch/judge/ also when all is done: they may have cost money, and no question is asked twice. Delete that folder to
have them asked anew.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.names import model_name
from signbridge.lenses.judge_server import answers_to, fingerprint, questions_of
from signbridge.statistics import judged
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.readable import image_grid

WORDS = Path("data/lenses/words.parquet")
SAMPLE = Path("data/sample.parquet")
WRITTEN = Path("data/lenses/judged")
SCRATCH = Path(".scratch/judge")


def main() -> None:
    """Read the lenses' words and the sample, ask the server, write `data/lenses/judged/` and metrics."""
    settings = params.section("judge", judged.JudgeParams, params.JUDGE)
    statistics, seed = params.section("statistics", StatisticsParams), params.seed()
    of_patches, of_photos = np.random.default_rng(seed).spawn(2)
    sample = tables.read(SAMPLE, columns=["image_id", "label", "image"]).set_index("image_id")
    text, words = judged.question_text(settings.question), tables.read(WORDS)
    asked = judged.patches_to_judge(words, sample["label"].to_dict(), settings.patches, of_patches)
    questions = questions_of(asked, sample["image"], grid_of_patches(words), settings.box)
    answers = answers_to(questions, settings, text, seed, SCRATCH / fingerprint(settings, text, seed))

    of_each = judged.judged_patches(asked, [answer.text for answer in answers])
    of_layers = judged.judged_shares(of_each, ["lens", "site"], statistics, of_photos)
    of_lenses = judged.judged_shares(of_each, ["lens"], statistics, of_photos)
    findings = {
        "judge_model": settings.model,
        "server_model": ", ".join(sorted({answer.model for answer in answers})),
        "model": model_name(WORDS, params.model_notes()),
        "confidence": statistics.confidence,
        **judged.judge_metrics(of_each, of_lenses),
    }
    made_by = {**settings.model_dump(exclude={"at_once"}), "seed": seed, "text": text}
    tables.write(judged.as_table(of_each), WRITTEN / "judged.parquet", made_by)
    tables.write(of_layers, WRITTEN / "shares.parquet", {**made_by, "statistics": statistics.model_dump()})
    tables.write_findings(WRITTEN / "findings.json", findings)
    tables.write_metrics("metrics/lenses/judge.json", findings, judged.HEADLINE)


def grid_of_patches(words: pd.DataFrame) -> tuple[int, int]:
    """Rows and columns of a model's image tokens. Raises `SignBridgeError` if they make no grid."""
    grid = image_grid(words)
    if grid is None:
        raise SignBridgeError(
            f"{WORDS}: the image tokens of this model make no square grid, so no patch has a place to show a judge. "
            "Choose another model."
        )
    return grid


if __name__ == "__main__":
    run(main)
