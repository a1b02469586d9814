"""The images on which a model is compared before and after it is tuned."""

from pathlib import Path

import pandas as pd

from signbridge.core import tables
from signbridge.core.groups import Groups, read_sample
from signbridge.finetune.settings import PROBE

SPLIT = Path("data/finetune/split.parquet")


def probed_images(columns: list[str] | None = None) -> tuple[pd.DataFrame, Groups]:
    """The rows of the study's sample that are probed, with those columns (without: image_id, label), and the groups."""
    sample, groups = read_sample(columns or ["image_id", "label"])
    split = tables.read(SPLIT, ["image_id", "part"])
    kept = sample["image_id"].isin(split.loc[split["part"] == PROBE, "image_id"]).to_numpy()
    return sample[kept].reset_index(drop=True), groups._replace(of_image=groups.of_image[kept])
