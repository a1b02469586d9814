"""What each model says of the images that are probed, before and after it was tuned."""

from pathlib import Path

import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.statistics.answers import likeliest_letter, with_named

ANSWERS, SCORES = Path("data/answers.parquet"), Path("data/letter_scores.parquet")  # the study's
READ, SPLIT = Path("data/finetune/read"), Path("data/finetune/split.parquet")
SAID = Path("data/finetune/said.parquet")


def main() -> None:
    """Read the answers and the scored letters of the study and of all runs; write `data/finetune/said.parquet`.

    run (`base`: before tuning), image_id, label, answer, named (the letter that the answer names, or empty), scored.
    """
    split = tables.read(SPLIT, ["image_id", "part"])
    probed = split.loc[split["part"] == "probe", "image_id"]
    parts = []
    for name in ("base", *params.section("runs", list[str], params.FINETUNE)):
        answers, scores = (
            (ANSWERS, SCORES)
            if name == "base"
            else (READ / name / "answers.parquet", READ / name / "letter_scores.parquet")
        )
        answered = tables.read(answers, ["image_id", "label", "answer"])
        scored = tables.read(scores, ["image_id", "label", "letter", "log_probability"])
        answered, scored = (table[table["image_id"].isin(probed)] for table in (answered, scored))
        best = likeliest_letter(scored).set_index("image_id")["predicted"]
        parts.append(with_named(answered).assign(run=name, scored=lambda rows, best=best: rows["image_id"].map(best)))
    made = tables.made_by(SPLIT)
    made_by = {"audit": made["audit"], "model": tables.made_by(ANSWERS)["model"]}
    tables.write(pd.concat(parts, ignore_index=True), SAID, made_by)


if __name__ == "__main__":
    run(main)
