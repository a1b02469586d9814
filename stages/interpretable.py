"""interpretable: what share of image tokens can be read under each lens, against nulls, and the mid-layer leap."""

import math
from pathlib import Path

import numpy as np

from signbridge import metrics, params, tables
from signbridge.command_line import run
from signbridge.lenses.interpretable import InterpretableParams, interpretable_patches, leap, lens_metrics, shares
from signbridge.lenses.latent import reads_text
from signbridge.lenses.text_index import open_index
from signbridge.lenses.true_words import true_words
from signbridge.model_name import model_name
from signbridge.probing.statistics import StatisticsParams

LENSES = Path("data/lenses.parquet")
SAMPLE = Path("data/sample.parquet")
INDEX = Path("data/text_index")
PLOTS = Path("plots")


def main() -> None:
    """Read the lenses' table, the text index and the sample, write metrics/lenses.json and its plots' tables."""
    settings = params.section("interpretable", InterpretableParams)
    statistics = params.section("statistics", StatisticsParams)
    of_nulls, of_photos, of_text = np.random.default_rng(params.seed()).spawn(3)
    table, sample = tables.read(LENSES), tables.read(SAMPLE, columns=["image_id", "label"])
    labels = dict(zip(sample["image_id"], sample["label"], strict=True))
    shown = list(dict.fromkeys(table["image_id"]))
    words = true_words(shown, [labels[image] for image in shown], tables.made_by(SAMPLE)["images"])

    patches = interpretable_patches(table, words, labels, settings.draws, of_nulls)
    found = shares(patches, statistics, of_photos)
    leaps = leap(table)
    values = {"model": model_name(LENSES), "confidence": statistics.confidence, "images": len(shown)}
    memory_bytes = int(tables.made_by(LENSES)["lenses"]["memory_gib"] * 2**30)
    control = reads_text(open_index(INDEX), settings.text_words, of_text, memory_bytes)
    values |= {} if math.isnan(control) else {"latent_text_words_right": control}
    metrics.write("metrics/lenses.json", values | lens_metrics(found, leaps))
    tables.write_csv(found, PLOTS / "lenses.csv")
    tables.write_csv(leaps, PLOTS / "lens_leap.csv")


if __name__ == "__main__":
    run(main)
