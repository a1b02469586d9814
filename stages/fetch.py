"""The chosen dataset, whatever its source, as one table of images, and what is known of the hand in each."""

from pathlib import Path
from typing import Annotated, Any

import PIL
from pydantic import Field

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.datasets import image_folder, sign_mnist
from signbridge.datasets.images import LabelledImage, encoded, readable_name
from signbridge.rendered import dataset
from signbridge.rendered.hands_table import hands_table

IMAGES = Path("data/images.parquet")
HANDS = Path("data/hands.parquet")
Dataset = Annotated[
    dataset.RenderedParams | sign_mnist.SignMnistParams | image_folder.ImageFolderParams,
    Field(discriminator="source"),
]


def main() -> None:
    """Read the dataset that the params choose; write the images, and what is known of their hands."""
    name, chosen = params.selected("dataset", params.DATASETS, Dataset)
    images, provenance = fetch(chosen)
    # Pillow: its version may change the PNG bytes.
    made_by = {"dataset": name, "source": chosen.source, "pillow": PIL.__version__, **provenance}
    tables.write_parts(encoded(images), IMAGES, made_by)
    drawn_with_seed = chosen.seed if chosen.source == "rendered" else None
    hands = hands_table([image.image_id for image in images], [image.label for image in images], drawn_with_seed)
    tables.write(hands, HANDS, {"dataset": name})


def fetch(chosen: Dataset) -> tuple[list[LabelledImage], dict[str, Any]]:
    """The images, and what says where they came from: no path of this machine."""
    match chosen:
        case sign_mnist.SignMnistParams():
            return sign_mnist.fetch(chosen)
        case image_folder.ImageFolderParams():
            folder = Path(chosen.path).expanduser()
            return image_folder.read_folder(folder), {"from": readable_name(folder.name)}
        case dataset.RenderedParams():
            return dataset.render(chosen), {"params": chosen.model_dump()}


if __name__ == "__main__":
    run(main)
