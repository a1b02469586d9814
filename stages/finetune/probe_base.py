"""The same probes of the model before tuning, as the study read it: the same images, on the same folds."""

from pathlib import Path

from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.core.tables import whole_folder
from signbridge.finetune.probed import probed_images
from signbridge.finetune.probes import probes
from signbridge.probing.of_model import probe_model

ACTIVATIONS, ANSWERS = Path("data/activations"), Path("data/answers.parquet")
PROBED = Path("data/finetune/probed/base")


def main() -> None:
    """Read the study's vectors and answers; write `data/finetune/probed/base/`."""
    sample, groups = probed_images()
    found = probe_model("base", ACTIVATIONS, ANSWERS, sample, groups, probes(), params.seed())
    with whole_folder(PROBED) as unfinished:
        found.write(unfinished)


if __name__ == "__main__":
    run(main)
