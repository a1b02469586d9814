"""pretrained_features: the study's images through an autoencoder that others trained; nothing by default.

    python -m stages.pretrained.features

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import activations, params, tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.tables import whole_folder
from signbridge.pretrained.settings import (
    NONE,
    OfFolder,
    OfHub,
    OfRelease,
    chosen_pretrained,
)
from signbridge.sae.settings import SaeJudgeParams, require_sae_lens

SAMPLE = Path("data/sample.parquet")
MODEL = Path("data/model.json")
PRETRAINED = Path("data/pretrained_sae")
FEATURES = Path("data/pretrained_features")
SCRATCH = Path(".scratch")


def main() -> None:
    """Read the sample, the corpus, `data/model.json`, `data/pretrained_sae/`; write `data/pretrained_features/`."""
    chosen = chosen_pretrained()
    if chosen is not None:
        require_sae_lens()
        read_study(*chosen)
        return
    with whole_folder(FEATURES) as unfinished:
        tables.write(pd.DataFrame(), unfinished / "features.parquet", {"pretrained": NONE})


def read_study(name: str, entry: OfRelease | OfHub | OfFolder) -> None:
    """Read the study with the autoencoder of the entry `name`."""
    from signbridge.core.shards import answers_of, vectors_of
    from signbridge.core.sweeps import QuestionsParams  # these import torch and SAELens, which take long
    from signbridge.datasets.images import decoded
    from signbridge.datasets.sampling import looked_at
    from signbridge.pretrained.reading import FEATURES as ARRAY
    from signbridge.pretrained.reading import PositionReader, check_fits_model, read_together
    from signbridge.sae.autoencoders import open_autoencoders
    from signbridge.sae.features import feature_rows, item_table
    from signbridge.sae.held_out import drawn_phrases, with_successors
    from signbridge.sae.splicing import ImageSplicer, PhraseSplicer
    from signbridge.vlm.extraction import Reader, read_in_shards
    from signbridge.vlm.loading import ModelParams, device_from_environment
    from signbridge.vlm.model_run import fingerprint, images_per_shard, made_from, open_reader
    from signbridge.vlm.text import TextIndexParams, phrases

    model_name, model = params.selected("model", params.MODELS, ModelParams)
    settings, causal = (
        params.section("evaluate", SaeJudgeParams, params.SAE),
        params.section("questions", QuestionsParams),
    )
    text_index, seed = params.section("text_index", TextIndexParams, params.LENSES), params.seed()
    corpus, sample = phrases(text_index.corpus, text_index.templates), tables.read(SAMPLE)
    about = json.loads((PRETRAINED / "pretrained.json").read_text(encoding="utf-8"))
    if about["pretrained"] != name:
        raise SignBridgeError(f"{PRETRAINED}: holds '{about['pretrained']}', not '{name}'. Make it with `dvc repro`.")
    site = activations.layer_site(entry.layer)

    device = device_from_environment()
    made_by = {
        **made_from(model_name, model, MODEL, SAMPLE), "pretrained": name, "autoencoder": about, "site": site,
        "prompt": entry.prompt, "position": entry.position, "seed": seed, "sites": [site],
        "sae_judge": settings.model_dump(include={"images", "phrases"}), "describe_tokens": causal.describe_tokens,
    }  # fmt: skip
    folder = SCRATCH / "pretrained_features" / fingerprint({**made_by, "corpus": corpus}, device, __file__)
    reader = open_reader(model, SCRATCH / "models", device)
    under_prompt = reader.asking(entry.prompt, f"pretrained_saes.{name}.prompt", causal.describe_tokens)
    autoencoders = open_autoencoders(PRETRAINED, [site], device)
    check_fits_model(name, autoencoders[site], entry.layer, reader.loaded)
    judged = looked_at(sample, settings.images, seed)
    # What it was trained on is not known: any phrase will do.
    read_phrases = drawn_phrases(corpus, settings.phrases, np.random.default_rng(seed))
    said = with_successors(read_phrases, reader.loaded.processor.tokenizer, text_index.corpus)

    of_sample = read_in_shards(
        PositionReader(under_prompt, site, autoencoders[site], entry.position), decoded(sample["image"]),
        folder / "sample", images_per_shard(), "features of the sample",
    )  # fmt: skip
    images = decoded(judged["image"])
    at_once = read_together(images, reader.batch_size)
    describer = Reader(reader.loaded, under_prompt.prompt, causal.describe_tokens, at_once)
    shards = {
        "image": read_in_shards(
            ImageSplicer(describer, autoencoders), images, folder / "image", images_per_shard(),
            "autoencoder at image tokens",
        ),
        "text": read_in_shards(
            PhraseSplicer(reader, autoencoders), list(said.values()), folder / "text",
            images_per_shard(), "autoencoder at text tokens", "phrase",
        ),
    }  # fmt: skip

    tokens = sorted(set(answers_of(of_sample)))
    made_by |= {"images": len(judged), "phrases": len(said), "token": tokens[0] if len(tokens) == 1 else "several"}
    items = {"image": (judged["photo"].tolist(), shards["image"]), "text": (list(said), shards["text"])}
    with whole_folder(FEATURES) as unfinished:
        tables.write(item_table(site, items), unfinished / "items" / f"{site}.parquet", made_by)
        vectors = {str(entry.position): vectors_of(of_sample, ARRAY)}
        activations.write(unfinished / "sample", site, sample["image_id"].tolist(), vectors, made_by)
        tables.write(feature_rows(site, shards), unfinished / "features.parquet", made_by)
    shutil.rmtree(SCRATCH / "pretrained_features")  # what other settings left there too


if __name__ == "__main__":
    run(main)
