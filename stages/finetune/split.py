"""Which images the model is tuned on, which choose when to stop, and which are probed."""

from pathlib import Path

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.groups import By, groups_of
from signbridge.finetune.settings import PROBE, SplitParams, check_runs
from signbridge.finetune.split import audit, split
from signbridge.probing.settings import GroupedProtocol, grouped_splits

IMAGES, PHOTOS, SAMPLE = Path("data/images.parquet"), Path("data/photos.parquet"), Path("data/sample.parquet")
SPLIT = Path("data/finetune/split.parquet")


def main() -> None:
    """Read the dataset, its photos and the sample; write `data/finetune/split.parquet`."""
    check_runs()  # before anything is tuned
    settings, seed = params.section("split", SplitParams, params.FINETUNE), params.seed()
    by, folds = params.section("probe.grouped.by", By), params.section("probe.grouped", GroupedProtocol)
    known = [name for name in ("signer", "clip") if name in tables.column_names(IMAGES)]
    images, photos = tables.read(IMAGES, ["image_id", "label", *known]), tables.read(PHOTOS)
    if not images["image_id"].equals(photos["image_id"]):
        raise SignBridgeError(f"{PHOTOS}: not made from this {IMAGES}. Run `dvc repro`.")
    sample = tables.read(SAMPLE, ["image_id", "label"])
    images = images.assign(photo=photos["photo"])[images["label"].isin(sample["label"])].reset_index(drop=True)
    groups = groups_of(images, by)
    chosen = split(images, groups, images["image_id"].isin(sample["image_id"]).to_numpy(), settings, seed)
    probed = chosen[chosen["part"] == PROBE]
    of_probed = groups._replace(of_image=probed["group"].to_numpy())
    grouped_splits(folds, probed["label"].to_numpy(), of_probed, seed)  # refused here, before a model is tuned
    made_by = {"split": settings.model_dump(), "seed": seed, "grouped_by": groups.kind}
    tables.write(chosen, SPLIT, {**made_by, "images": tables.made_by(IMAGES), "audit": audit(chosen, images)})


if __name__ == "__main__":
    run(main)
