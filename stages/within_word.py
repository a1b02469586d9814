"""within_word: what each layer knows of the letter among the images that got the same answer."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from signbridge import activations, params, tables
from signbridge.command_line import run
from signbridge.probing.settings import ProbeParams, places
from signbridge.probing.statistics import StatisticsParams
from signbridge.probing.sweep import cells_of, side_by_side
from signbridge.probing.within_word import (
    accuracy_within,
    places_within,
    predictions_within,
    same_word,
    score_within,
)

ACTIVATIONS = Path("data/activations")
PREDICTIONS = Path("data/within_word.parquet")


def main() -> None:
    """Write data/within_word.parquet and plots/within_word.csv."""
    chosen = params.section("probe", ProbeParams)
    statistics = params.section("statistics", StatisticsParams)
    seed = params.seed()
    sample = tables.read("data/sample.parquet", columns=["image_id", "label", "photo"])
    image_ids, labels, photos = (sample[column].to_numpy() for column in ("image_id", "label", "photo"))
    answers = tables.read("data/answers.parquet", columns=["image_id", "answer"]).set_index("image_id")["answer"]

    words = same_word(answers[image_ids].to_numpy(), labels, photos, chosen.grouped, seed)
    probed = places(chosen, activations.sites(ACTIVATIONS))
    within = places_within(probed) if words else []
    cells = cells_of(ACTIVATIONS, within, list(image_ids))
    results = side_by_side(score_within, cells, labels, words, chosen.grouped.C, chosen.memory_bytes)
    scored = list(tqdm(results, total=len(within), desc="within word", unit="site position"))

    predictions = predictions_within(scored, words, image_ids, labels)
    tables.write(predictions, PREDICTIONS, {"probe": chosen.model_dump(), "seed": seed})
    depths = {site: depth for depth, site in enumerate(dict.fromkeys(site for site, _ in probed))}
    photo = sample.set_index("image_id")["photo"]
    table = accuracy_within(predictions, photo, depths, statistics, np.random.default_rng(seed))
    tables.write_csv(table, "plots/within_word.csv")


if __name__ == "__main__":
    run(main)
