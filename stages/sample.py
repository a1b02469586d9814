"""The images that the study looks at: `data/sample.parquet`.

It is refused here, before a model is loaded, if `probe` could not split it.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa

from signbridge.core import tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.groups import groups_of
from signbridge.core.params import section, seed
from signbridge.datasets.images import PART_BYTES
from signbridge.datasets.sampling import SampleParams, draw
from signbridge.probing.settings import ProbeParams, splits_of
from signbridge.probing.signers import signer_splits

IMAGES = Path("data/images.parquet")
PHOTOS = Path("data/photos.parquet")
SAMPLE = Path("data/sample.parquet")
KNOWN = ("signer", "clip")  # of an image, by some datasets

log = logging.getLogger(__name__)


def main() -> None:
    """Read images and photos; write the images drawn, letter by letter."""
    params = section("sample", SampleParams)
    known = [name for name in KNOWN if name in tables.column_names(IMAGES)]
    images, photos = tables.read(IMAGES, ["image_id", "label", *known]), tables.read(PHOTOS)
    if not images["image_id"].equals(photos["image_id"]):
        raise SignBridgeError(f"{PHOTOS}: not made from this {IMAGES}. Run `dvc repro`.")
    images.insert(2, "photo", photos["photo"])
    pool = of_one_signer(images)
    signers = pool["signer"].tolist() if "signer" in pool else None
    sample = pool.iloc[draw(pool["label"].tolist(), pool["photo"].tolist(), params, seed(), signers)]
    if sample["label"].nunique() < 2:
        raise SignBridgeError(f"sample.classes: only '{sample['label'].iloc[0]}': a probe needs 2 letters or more.")
    probe = section("probe", ProbeParams)
    splits_of(probe, sample["label"].to_numpy(), groups_of(sample, probe.grouped.by), seed())
    signer_splits(sample, probe.grouped.inner_folds, seed())
    made_by = {"images": tables.made_by(IMAGES), "photos": tables.made_by(PHOTOS)["params"]}
    tables.write_parts(with_images(sample), SAMPLE, made_by | {"params": params.model_dump(), "seed": seed()})


def of_one_signer(images: pd.DataFrame) -> pd.DataFrame:
    """The images whose photo lies under one signer alone; all of them where signers are not known."""
    if "signer" not in images:
        return images
    signers = images.groupby("photo")["signer"].transform("nunique")
    if left := int((signers > 1).sum()):
        log.warning("%d images are not drawn from: their photo lies under two signers.", left)
    return images[signers == 1]


def with_images(sample: pd.DataFrame) -> Iterator[pa.Table]:
    """The sample with its images, whose index is the rows of the pool: a part at a time, as they may be all of it."""
    together = tables.count_rows(IMAGES, PART_BYTES)
    columns = ["image_id", "label", "photo", "image", *(name for name in KNOWN if name in sample)]
    for start in range(0, len(sample), together):
        part = sample.iloc[start : start + together]
        pngs = tables.read_rows(IMAGES, part.index.tolist(), ["image"])["image"].to_numpy()
        yield pa.Table.from_pandas(part.assign(image=pngs)[columns], preserve_index=False)


if __name__ == "__main__":
    run(main)
