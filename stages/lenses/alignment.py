"""alignment: do image and text tokens share directions, and do deeper layers share more of them?"""

from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import model_name
from signbridge.datasets.hands import read_hands, words_by_image
from signbridge.statistics.alignment import HEADLINE, AlignmentParams, alignment, alignment_metrics, measured_items
from signbridge.statistics.intervals import StatisticsParams

ITEMS = Path("data/lenses/modalities.parquet")
NEIGHBOURS = Path("data/lenses/neighbours.parquet")
HANDS = Path("data/hands.parquet")
WRITTEN = Path("data/lenses/alignment")


def main() -> None:
    """Read the tables of `modalities` and the hands, write `data/lenses/alignment/` and metrics."""
    settings = params.section("alignment", AlignmentParams, params.LENSES)
    statistics, seed = params.section("statistics", StatisticsParams), params.seed()
    of_nulls, of_items, of_metrics = np.random.default_rng(seed).spawn(3)
    items = tables.read(ITEMS)
    images = items.loc[items["kind"] == "image", "item"].unique().tolist()
    words = words_by_image(read_hands(HANDS, images))

    measured = pd.concat([tables.read(NEIGHBOURS), measured_items(items, words, settings.draws, of_nulls)])
    sites = list(dict.fromkeys(items["site"]))
    found = alignment(measured, statistics, of_items)
    findings = {
        "model": model_name(ITEMS, params.model_notes()),
        "confidence": statistics.confidence,
        "images": len(images),
        **alignment_metrics(measured, sites, statistics, of_metrics),
    }
    made_by = {"alignment": settings.model_dump(), "statistics": statistics.model_dump(), "seed": seed}
    tables.write(found, WRITTEN / "alignment.parquet", made_by)
    tables.write_findings(WRITTEN / "findings.json", findings)
    tables.write_metrics("metrics/lenses/alignment.json", findings, HEADLINE)


if __name__ == "__main__":
    run(main)
