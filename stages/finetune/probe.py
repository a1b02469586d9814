"""Linear probes at every site of the model before tuning and of each tuned one: the same images, on the same folds."""

from pathlib import Path

from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.core.tables import whole_folder
from signbridge.finetune.probed import probed_images
from signbridge.finetune.probes import probes
from signbridge.probing.of_model import probe_models

ACTIVATIONS, ANSWERS = Path("data/activations"), Path("data/answers.parquet")  # the study's
READ, PROBED = Path("data/finetune/read"), Path("data/finetune/probed")


def main() -> None:
    """Read the vectors and answers of the study and of all runs; write `data/finetune/probed/{base,RUN}/`."""
    chosen, seed = probes(), params.seed()
    read = {"base": (ACTIVATIONS, ANSWERS)}
    for name in params.section("runs", list[str], params.FINETUNE):
        read[name] = READ / name / "activations", READ / name / "answers.parquet"
    sample, groups = probed_images()
    with whole_folder(PROBED) as unfinished:
        for name, found in probe_models(read, sample, groups, chosen, seed):
            (unfinished / name).mkdir()
            found.write(unfinished / name)


if __name__ == "__main__":
    run(main)
