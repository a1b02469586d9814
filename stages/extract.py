"""Read every site of the chosen model at every position for the images of the sample, and its answers.

    python -m stages.extract

Environment: SIGNBRIDGE_DEVICE (cpu, cuda, cuda:1), SIGNBRIDGE_BATCH_SIZE and SIGNBRIDGE_SHARD_IMAGES (powers of
two); all are found out where they are not set. Finished shards lie in .scratch/ until the tables are written.
"""

import shutil
from pathlib import Path

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.shards import answers_of
from signbridge.vlm.extraction import read_in_shards
from signbridge.vlm.loading import ModelParams, device_from_environment
from signbridge.vlm.model_run import (
    decoded,
    fingerprint,
    images_per_shard,
    made_from,
    open_reader,
    sites_of,
    write_sites,
)

SAMPLE = Path("data/sample.parquet")
MODEL = Path("data/model.json")
ACTIVATIONS = Path("data/activations")
ANSWERS = Path("data/answers.parquet")
SCRATCH = Path(".scratch")


def main() -> None:
    """Read `data/sample.parquet` and `data/model.json`, write `data/activations/` and `data/answers.parquet`."""
    name, model = params.selected("model", "models", ModelParams)
    sample = tables.read(SAMPLE)
    pngs = sample["image"].tolist()
    device = device_from_environment()
    made_by = made_from(name, model, MODEL, SAMPLE)
    folder = SCRATCH / "extract" / fingerprint(made_by, device, __file__)

    reader = open_reader(model, SCRATCH / "models", device)
    shards = read_in_shards(reader, decoded(pngs), folder, images_per_shard())

    made_by = {**made_by, "sites": sites_of(shards)}
    write_sites(ACTIVATIONS, shards, sample["image_id"].tolist(), pngs, made_by)
    answers = sample[["image_id", "label"]].assign(prompt=model.prompt, answer=answers_of(shards))
    tables.write(answers, ANSWERS, made_by)
    shutil.rmtree(SCRATCH / "extract")  # what other settings left there too


if __name__ == "__main__":
    run(main)
