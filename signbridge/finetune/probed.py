"""The images on which a model is compared before and after it is tuned, and how it is probed there."""

from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field

from signbridge.core import params, tables
from signbridge.core.groups import Groups, read_sample
from signbridge.finetune.settings import PROBE
from signbridge.probing.of_model import of_every_model
from signbridge.probing.settings import ProbeParams

SPLIT = Path("data/finetune/split.parquet")


def probed_images(columns: list[str] | None = None) -> tuple[pd.DataFrame, Groups]:
    """The rows of the study's sample that are probed, with those columns (without: image_id, label), and the groups."""
    sample, groups = read_sample(columns or ["image_id", "label"])
    split = tables.read(SPLIT, ["image_id", "part"])
    kept = sample["image_id"].isin(split.loc[split["part"] == PROBE, "image_id"]).to_numpy()
    return sample[kept].reset_index(drop=True), groups._replace(of_image=groups.of_image[kept])


def probes() -> ProbeParams:
    """The study's probes at the `positions` and on the `repeats` of its folds that stages/finetune/params.yaml says."""
    positions = params.section("positions", Annotated[list[str], Field(min_length=1)], params.FINETUNE)
    repeats = params.section("repeats", Annotated[int, Field(ge=1)], params.FINETUNE)
    return of_every_model(params.section("probe", ProbeParams), positions, repeats)
