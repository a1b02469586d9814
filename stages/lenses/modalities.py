"""Image tokens and text tokens, read at the same layers of one model: what lies near what, and the mean of each item.

    python -m stages.lenses.modalities

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from signbridge.core import params, tables
from signbridge.core.activations import evenly_spread
from signbridge.core.command_line import run
from signbridge.core.shards import vectors_of
from signbridge.datasets.images import decoded
from signbridge.datasets.sampling import looked_at
from signbridge.lenses.lens import LensesParams
from signbridge.lenses.modalities import (
    ModalitiesParams,
    Tokens,
    captions,
    chosen_phrases,
    item_rows,
    neighbour_shares,
    whole_phrases,
)
from signbridge.lenses.patches import PatchReader
from signbridge.lenses.words import true_words
from signbridge.vlm.extraction import read_in_shards
from signbridge.vlm.loading import ModelParams, device_from_environment
from signbridge.vlm.model_run import fingerprint, images_per_shard, made_from, open_reader
from signbridge.vlm.residual import decoder_sites
from signbridge.vlm.text import Phrase, TextIndexParams, TextReader, phrases

SAMPLE = Path("data/sample.parquet")
MODEL = Path("data/model.json")
ITEMS = Path("data/modalities.parquet")
NEIGHBOURS = Path("data/modality_neighbours.parquet")
SCRATCH = Path(".scratch")


def main() -> None:
    """Read the sample, the corpus and `data/model.json`, write both tables of `data/modalit*.parquet`."""
    name, model = params.selected("model", params.MODELS, ModelParams)
    settings, lenses = (
        params.section("modalities", ModalitiesParams, params.LENSES),
        params.section("lenses", LensesParams, params.LENSES),
    )
    text_index = params.section("text_index", TextIndexParams, params.LENSES)
    of_phrases, of_neighbours = np.random.default_rng(params.seed()).spawn(2)
    sample = looked_at(tables.read(SAMPLE), lenses.images, params.seed())
    corpus = chosen_phrases(phrases(text_index.corpus, text_index.templates), settings.phrases, of_phrases)
    ids, labels = sample["image_id"].tolist(), sample["label"].tolist()
    words = true_words(ids, labels, tables.made_by(SAMPLE)["images"])
    said = captions(settings.caption, labels, [words.get(image) for image in ids])
    texts = list(dict.fromkeys([*corpus, *(said or ())]))

    device = device_from_environment()
    made_by = {
        **made_from(name, model, MODEL, SAMPLE),
        "modalities": settings.model_dump(exclude={"draws"}),
        "lenses": lenses.model_dump(include={"images", "patches", "layers"}), "seed": params.seed(),
    }  # fmt: skip
    folder = SCRATCH / "modalities" / fingerprint({**made_by, "texts": texts}, device, __file__)
    reader = open_reader(model, SCRATCH / "models", device)
    sites = evenly_spread(lenses.layers, decoder_sites(reader.loaded.parts))
    patch_reader, text_reader = PatchReader(reader, sites, lenses.patches), TextReader(reader, sites)
    images = read_in_shards(
        patch_reader, decoded(sample["image"]), folder / "images", images_per_shard(), "image tokens"
    )
    todo = whole_phrases(reader.loaded.processor.tokenizer, texts)
    order = sorted(range(len(todo)), key=lambda place: len(todo[place].token_ids))  # for batches of one length
    shards = read_in_shards(
        text_reader, [todo[place] for place in order], folder / "text", images_per_shard(), "text tokens", "phrase"
    )

    item_parts, neighbour_parts = [], []
    for site, generator in zip(
        tqdm(sites, desc="modalities", unit="layer"), of_neighbours.spawn(len(sites)), strict=True
    ):
        patches, of_text = vectors_of(images, site), _by_text(vectors_of(shards, site), texts, todo, order)
        image = Tokens(patches.reshape(-1, patches.shape[-1]), np.repeat(np.arange(len(ids)), patches.shape[1]))
        kinds = {"image": (ids, image), "text": (corpus, _tokens([of_text[phrase] for phrase in corpus]))}
        shares = neighbour_shares(image, kinds["text"][1], settings.neighbours, device, generator)
        for measure, values in shares.items():
            items = ids if measure.startswith("text_near_image") else corpus
            of_measure = pd.DataFrame({"measure": measure, "site": site, "item": items, "value": values})
            neighbour_parts.append(of_measure.dropna())
        if said is not None:
            kinds["caption"] = (ids, _tokens([of_text[caption] for caption in said]))
        item_parts.append(item_rows(site, kinds))

    tables.write(pd.concat(neighbour_parts, ignore_index=True), NEIGHBOURS, made_by)
    tables.write(pd.concat(item_parts, ignore_index=True), ITEMS, made_by)
    shutil.rmtree(SCRATCH / "modalities")  # what other settings left there too


def _by_text(vectors: np.ndarray, texts: list[str], todo: list[Phrase], order: list[int]) -> dict[str, np.ndarray]:
    """The vectors of each text, where `todo` has its tokens and was read in that order."""
    ends = np.cumsum([len(todo[place].positions) for place in order])
    return dict(zip((texts[place] for place in order), np.split(vectors, ends[:-1]), strict=True))


def _tokens(texts: list[np.ndarray]) -> Tokens:
    return Tokens(np.concatenate(texts), np.repeat(np.arange(len(texts)), [len(text) for text in texts]))


if __name__ == "__main__":
    run(main)
