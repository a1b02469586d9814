"""The chosen dataset, whatever its source, as one table of images: `data/images.parquet`."""

from pathlib import Path
from typing import Annotated, Any

import PIL
from pydantic import Field

from signbridge.core import tables
from signbridge.core.command_line import run
from signbridge.core.params import selected
from signbridge.datasets import image_folder, sign_mnist
from signbridge.datasets.images import LabelledImage, images_table
from signbridge.rendered import dataset

IMAGES = Path("data/images.parquet")
Dataset = Annotated[
    dataset.RenderedParams | sign_mnist.SignMnistParams | image_folder.ImageFolderParams,
    Field(discriminator="source"),
]


def main() -> None:
    """Read the params `dataset` and `datasets`; write the images."""
    name, params = selected("dataset", "datasets", Dataset)
    images, provenance = fetch(params)
    # Pillow: its version may change the PNG bytes.
    made_by = {"dataset": name, "source": params.source, "pillow": PIL.__version__, **provenance}
    tables.write(images_table(images), IMAGES, made_by)


def fetch(params: Dataset) -> tuple[list[LabelledImage], dict[str, Any]]:
    """The images, and what says where they came from: no path of this machine."""
    match params:
        case sign_mnist.SignMnistParams():
            return sign_mnist.fetch(params)
        case image_folder.ImageFolderParams():
            folder = Path(params.path).expanduser()
            return image_folder.read_folder(folder), {"from": folder.name}
        case dataset.RenderedParams():
            return dataset.render(params), {"params": params.model_dump()}


if __name__ == "__main__":
    run(main)
