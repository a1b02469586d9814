"""readable: what share of image tokens can be read under each lens, against nulls, and the mid-layer leap."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import model_name
from signbridge.datasets.hands import read_hands, words_by_image
from signbridge.datasets.images import decoded
from signbridge.rendered.dataset import RenderedParams
from signbridge.rendered.hand_masks import hand_by_patch, hand_masks
from signbridge.statistics import readable
from signbridge.statistics.intervals import StatisticsParams

SAMPLE = Path("data/sample.parquet")
HANDS = Path("data/hands.parquet")
WORDS = Path("data/lenses/words.parquet")
CHECKS = Path("data/lenses/checks.parquet")
WRITTEN = Path("data/lenses/readable")


def main() -> None:
    """Read the tables of `lens`, sample and hands, write `data/lenses/readable/`, metrics and a plot."""
    statistics, seed = params.section("statistics", StatisticsParams), params.seed()
    of_photos, of_leads, of_hands, of_leap = np.random.default_rng(seed).spawn(4)
    table, sample = tables.read(WORDS), tables.read(SAMPLE)
    sample = sample[sample["image_id"].isin(table["image_id"].unique())]
    labels = dict(zip(sample["image_id"], sample["label"], strict=True))
    words = words_by_image(read_hands(HANDS, list(labels)))
    patches = readable.readable_patches(table, words, labels)
    patches = patches.merge(covered_by_hand(table, sample), on=["image_id", "patch"])
    found = {
        "shares": readable.shares(patches, statistics, of_photos),
        "leads": readable.latent_over_logit(patches, statistics, of_leads),
        "on_hand": readable.shares_on_hand(patches, statistics, of_hands),
        "leap": readable.leap(table),
        "patches": patches,
    }
    of_all_layers = readable.shares_on_hand(patches.assign(site="all"), statistics, of_hands)
    findings = {
        "model": model_name(WORDS, params.model_notes()),
        "confidence": statistics.confidence,
        "images": len(labels),
        **readable.check_metrics(tables.read(CHECKS)),
        **readable.leap_metrics(table, statistics, of_leap),
        **readable.lens_metrics(found["shares"], found["leads"], of_all_layers),
    }
    made_by = {**tables.made_by(WORDS), "statistics": statistics.model_dump(), "seed": seed}
    for name, of_name in found.items():
        tables.write(of_name, WRITTEN / f"{name}.parquet", made_by)
    tables.write_findings(WRITTEN / "findings.json", findings)
    tables.write_metrics("metrics/lenses/readable.json", findings, readable.HEADLINE)
    tables.write_csv(readable.by_layer(found["shares"]), "plots/lenses/readable.csv")


def covered_by_hand(table: pd.DataFrame, sample: pd.DataFrame) -> pd.DataFrame:
    """How much of each patch of each image the hand covers: image_id, patch, hand (NaN where it is not known)."""
    _, dataset = params.selected("dataset", params.DATASETS, dict[str, Any])
    drawn = RenderedParams.model_validate(dataset) if dataset["source"] == "rendered" else None
    grid, ids = readable.image_grid(table), sample["image_id"].tolist()
    masks = hand_masks(ids, decoded(sample["image"]), drawn) if grid else [None] * len(ids)
    of_images = dict(zip(ids, hand_by_patch(masks, grid), strict=True))
    patches = table[["image_id", "patch"]].drop_duplicates()
    covered = [of_images[image][patch] if grid else np.nan for image, patch in patches.itertuples(index=False)]
    return patches.assign(hand=covered)


if __name__ == "__main__":
    run(main)
