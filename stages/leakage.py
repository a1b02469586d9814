"""leakage: do the splits measure memory? Copies of one photo on both sides, and what the nearest image gives away."""

from pathlib import Path

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.datasets.images import grey_pixels_of
from signbridge.probing.leakage import HEADLINE, leakage_of_dataset, leakage_of_splits
from signbridge.probing.settings import ProbeParams, splits_of

IMAGES = Path("data/images.parquet")
SAMPLE = Path("data/sample.parquet")


def main() -> None:
    """Write metrics/leakage.json."""
    probe = params.section("probe", ProbeParams)
    images = tables.read(IMAGES, columns=["image_id", "label", "split", "sha256"])
    photos = tables.read("data/photos.parquet").set_index("image_id")["photo"]
    sample = tables.read(SAMPLE, columns=["label", "photo"])

    numbers = leakage_of_dataset(images, photos[images["image_id"]].to_numpy())
    pixels = grey_pixels_of(SAMPLE).reshape(len(sample), -1)
    labels, sample_photos = sample["label"].to_numpy(), sample["photo"].to_numpy()
    splits = splits_of(probe, labels, sample_photos, params.seed())
    numbers |= leakage_of_splits(splits, labels, sample_photos, pixels)
    tables.write_metrics("metrics/leakage.json", numbers, HEADLINE)


if __name__ == "__main__":
    run(main)
