"""What the chosen model is and consists of, with the question about a clip in its prompt, and how it reads clips.

`read_as` of stages/motion/params.yaml is settled here: `video` or `images`.
"""

from pathlib import Path

from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.motion.asking import write_asked
from signbridge.motion.settings import ReadAs
from signbridge.vlm.catalog import ModelParams

MODEL = Path("data/motion/model.json")


def main() -> None:
    """Read `model`, its entry in models.yaml, `question` and `read_as`; write data/motion/model.json."""
    name, entry = params.selected("model", params.MODELS, ModelParams, params.MOTION)
    question, wanted = params.section("question", str, params.MOTION), params.section("read_as", ReadAs, params.MOTION)
    write_asked(MODEL, name, entry, question, wanted)


if __name__ == "__main__":
    run(main)
