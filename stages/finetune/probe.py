"""Linear probes at every site of a tuned model, on the images that are probed, and what is read from its answers.

python -m stages.finetune.probe RUN
"""

import sys
from pathlib import Path

from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.core.tables import whole_folder
from signbridge.finetune.probed import probed_images
from signbridge.finetune.probes import probes
from signbridge.probing.of_model import probe_model

READ, PROBED = Path("data/finetune/read"), Path("data/finetune/probed")


def main() -> None:
    """Read the vectors and answers of the run that the first argument names; write `data/finetune/probed/RUN/`."""
    name = sys.argv[1]
    read = READ / name
    sample, groups = probed_images()
    found = probe_model(name, read / "activations", read / "answers.parquet", sample, groups, probes(), params.seed())
    with whole_folder(PROBED / name) as unfinished:
        found.write(unfinished)


if __name__ == "__main__":
    run(main)
