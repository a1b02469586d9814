"""The images that the study looks at: `data/sample.parquet`, `plots/class_grid.png`."""

from pathlib import Path

from signbridge.core import tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.params import section, seed
from signbridge.datasets.images import decode_png
from signbridge.datasets.sampling import SampleParams, draw
from signbridge.report.figures.class_grid import class_grid
from signbridge.report.figures.saving import save_figure

IMAGES = Path("data/images.parquet")
PHOTOS = Path("data/photos.parquet")
SAMPLE = Path("data/sample.parquet")
CLASS_GRID = Path("plots/class_grid.png")


def main() -> None:
    """Read images and photos; write the images drawn, letter by letter, and a picture with one of each."""
    params = section("sample", SampleParams)
    images, photos = tables.read(IMAGES, ["image_id", "label", "image"]), tables.read(PHOTOS)
    if not images["image_id"].equals(photos["image_id"]):
        raise SignBridgeError(f"{PHOTOS}: not made from this {IMAGES}. Run `dvc repro`.")
    images["photo"] = photos["photo"]
    rows = draw(images["label"].tolist(), images["photo"].tolist(), params, seed())
    sample = images.iloc[rows][["image_id", "label", "photo", "image"]]
    if sample["label"].nunique() < 2:
        raise SignBridgeError(f"sample.classes: only '{sample['label'].iloc[0]}': a probe needs 2 letters or more.")
    made_by = {"images": tables.made_by(IMAGES), "photos": tables.made_by(PHOTOS)["params"]}
    tables.write(sample, SAMPLE, made_by | {"params": params.model_dump(), "seed": seed()})

    first = sample.drop_duplicates("label")
    figure = class_grid(first["label"].tolist(), [decode_png(png) for png in first["image"]])
    save_figure(figure, CLASS_GRID)


if __name__ == "__main__":
    run(main)
