"""choice: the chosen dataset and model exist. First of all stages, so that a wrong name costs nothing.

DVC tracks `datasets.${dataset}` and `models.${model}`; without this stage it would stop at a wrong name with its own
message, which does not say what there is, after it has removed the outputs of the stage that was to run.
"""

from pathlib import Path
from typing import Any

from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.core.tables import whole_file

CHECKED = Path("data/choice.txt")


def main() -> None:
    """Write `data/choice.txt`: the same words for every choice, so that what hangs off it does not rerun."""
    params.selected("dataset", params.DATASETS, dict[str, Any])
    params.selected("model", params.MODELS, dict[str, Any])
    with whole_file(CHECKED) as unfinished:
        unfinished.write_text("The chosen dataset and model exist.\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run(main)
