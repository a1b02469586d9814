"""Which images are copies of one photo: `data/photos.parquet`."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import tables
from signbridge.core.command_line import run
from signbridge.core.params import section
from signbridge.datasets.images import KNOWN, grey_pixels_of
from signbridge.datasets.near_duplicates import PhotosParams, find_photos

IMAGES = Path("data/images.parquet")
PHOTOS = Path("data/photos.parquet")
NAMED = 5  # pairs of images in a warning
KEPT = "Each counts as one photo, so that `grouped` keeps it on one side."
LEFT = "No image of such a photo is drawn, so that no signer is on both sides."

log = logging.getLogger(__name__)


def main() -> None:
    """Read the images; write the photo of each, named by the photo's first image."""
    params = section("photos", PhotosParams)
    known = [name for name in KNOWN if name in tables.column_names(IMAGES)]
    images = tables.read(IMAGES, ["image_id", "label", *known])
    labels, signers, copies_of = (
        images[name].to_numpy() if name in images else None for name in ("label", "signer", "photo")
    )
    photos = find_photos(grey_pixels_of(IMAGES), labels, params.threshold, signers, copies_of)
    ids = images["image_id"].tolist()
    warn_of_pairs(photos.under_two_letters, ids, labels, "labels", KEPT)
    if signers is not None:
        warn_of_pairs(photos.under_two_signers, ids, signers, "signers", LEFT)
    table = pd.DataFrame({"image_id": ids, "photo": images["image_id"].to_numpy()[photos.of_image]})
    tables.write(table, PHOTOS, {"images": tables.made_by(IMAGES), "params": params.model_dump()})


def warn_of_pairs(pairs: list[tuple[int, int]], ids: list[str], under: np.ndarray, what: str, so: str) -> None:
    """Name the images that show one picture under two labels or signers, as it is or saved again."""
    if pairs:
        named = ", ".join(f"{ids[a]} ({under[a]}) = {ids[b]} ({under[b]})" for a, b in pairs[:NAMED])
        more = f" and {len(pairs) - NAMED} more" if len(pairs) > NAMED else ""
        log.warning("the same picture under two %s: %s%s.", what, named, more)
        log.warning("%s Remove the wrongly sorted image.", so)


if __name__ == "__main__":
    run(main)
