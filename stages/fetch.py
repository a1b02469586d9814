"""The chosen dataset, whatever its source, as one table of images: `data/images.parquet`."""

from pathlib import Path
from typing import Annotated, Any

import PIL
from pydantic import Field

from signbridge import tables
from signbridge.command_line import run
from signbridge.datasets import image_folder, rendered, sign_mnist
from signbridge.datasets.images import LabelledImage, images_table
from signbridge.params import selected

IMAGES = Path("data/images.parquet")
Dataset = Annotated[
    rendered.RenderedParams | sign_mnist.SignMnistParams | image_folder.ImageFolderParams,
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
        case rendered.RenderedParams():
            return rendered.render(params), {"params": params.model_dump()}


if __name__ == "__main__":
    run(main)
