"""Every site of the model at every position for all clips, and its answers, in one reading.

python -m stages.motion.extract READING

READING is one of `readings` in stages/motion/params.yaml. Environment as for stages/extract.py.
"""

import sys
from pathlib import Path
from typing import get_args

from signbridge.clips.table import read_clips
from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.tables import whole_folder
from signbridge.motion.extraction import extract_clips
from signbridge.motion.frames import OF_TWIN, ClipFrames
from signbridge.motion.settings import Reading
from signbridge.vlm.chosen import read_model
from signbridge.vlm.model_run import model_run

CLIPS, MODEL, READ = Path("data/motion/clips.parquet"), Path("data/motion/model.json"), Path("data/motion/read")


def main() -> None:
    """Read the clips and what the model is; write vectors and answers to data/motion/read/READING/."""
    reading, how = sys.argv[1], read_model(MODEL)["read_as"]
    if reading not in get_args(Reading):
        raise SignBridgeError(f"no reading '{reading}'. There are: {', '.join(get_args(Reading))}.")
    seed = params.seed()
    twin_seed = params.section("controls.twin_seed", int) if reading in OF_TWIN else None
    table, frames = read_clips(CLIPS), ClipFrames(CLIPS)
    made_by = {"reading": reading, "read_as": how, "seed": seed, "twin_seed": twin_seed}
    with (
        model_run(__file__, of=MODEL, item=reading, sample=CLIPS, **made_by) as of_model,
        whole_folder(READ / reading) as unfinished,
    ):
        extract_clips(of_model, table, frames, reading, how, seed, twin_seed, unfinished)


if __name__ == "__main__":
    run(main)
