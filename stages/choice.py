"""choice: the chosen dataset and model exist, and what the dataset's licence forbids is not pushed.

First of all stages, so that a wrong name costs nothing. DVC tracks `datasets.${dataset}` and `models.${model}`; without
this stage it would stop at a wrong name with its own message, which does not say what there is, after it has removed
the outputs of the stage that was to run.
"""

from pathlib import Path
from typing import Any, Literal

from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.passing_on import check_pushed_to
from signbridge.core.tables import whole_file

CHECKED = Path("data/choice.txt")
OF_CLIPS = ("rendered_motion", "asl_citizen", "wlasl", "clip_folder")  # sources that have no single images


def main() -> None:
    """Write `data/choice.txt`: the same words for every choice, so that what hangs off it does not rerun."""
    name, dataset = params.selected("dataset", params.DATASETS, dict[str, Any])
    check_has_images(name, dataset)
    params.selected("model", params.MODELS, dict[str, Any])
    params.section("show_images", Literal["auto", True, False])
    check_pushed_to(params.section("push_to", str), name, dataset)
    with whole_file(CHECKED) as unfinished:
        unfinished.write_text("The chosen dataset and model exist.\n", encoding="utf-8", newline="\n")


def check_has_images(name: str, dataset: dict[str, Any]) -> None:
    """Raises `SignBridgeError` if `dataset` has clips of signs that move, of which the study reads none."""
    if dataset.get("source") in OF_CLIPS:
        raise SignBridgeError(
            f"params.yaml: dataset: {name} has clips of signs that move; the study reads single images. Choose it as "
            f"`dataset` in {params.MOTION}, and run `make motion`."
        )


if __name__ == "__main__":
    run(main)
