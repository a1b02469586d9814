"""interpretable: what share of image tokens can be read under each lens, against nulls, and the mid-layer leap."""

from pathlib import Path

import numpy as np

from signbridge import metrics, params, tables
from signbridge.command_line import run
from signbridge.lenses.interpretable import InterpretableParams, interpretable_patches, leap, lens_metrics, shares
from signbridge.lenses.true_words import true_words
from signbridge.model_name import model_name
from signbridge.probing.statistics import StatisticsParams

LENSES = Path("data/lenses.parquet")
SAMPLE = Path("data/sample.parquet")
PLOTS = Path("plots")


def main() -> None:
    """Read `data/lenses.parquet` and the sample, write metrics/lenses.json and the two tables of its plots."""
    settings = params.section("interpretable", InterpretableParams)
    statistics = params.section("statistics", StatisticsParams)
    of_nulls, of_photos = np.random.default_rng(params.seed()).spawn(2)
    table, sample = tables.read(LENSES), tables.read(SAMPLE, columns=["image_id", "label"])
    labels = dict(zip(sample["image_id"], sample["label"], strict=True))
    shown = list(dict.fromkeys(table["image_id"]))
    words = true_words(shown, [labels[image] for image in shown], tables.made_by(SAMPLE)["images"])

    patches = interpretable_patches(table, words, labels, settings.draws, of_nulls)
    found = shares(patches, statistics, of_photos)
    leaps = leap(table)
    values = {"model": model_name(LENSES), "confidence": statistics.confidence, "images": len(shown)}
    metrics.write("metrics/lenses.json", values | lens_metrics(found, leaps))
    tables.write_csv(found.table, PLOTS / "lenses.csv")
    tables.write_csv(leaps, PLOTS / "lens_leap.csv")


if __name__ == "__main__":
    run(main)
