"""What the chosen model is and consists of, so that the stages that read it rerun when that changes, and only then.

A model of the hub is pinned by its commit in models.yaml, a random one by its seed; of a local one the files count.
What an entry leaves to the model's own files, its dtype and the question in its chat template, is found here: no
weights are fetched for it.
"""

from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.vlm.catalog import ModelParams
from signbridge.vlm.chosen import MODEL, write_model


def main() -> None:
    """Read `model`, its entry in models.yaml and `question`; check a local model's files; write data/model.json."""
    name, entry = params.selected("model", params.MODELS, ModelParams)
    write_model(MODEL, name, entry)


if __name__ == "__main__":
    run(main)
