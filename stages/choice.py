"""choice: params.yaml has no unknown key, the chosen dataset and model exist, no licence forbids what is pushed.

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
# Every key of params.yaml, by its section. What their values may be, the models beside the code that reads them say: to
# import those takes seconds, and all that they import would be a dep.
SECTIONS = {
    "": "dataset model question seed push_to show_images",
    "photos": "threshold",
    "sample": "strategy classes per_class signers",
    "extract.store": "sites positions dtype project",
    "probe": "protocols sites layers positions memory_gib",
    "probe.signbridge": "test_size C",
    "probe.grouped": "by folds repeats inner_folds C",
    "probe.description_length": "orders",
    "controls": "read twin_seed",
    "shuffled_labels": "draws quoted_draws",
    "control_task": "draws",
    "learning_curve": "shares images_a_photo repeats more_images_a_photo",
    "prompts": "offer_letters",
    "answers": "shuffles",
    "statistics": "confidence resamples",
    "project": "site position neighbors min_dist",
    "model_notes": "*",
    "questions": "sweep describe describe_tokens corpus templates",
}
KEYS = [f"{section}.{key}".removeprefix(".") for section, keys in SECTIONS.items() for key in keys.split()]


def main() -> None:
    """Write `data/choice.txt`: the same words for every choice, so that what hangs off it does not rerun."""
    params.check_keys(params.PARAMS, KEYS)
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
