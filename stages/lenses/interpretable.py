"""interpretable: what share of image tokens can be read under each lens, against nulls, and the mid-layer leap."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import model_name
from signbridge.datasets.images import decoded
from signbridge.lenses.lens import reads_text
from signbridge.lenses.stored_vectors import open_index
from signbridge.lenses.words import true_words
from signbridge.rendered.hand_masks import hand_masks, share_by_patch
from signbridge.report.figures.lens_strip import example_patch, lens_strip
from signbridge.report.figures.saving import save_figure
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.readable import (
    InterpretableParams,
    interpretable_patches,
    leap,
    leap_metrics,
    lens_metrics,
    shares,
    shares_on_hand,
)

LENSES = Path("data/lenses.parquet")
SAMPLE = Path("data/sample.parquet")
INDEX = Path("data/text_index")
VOCABULARY = Path("data/vocabulary.parquet")
PATCHES = Path("data/patches.parquet")
PLOTS = Path("plots")


def main() -> None:
    """Read lenses, vocabulary, text index and sample, write `data/patches.parquet`, metrics and plots."""
    settings = params.section("readable", InterpretableParams, params.LENSES)
    statistics = params.section("statistics", StatisticsParams)
    of_nulls, of_photos, of_text, of_hands, of_leap = np.random.default_rng(params.seed()).spawn(5)
    table, lenses, sample = tables.read(LENSES), tables.made_by(LENSES), tables.read(SAMPLE)
    sample = sample[sample["image_id"].isin(table["image_id"].unique())]
    images = tables.made_by(SAMPLE)["images"]
    labels = dict(zip(sample["image_id"], sample["label"], strict=True))
    words = true_words(list(labels), list(labels.values()), images)
    index, spoken = open_index(INDEX), tables.read(VOCABULARY)["word"]
    all_words = {"embedding": spoken, "logit": spoken, "latent": index.contexts["word"]}

    patches = interpretable_patches(table, words, labels, all_words, settings.draws, of_nulls)
    hands = _hands(sample, images, table, lenses["grid"])
    patches = patches.merge(hands, on=["image_id", "patch"])
    found, on_hand = shares(patches, statistics, of_photos), shares_on_hand(patches, statistics, of_hands)
    of_all_layers = shares_on_hand(patches.assign(site="all"), statistics, of_hands)
    leaps = leap(table)
    values = {"model": model_name(LENSES, params.model_notes()), "confidence": statistics.confidence, "images": len(labels)}
    memory_bytes = int(lenses["lenses"]["memory_gib"] * 2**30)
    control = reads_text(index, settings.text_words, of_text, memory_bytes)
    values |= {} if math.isnan(control) else {"latent_text_words_right": control}
    if "recall" in lenses:  # of an approximate search, by layer
        values["latent_search_recall"] = float(np.mean(list(lenses["recall"].values())))
    values |= leap_metrics(table, statistics, of_leap)
    tables.write_metrics("metrics/lenses.json", values | lens_metrics(found, of_all_layers))
    made_by = {"words": {image: sorted(of_image) for image, of_image in words.items()}, **lenses}
    tables.write(patches, PATCHES, made_by)
    tables.write_csv(found, PLOTS / "lenses.csv")
    tables.write_csv(on_hand, PLOTS / "lenses_on_hand.csv")
    tables.write_csv(leaps, PLOTS / "lens_leap.csv")
    image, patch = example_patch(hands, lenses["grid"])
    shown = table[(table["image_id"] == image) & (table["patch"] == patch)]
    png = sample.set_index("image_id")["image"][image]
    title = f"{labels[image]} ({image}), {model_name(LENSES, params.model_notes())}"
    strip = lens_strip(shown, png, lenses["grid"], words.get(image, frozenset()), title)
    save_figure(strip, PLOTS / "lens_strip.png")


def _hands(
    sample: pd.DataFrame, images_made_by: dict[str, Any], table: pd.DataFrame, grid: list[int] | None
) -> pd.DataFrame:
    """How much of each patch of each image the hand covers: image_id, patch, hand."""
    ids = sample["image_id"].tolist()
    masks = hand_masks(ids, decoded(sample["image"]), images_made_by) if grid else [None] * len(ids)
    of_images = {
        image_id: np.full(math.prod(grid or [0]), np.nan) if mask is None else share_by_patch(mask, *grid)
        for image_id, mask in zip(ids, masks, strict=True)
    }
    patches = table[["image_id", "patch"]].drop_duplicates()
    covered = [of_images[image][patch] if grid else np.nan for image, patch in patches.itertuples(index=False)]
    return patches.assign(hand=covered)


if __name__ == "__main__":
    run(main)
