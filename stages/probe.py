"""probe: linear probes at every site and position, over all images and among those that got the same answer."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import sklearn
from tqdm import tqdm

from signbridge.core import activations, params, tables
from signbridge.core.command_line import run
from signbridge.core.groups import read_sample
from signbridge.probing import probes
from signbridge.probing.description_length import online_blocks
from signbridge.probing.predictions import choices_table, codes_table, predictions_table, read_answers
from signbridge.probing.settings import ProbeParams, places, splits_of
from signbridge.probing.sweep import Penalties, Scored, cells_of, score, side_by_side
from signbridge.probing.within_word import places_within, predictions_within, same_word, score_within

ACTIVATIONS = Path("data/activations")
ANSWERS = Path("data/answers.parquet")
PROBES = Path("data/probes")


def main() -> None:
    """Write data/probes/ and data/{predictions,choices,description_length,within_word}.parquet."""
    chosen = params.section("probe", ProbeParams)
    seed = params.seed()
    sample, groups = read_sample(["image_id", "label"])
    image_ids, labels, photos = (sample[column].to_numpy() for column in ("image_id", "label", "photo"))

    splits = splits_of(chosen, labels, groups, seed)
    probed = places(chosen, activations.sites(ACTIVATIONS))
    of_image = tables.read(ANSWERS, columns=["image_id", "answer"]).set_index("image_id")["answer"]
    answers = of_image[image_ids].to_numpy()
    text = read_answers(answers.tolist(), labels, splits)
    words = same_word(answers, labels, groups, chosen.grouped, seed)
    within = places_within(probed) if words else []

    penalties = Penalties(chosen.signbridge.C, chosen.grouped.C)
    generator = np.random.default_rng(seed)
    orders = [online_blocks(labels, photos, generator) for _ in range(chosen.description_length.orders)]
    cells = cells_of(ACTIVATIONS, probed, list(image_ids), chosen.memory_bytes)
    results = side_by_side(score, cells, labels, splits, penalties, orders, chosen.memory_bytes)
    scored = list(_save_probes(tqdm(results, total=len(probed), desc="probe", unit="site position")))
    cells = cells_of(ACTIVATIONS, within, list(image_ids))
    results = side_by_side(score_within, cells, labels, words, chosen.grouped.C, chosen.memory_bytes)
    same = list(tqdm(results, total=len(within), desc="within word", unit="site position", disable=not within))

    made_by = {"probe": chosen.model_dump(), "seed": seed, "scikit-learn": sklearn.__version__}
    made_by["model"] = tables.made_by(ANSWERS)["model"]
    tables.write(predictions_table([*scored, text], splits, image_ids, labels), "data/predictions.parquet", made_by)
    tables.write(choices_table(scored, splits), "data/choices.parquet", made_by)
    tables.write(codes_table(scored, image_ids), "data/description_length.parquet", made_by)
    tables.write(predictions_within(same, words, image_ids, labels), "data/within_word.parquet", made_by)


def _save_probes(results: Iterator[Scored]) -> Iterator[Scored]:
    """Write each site's probes as soon as its last position is done, and pass on the results without them."""
    for site, cells in groupby(results, key=lambda cell: cell.site):
        of_site = list(cells)
        fitted = {(cell.position, name): probe for cell in of_site for name, probe in cell.probes.items()}
        probes.save(PROBES / f"{site}.safetensors", fitted)
        yield from (cell._replace(probes={}) for cell in of_site)


if __name__ == "__main__":
    run(main)
