"""Which images are copies of one photo: `data/photos.parquet`."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import tables
from signbridge.core.command_line import run
from signbridge.core.params import section
from signbridge.datasets.images import grey_pixels_of
from signbridge.datasets.near_duplicates import PhotosParams, find_photos

IMAGES = Path("data/images.parquet")
PHOTOS = Path("data/photos.parquet")
NAMED = 5  # pairs of images in a warning

log = logging.getLogger(__name__)


def main() -> None:
    """Read the images; write the photo of each, named by the photo's first image."""
    params = section("photos", PhotosParams)
    images = tables.read(IMAGES, ["image_id", "label"])
    pixels = grey_pixels_of(IMAGES)
    labels = images["label"].to_numpy()
    photos = find_photos(pixels, labels, params.threshold)
    warn_of_pairs(photos.under_two_letters, images["image_id"].tolist(), labels)
    table = pd.DataFrame({"image_id": images["image_id"], "photo": images["image_id"].to_numpy()[photos.of_image]})
    tables.write(table, PHOTOS, {"images": tables.made_by(IMAGES), "params": params.model_dump()})


def warn_of_pairs(pairs: list[tuple[int, int]], ids: list[str], labels: np.ndarray) -> None:
    """Name the images that show one picture under two labels, as it is or saved again."""
    if pairs:
        named = ", ".join(f"{ids[a]} ({labels[a]}) = {ids[b]} ({labels[b]})" for a, b in pairs[:NAMED])
        more = f" and {len(pairs) - NAMED} more" if len(pairs) > NAMED else ""
        log.warning("the same picture under two labels: %s%s.", named, more)
        log.warning(
            "Each counts as one photo, so that `grouped` keeps it on one side. Remove the wrongly sorted image."
        )


if __name__ == "__main__":
    run(main)
