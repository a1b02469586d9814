"""The images that the study looks at: `data/sample.parquet`.

It is refused here, before a model is loaded, if `probe` could not split it.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa

from signbridge.core import tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.params import section, seed
from signbridge.datasets.images import PART_BYTES
from signbridge.datasets.sampling import SampleParams, draw
from signbridge.probing.settings import ProbeParams, splits_of

IMAGES = Path("data/images.parquet")
PHOTOS = Path("data/photos.parquet")
SAMPLE = Path("data/sample.parquet")


def main() -> None:
    """Read images and photos; write the images drawn, letter by letter."""
    params = section("sample", SampleParams)
    images, photos = tables.read(IMAGES, ["image_id", "label"]), tables.read(PHOTOS)
    if not images["image_id"].equals(photos["image_id"]):
        raise SignBridgeError(f"{PHOTOS}: not made from this {IMAGES}. Run `dvc repro`.")
    images["photo"] = photos["photo"]
    rows = draw(images["label"].tolist(), images["photo"].tolist(), params, seed())
    sample = images.iloc[rows]
    if sample["label"].nunique() < 2:
        raise SignBridgeError(f"sample.classes: only '{sample['label'].iloc[0]}': a probe needs 2 letters or more.")
    splits_of(section("probe", ProbeParams), sample["label"].to_numpy(), sample["photo"].to_numpy(), seed())
    made_by = {"images": tables.made_by(IMAGES), "photos": tables.made_by(PHOTOS)["params"]}
    tables.write_parts(with_images(sample), SAMPLE, made_by | {"params": params.model_dump(), "seed": seed()})


def with_images(sample: pd.DataFrame) -> Iterator[pa.Table]:
    """The sample with its images, whose index is the rows of the pool: a part at a time, as they may be all of it."""
    together = tables.count_rows(IMAGES, PART_BYTES)
    for start in range(0, len(sample), together):
        part = sample.iloc[start : start + together]
        pngs = tables.read_rows(IMAGES, part.index.tolist(), ["image"])["image"].to_numpy()
        yield pa.Table.from_pandas(part.assign(image=pngs), preserve_index=False)


if __name__ == "__main__":
    run(main)
