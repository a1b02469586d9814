"""leakage: do the splits measure memory? Copies of one photo on both sides, and what the nearest image gives away."""

from pathlib import Path

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.groups import read_sample
from signbridge.datasets.images import grey_pixels_of
from signbridge.probing.leakage import HEADLINE, leakage_of_dataset, leakage_of_splits
from signbridge.probing.settings import ProbeParams, splits_of

IMAGES = Path("data/images.parquet")
SAMPLE = Path("data/sample.parquet")


def main() -> None:
    """Write metrics/leakage.json."""
    probe = params.section("probe", ProbeParams)
    signer = ["signer"] if "signer" in tables.column_names(IMAGES) else []
    images = tables.read(IMAGES, columns=["image_id", "label", "split", "sha256", *signer])
    photos = tables.read("data/photos.parquet").set_index("image_id")["photo"]
    sample, groups = read_sample(["label"])

    numbers = leakage_of_dataset(images, photos[images["image_id"]].to_numpy())
    pixels = grey_pixels_of(SAMPLE).reshape(len(sample), -1)
    splits = splits_of(probe, sample["label"].to_numpy(), groups, params.seed())
    numbers |= leakage_of_splits(splits, sample, pixels)
    tables.write_metrics("metrics/leakage.json", numbers, HEADLINE)


if __name__ == "__main__":
    run(main)
