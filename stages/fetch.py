"""The chosen dataset, whatever its source, as one table of images, and what is known of the hand in each."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import PIL
from pydantic import Field

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.datasets import hub_dataset, image_folder, sign_mnist
from signbridge.datasets.entry import Entry
from signbridge.datasets.images import LabelledImage, encoded
from signbridge.rendered import dataset
from signbridge.rendered.hands_table import hands_table

IMAGES = Path("data/images.parquet")
HANDS = Path("data/hands.parquet")
Dataset = Annotated[
    dataset.RenderedParams | sign_mnist.SignMnistParams | image_folder.ImageFolderParams | hub_dataset.HubParams,
    Field(discriminator="source"),
]

log = logging.getLogger(__name__)


def main() -> None:
    """Read the dataset that the params choose; write the images, and what is known of their hands."""
    name, chosen = params.selected("dataset", params.DATASETS, Dataset)
    images, provenance = fetch(chosen)
    # Pillow: its version may change the PNG bytes.
    made_by = {"dataset": name, "source": chosen.source, "pillow": PIL.__version__, **chosen.terms()}
    tables.write_parts(encoded(images), IMAGES, lambda: made_by | provenance)  # what was left out is known at the end
    for reason, left_out in provenance.get("left_out", {}).items():
        log.warning("left out: %d files (%s), first '%s'", left_out["images"], reason, left_out["first"])
    written = tables.read(IMAGES, ["image_id", "label"])
    drawn = chosen if isinstance(chosen, dataset.RenderedParams) else None
    hands = hands_table(written["image_id"].tolist(), written["label"].tolist(), drawn)
    tables.write(hands, HANDS, {"dataset": name})


def fetch(chosen: Dataset) -> tuple[Iterable[LabelledImage], dict[str, Any]]:
    """The images, and what says where they came from: no path of this machine."""
    match chosen:
        case sign_mnist.SignMnistParams():
            return sign_mnist.fetch(chosen)
        case image_folder.ImageFolderParams():
            return image_folder.fetch(chosen)
        case hub_dataset.HubParams():
            return hub_dataset.fetch(chosen)
        case dataset.RenderedParams():
            own = chosen.model_dump(exclude=set(Entry.model_fields), exclude_defaults=True)
            return dataset.render(chosen), {"params": own}


if __name__ == "__main__":
    run(main)
