"""What one of the models is and consists of: the stage `model` of the study, for each of several.

python -m stages.models.model NAME
"""

import sys
from pathlib import Path

from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.vlm.catalog import ModelParams
from signbridge.vlm.chosen import write_model


def main() -> None:
    """Read the entry of models.yaml that the first argument names, and `question`; write its description."""
    name = sys.argv[1]
    write_model(Path(f"data/models/described/{name}.json"), name, params.entry(name, params.MODELS, ModelParams))


if __name__ == "__main__":
    run(main)
