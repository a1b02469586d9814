"""Which images are copies of one photo: `data/photos.parquet`."""

from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import tables
from signbridge.core.command_line import run
from signbridge.core.params import section
from signbridge.datasets.images import grey_pixels
from signbridge.datasets.near_duplicates import PhotosParams, find_photos

IMAGES = Path("data/images.parquet")
PHOTOS = Path("data/photos.parquet")


def main() -> None:
    """Read the images; write the photo of each, named by the photo's first image."""
    params = section("photos", PhotosParams)
    images = tables.read(IMAGES)
    pixels = np.stack([grey_pixels(png) for png in images["image"]])
    photos = find_photos(pixels, images["label"].to_numpy(), params.threshold)
    table = pd.DataFrame({"image_id": images["image_id"], "photo": images["image_id"].to_numpy()[photos]})
    tables.write(table, PHOTOS, {"images": tables.made_by(IMAGES), "params": params.model_dump()})


if __name__ == "__main__":
    run(main)
