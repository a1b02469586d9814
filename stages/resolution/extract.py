"""Every site of the model at every position, and its answers, for the images of one rung: `extract` of the study again.

    python -m stages.resolution.extract RUNG

A rung that is left out is not read. Environment as for `stages.extract`.
"""

import sys
from pathlib import Path

from signbridge.core import tables
from signbridge.core.command_line import run
from signbridge.core.tables import whole_folder

ANSWERS = Path("data/answers.parquet")  # the study's


def main() -> None:
    """Read the images of the rung that the first argument names; write data/resolution/read/RUNG/."""
    rung = sys.argv[1]
    pictures = Path(f"data/resolution/pictures/{rung}.parquet")
    sample = tables.read(pictures)
    with whole_folder(Path(f"data/resolution/read/{rung}")) as unfinished:
        if sample.empty:
            answers = sample[["image_id", "label"]].assign(prompt="", answer="")
            tables.write(answers, unfinished / "answers.parquet", {"rung": rung})
            return
        from signbridge.vlm.model_run import model_run  # imports PyTorch: seconds
        from signbridge.vlm.sample_tables import extract_sample

        with model_run(__file__, item=rung, sample=pictures, earlier=ANSWERS, rung=rung) as reading:
            extract_sample(reading, sample, unfinished)


if __name__ == "__main__":
    run(main)
