"""alignment: do image and text tokens share directions, and do deeper layers share more of them?"""

from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import model_name
from signbridge.lenses.modalities import ModalitiesParams
from signbridge.lenses.words import true_words
from signbridge.statistics.alignment import alignment, alignment_metrics, measured_items
from signbridge.statistics.intervals import StatisticsParams

ITEMS = Path("data/modalities.parquet")
NEIGHBOURS = Path("data/modality_neighbours.parquet")
SAMPLE = Path("data/sample.parquet")


def main() -> None:
    """Read the tables of `modalities` and the sample, write metrics/alignment.json and plots/alignment.csv."""
    settings = params.section("modalities", ModalitiesParams, params.LENSES)
    statistics = params.section("statistics", StatisticsParams)
    of_nulls, of_items, of_metrics = np.random.default_rng(params.seed()).spawn(3)
    items, sample = tables.read(ITEMS), tables.read(SAMPLE, columns=["image_id", "label"])
    shown = sample[sample["image_id"].isin(items.loc[items["kind"] == "image", "item"].unique())]
    words = true_words(shown["image_id"].tolist(), shown["label"].tolist(), tables.made_by(SAMPLE)["images"])

    measured = pd.concat([tables.read(NEIGHBOURS), measured_items(items, words, settings.draws, of_nulls)])
    sites = list(dict.fromkeys(items["site"]))
    values = {"model": model_name(ITEMS, params.model_notes()), "confidence": statistics.confidence, "images": len(shown)}
    found = alignment(measured, statistics, of_items)
    tables.write_metrics("metrics/alignment.json", values | alignment_metrics(measured, sites, statistics, of_metrics))
    tables.write_csv(found, Path("plots/alignment.csv"))


if __name__ == "__main__":
    run(main)
