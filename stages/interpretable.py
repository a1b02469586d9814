"""interpretable: what share of image tokens can be read under each lens, against nulls, and the mid-layer leap."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from signbridge import metrics, params, tables
from signbridge.command_line import run
from signbridge.datasets.hand_masks import hand_masks, share_by_patch
from signbridge.extraction_tables import decoded
from signbridge.figures.lens_strip import lens_strip
from signbridge.figures.saving import save_figure
from signbridge.lenses.interpretable import (
    InterpretableParams,
    interpretable_patches,
    leap,
    leap_metrics,
    lens_metrics,
    shares,
    shares_on_hand,
)
from signbridge.lenses.latent import reads_text
from signbridge.lenses.true_words import true_words
from signbridge.model_name import model_name
from signbridge.probing.statistics import StatisticsParams
from signbridge.text_index.index import open_index

LENSES = Path("data/lenses.parquet")
SAMPLE = Path("data/sample.parquet")
INDEX = Path("data/text_index")
VOCABULARY = Path("data/vocabulary.parquet")
PATCHES = Path("data/patches.parquet")
PLOTS = Path("plots")


def main() -> None:
    """Read lenses, vocabulary, text index and sample, write `data/patches.parquet`, metrics and plots."""
    settings = params.section("interpretable", InterpretableParams)
    statistics = params.section("statistics", StatisticsParams)
    of_nulls, of_photos, of_text, of_hands, of_leap = np.random.default_rng(params.seed()).spawn(5)
    table, sample = tables.read(LENSES), tables.read(SAMPLE)
    sample = sample[sample["image_id"].isin(table["image_id"].unique())]
    images = tables.made_by(SAMPLE)["images"]
    labels = dict(zip(sample["image_id"], sample["label"], strict=True))
    words = true_words(list(labels), list(labels.values()), images)
    index, spoken = open_index(INDEX), tables.read(VOCABULARY)["word"]
    all_words = {"embedding": spoken, "logit": spoken, "latent": index.contexts["word"]}

    patches = interpretable_patches(table, words, labels, all_words, settings.draws, of_nulls)
    hands = _hands(sample, images, table)
    patches = patches.merge(hands, on=["image_id", "patch"])
    found, on_hand = shares(patches, statistics, of_photos), shares_on_hand(patches, statistics, of_hands)
    of_all_layers = shares_on_hand(patches.assign(site="all"), statistics, of_hands)
    leaps = leap(table)
    values = {"model": model_name(LENSES), "confidence": statistics.confidence, "images": len(labels)}
    memory_bytes = int(tables.made_by(LENSES)["lenses"]["memory_gib"] * 2**30)
    control = reads_text(index, settings.text_words, of_text, memory_bytes)
    values |= {} if math.isnan(control) else {"latent_text_words_right": control}
    if "recall" in tables.made_by(LENSES):  # of an approximate search, by layer
        values["latent_search_recall"] = float(np.mean(list(tables.made_by(LENSES)["recall"].values())))
    values |= leap_metrics(table, statistics, of_leap)
    metrics.write("metrics/lenses.json", values | lens_metrics(found, of_all_layers))
    made_by = {"words": {image: sorted(of_image) for image, of_image in words.items()}, **tables.made_by(LENSES)}
    tables.write(patches, PATCHES, made_by)
    tables.write_csv(found, PLOTS / "lenses.csv")
    tables.write_csv(on_hand, PLOTS / "lenses_on_hand.csv")
    tables.write_csv(leaps, PLOTS / "lens_leap.csv")
    image, patch = _example(hands)
    shown = table[(table["image_id"] == image) & (table["patch"] == patch)]
    png = sample.set_index("image_id")["image"][image]
    title = f"{labels[image]} ({image}), {model_name(LENSES)}"
    strip = lens_strip(shown, png, tables.made_by(LENSES)["grid"], words.get(image, frozenset()), title)
    save_figure(strip, PLOTS / "lens_strip.png")


def _hands(sample: pd.DataFrame, images_made_by: dict[str, Any], table: pd.DataFrame) -> pd.DataFrame:
    """How much of each patch of each image the hand covers: image_id, patch, hand."""
    grid, ids = tables.made_by(LENSES)["grid"], sample["image_id"].tolist()
    masks = hand_masks(ids, decoded(sample["image"]), images_made_by) if grid else [None] * len(ids)
    of_images = {
        image_id: np.full(math.prod(grid or [0]), np.nan) if mask is None else share_by_patch(mask, *grid)
        for image_id, mask in zip(ids, masks, strict=True)
    }
    patches = table[["image_id", "patch"]].drop_duplicates()
    covered = [of_images[image][patch] if grid else np.nan for image, patch in patches.itertuples(index=False)]
    return patches.assign(hand=covered)


def _example(hands: pd.DataFrame) -> tuple[str, int]:
    """An image and a patch to show, not chosen by what they say: the first by name, and where there is most hand.

    Of several such patches, or where the hand is not known, the one nearest to the middle.
    """
    of_first = hands[hands["image_id"] == hands["image_id"].min()].fillna({"hand": 0.0})
    most = of_first.loc[of_first["hand"] == of_first["hand"].max(), "patch"]
    grid = tables.made_by(LENSES)["grid"]
    if grid is None:
        return of_first["image_id"].iloc[0], int(most.iloc[len(most) // 2])
    row, column = np.divmod(most, grid[1])
    off = np.hypot(row - (grid[0] - 1) / 2, column - (grid[1] - 1) / 2)
    return of_first["image_id"].iloc[0], int(most.loc[off.idxmin()])


if __name__ == "__main__":
    run(main)
