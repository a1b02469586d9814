"""within_word: what each layer knows of the letter among the images that got the same answer."""

from pathlib import Path

from tqdm import tqdm

from signbridge.core import activations, params, tables
from signbridge.core.command_line import run
from signbridge.probing.settings import ProbeParams, places
from signbridge.probing.sweep import cells_of, side_by_side
from signbridge.probing.within_word import (
    places_within,
    predictions_within,
    same_word,
    score_within,
)

ACTIVATIONS = Path("data/activations")
PREDICTIONS = Path("data/within_word.parquet")


def main() -> None:
    """Write data/within_word.parquet."""
    chosen = params.section("probe", ProbeParams)
    seed = params.seed()
    sample = tables.read("data/sample.parquet", columns=["image_id", "label", "photo"])
    image_ids, labels, photos = (sample[column].to_numpy() for column in ("image_id", "label", "photo"))
    answers = tables.read("data/answers.parquet", columns=["image_id", "answer"]).set_index("image_id")["answer"]

    words = same_word(answers[image_ids].to_numpy(), labels, photos, chosen.grouped, seed)
    within = places_within(places(chosen, activations.sites(ACTIVATIONS))) if words else []
    cells = cells_of(ACTIVATIONS, within, list(image_ids))
    results = side_by_side(score_within, cells, labels, words, chosen.grouped.C, chosen.memory_bytes)
    scored = list(tqdm(results, total=len(within), desc="within word", unit="site position", disable=not within))

    predictions = predictions_within(scored, words, image_ids, labels)
    tables.write(predictions, PREDICTIONS, {"probe": chosen.model_dump(), "seed": seed})


if __name__ == "__main__":
    run(main)
