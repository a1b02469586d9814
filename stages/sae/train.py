"""Sparse autoencoders of the residual stream of image and text tokens, trained as they are read from the model.

    python -m stages.sae.train

Environment as for `stages.extract`; interrupted training goes on from what lies in .scratch/.
"""

import shutil
from pathlib import Path

from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.core.tables import whole_folder
from signbridge.sae.settings import require_sae_lens
from signbridge.sae.study_training import training_of_study
from signbridge.vlm.loading import ModelParams, device_from_environment
from signbridge.vlm.model_run import fingerprint, open_reader, read_with

IMAGES = Path("data/images.parquet")
MODEL = Path("data/model.json")
SAES = Path("data/sae")
SCRATCH = Path(".scratch")


def main() -> None:
    """Read `data/images.parquet`, the corpus and `data/model.json`, write `data/sae/`."""
    require_sae_lens()
    name, model = params.selected("model", params.MODELS, ModelParams)
    training = training_of_study(IMAGES, model.prompt)
    device = device_from_environment()
    made_by = {**read_with(name, model, MODEL), **training.made_by}
    from signbridge.sae.training_run import train_and_write  # imports SAELens, which takes long

    folder = SCRATCH / "sae" / fingerprint(made_by, device, __file__)
    reader = open_reader(model, SCRATCH / "models", device)
    with whole_folder(SAES) as unfinished:
        train_and_write(training, reader, unfinished, folder, device, made_by)
    shutil.rmtree(SCRATCH / "sae", ignore_errors=True)  # what other settings left there too


if __name__ == "__main__":
    run(main)
