"""choice: the dataset of clips and the model exist, and what the dataset's licence forbids is not pushed.

First of all stages, so that a wrong name, or readings that give no answer, cost nothing.
"""

from pathlib import Path
from typing import Any, Literal

from signbridge.clips.sources import chosen_dataset
from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.names import IN_ORDER, SHUFFLED
from signbridge.core.passing_on import check_pushed_to
from signbridge.core.tables import whole_file
from signbridge.motion.settings import MotionParams

CHECKED = Path("data/motion/choice.txt")


def main() -> None:
    """Write `data/motion/choice.txt`: the same words for every choice, so that what hangs off it does not rerun."""
    settings = params.whole(MotionParams, params.MOTION)
    missing = [reading for reading in (IN_ORDER, SHUFFLED) if reading not in settings.readings]
    if missing:
        raise SignBridgeError(
            f"{params.MOTION}: readings: no '{missing[0]}'. What order adds is {IN_ORDER} less {SHUFFLED}: list both."
        )
    if len(set(settings.readings)) < len(settings.readings):
        raise SignBridgeError(f"{params.MOTION}: readings: one is listed twice. List each once.")
    name, _ = chosen_dataset()
    params.selected("model", params.MODELS, dict[str, Any], params.MOTION)
    params.section("show_images", Literal["auto", True, False])
    _, dataset = params.selected("dataset", params.DATASETS, dict[str, Any], params.MOTION)
    check_pushed_to(params.section("push_to", str), name, dataset)
    with whole_file(CHECKED) as unfinished:
        unfinished.write_text("The chosen dataset and model exist.\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run(main)
