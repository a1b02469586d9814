"""Image tokens and text tokens, read at the same layers of one model: what lies near what, and the mean of each item.

    python -m stages.lenses.modalities

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from signbridge.core import params, tables
from signbridge.core.activations import evenly_spread
from signbridge.core.command_line import run
from signbridge.core.shards import vectors_of
from signbridge.core.sweeps import QuestionsParams
from signbridge.datasets.hands import read_hands, words_by_image
from signbridge.datasets.images import decoded
from signbridge.datasets.sampling import looked_at
from signbridge.lenses import modalities
from signbridge.lenses.lens import LensesParams
from signbridge.lenses.patches import patch_tokens
from signbridge.vlm.model_run import model_run
from signbridge.vlm.residual import decoder_sites
from signbridge.vlm.text import phrases, text_tokens

SAMPLE = Path("data/sample.parquet")
HANDS = Path("data/hands.parquet")
ITEMS = Path("data/lenses/modalities.parquet")
NEIGHBOURS = Path("data/lenses/neighbours.parquet")


def main() -> None:
    """Read sample, hands, corpus and `data/model_as_read.json`; write modalities and neighbours to `data/lenses/`."""
    settings = params.section("modalities", modalities.ModalitiesParams, params.LENSES)
    lenses, seed = params.section("lenses", LensesParams, params.LENSES), params.seed()
    of_corpus = params.section("questions", QuestionsParams)
    of_phrases, of_neighbours = np.random.default_rng(seed).spawn(2)
    sample = looked_at(tables.read(SAMPLE), lenses.images, seed)
    ids = sample["image_id"].tolist()
    corpus = modalities.chosen_phrases(phrases(of_corpus.corpus, of_corpus.templates), settings.phrases, of_phrases)
    words = words_by_image(read_hands(HANDS, ids))
    said = modalities.captions(settings.caption, sample["label"].tolist(), [words.get(image) for image in ids])
    texts = list(dict.fromkeys([*corpus, *(said or ())]))
    made_by = {
        "modalities": settings.model_dump(),
        "lenses": lenses.model_dump(include={"images", "patches", "layers"}), "seed": seed,
        "texts_sha256": hashlib.sha256("\n".join(texts).encode()).hexdigest(),
    }  # fmt: skip
    with model_run(__file__, sample=SAMPLE, **made_by) as reading:
        reader = reading.reader
        sites = evenly_spread(lenses.layers, decoder_sites(reader.loaded.parts))
        patches = patch_tokens(reader, sites, lenses.patches)
        images = reading.read_in_shards(decoded(sample["image"]), patches, "image tokens", within="images")
        whole = modalities.whole_phrases(reader.loaded.processor.tokenizer, texts)
        order = sorted(range(len(whole)), key=lambda place: len(whole[place].token_ids))  # for batches of one length
        in_order = [whole[place] for place in order]
        text = reading.read_in_shards(in_order, text_tokens(reader, sites), "text tokens", "phrase", within="text")
        items, near = [], []
        progress = tqdm(sites, desc="modalities", unit="layer")
        for site, generator in zip(progress, of_neighbours.spawn(len(sites)), strict=True):
            of_images = modalities.tokens_of(list(vectors_of(images, site)))
            of_text = modalities.by_text(vectors_of(text, site), texts, whole, order)
            of_layer = modalities.layer_tables(
                site, of_images, ids, of_text, corpus, said, settings.neighbours, reading.device, generator
            )
            items.append(of_layer.items)
            near.append(of_layer.neighbours)
        tables.write(pd.concat(near, ignore_index=True), NEIGHBOURS, reading.made_by)
        tables.write(pd.concat(items, ignore_index=True), ITEMS, reading.made_by)


if __name__ == "__main__":
    run(main)
