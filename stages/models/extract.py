"""Every site of one of the models at every position, and its answers: the stage `extract` of the study, for several.

python -m stages.models.extract NAME

With the images the model reads the control `no_image`: the mean grey, once for each size of an image, as all images of
a size have the same. The control of another letter needs no reading: its images are of the sample.
"""

import sys
from pathlib import Path

import numpy as np

from signbridge.core import tables
from signbridge.core.command_line import run
from signbridge.core.tables import whole_folder
from signbridge.datasets.control_images import NO_IMAGE, no_images
from signbridge.datasets.images import decoded
from signbridge.vlm.chosen import write_as_read
from signbridge.vlm.model_run import READ_ON, model_run
from signbridge.vlm.needs import needs_of
from signbridge.vlm.sample_tables import write_read

SAMPLE = Path("data/sample.parquet")


def main() -> None:
    """Read the sample and the description of the model that the first argument names; write what it read."""
    name, sample = sys.argv[1], tables.read(SAMPLE)
    described = Path(f"data/models/described/{name}.json")
    pngs = sample["image"].tolist()
    uniform, grey = no_images(pngs)
    of_a_size = list(dict.fromkeys(uniform))
    rows, of_no_image = np.arange(len(pngs)), len(pngs) + np.array([of_a_size.index(png) for png in uniform])
    with model_run(__file__, of=described, sample=SAMPLE) as reading:
        needs = needs_of(reading.reader.loaded.model.config, reading.model)._asdict()
        shards = reading.read_in_shards(decoded([*pngs, *of_a_size]))
        with whole_folder(Path(f"data/models/read/{name}")) as folder:
            write_read(reading, shards, sample, rows, folder, needs=needs)
            shown = sample.assign(image=uniform)
            write_read(reading, shards, shown, of_no_image, folder / NO_IMAGE, control=NO_IMAGE, grey=grey)
        write_as_read(reading.made_by[READ_ON]["weights"], described, Path(f"data/models/as_read/{name}.json"))


if __name__ == "__main__":
    run(main)
