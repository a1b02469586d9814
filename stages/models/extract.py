"""Every site of one of the models at every position, and its answers: the stage `extract` of the study, for several.

python -m stages.models.extract NAME
"""

import sys
from pathlib import Path

from signbridge.core import tables
from signbridge.core.command_line import run
from signbridge.core.tables import whole_folder
from signbridge.vlm.model_run import extract_sample, model_run
from signbridge.vlm.needs import needs_of

SAMPLE = Path("data/sample.parquet")


def main() -> None:
    """Read the sample and the description of the model that the first argument names; write vectors and answers."""
    name, sample = sys.argv[1], tables.read(SAMPLE)
    with model_run(__file__, of=Path(f"data/models/described/{name}.json"), sample=SAMPLE) as reading:
        needs = needs_of(reading.reader.loaded.model.config, reading.model)._asdict()
        with whole_folder(Path(f"data/models/read/{name}")) as unfinished:
            extract_sample(reading, sample, unfinished / "activations", unfinished / "answers.parquet", needs=needs)


if __name__ == "__main__":
    run(main)
