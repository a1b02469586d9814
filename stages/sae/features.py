"""Sparse autoencoders at work: what they give back of image and text tokens, what the model makes of it, what fires.

    python -m stages.sae.features

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.sweeps import QuestionsParams
from signbridge.core.tables import whole_folder
from signbridge.datasets.control_images import (
    NO_IMAGE,
    ControlsParams,
    mean_grey,
    uniform_image,
)
from signbridge.datasets.images import decoded
from signbridge.sae.concept import ConceptParams, write_concept
from signbridge.sae.features import feature_rows, item_table, write_features
from signbridge.sae.held_out import (
    judged_images,
    judged_phrases,
    unread,
    with_successors,
)
from signbridge.sae.settings import SaeJudgeParams, require_sae_lens
from signbridge.sae.study_training import prompts_by_image
from signbridge.vlm.extraction import read_in_shards
from signbridge.vlm.loading import ModelParams, device_from_environment
from signbridge.vlm.model_run import fingerprint, images_per_shard, made_from, open_reader
from signbridge.vlm.text import TextIndexParams, phrases

IMAGES = Path("data/images.parquet")
SAMPLE = Path("data/sample.parquet")
MODEL = Path("data/model.json")
SAES = Path("data/sae")
FEATURES = Path("data/sae_features")
SCRATCH = Path(".scratch")


def main() -> None:
    """Read the sample, the corpus, `data/model.json` and `data/sae/`, write `data/sae_features/`."""
    require_sae_lens()
    name, model = params.selected("model", params.MODELS, ModelParams)
    settings, causal = (
        params.section("evaluate", SaeJudgeParams, params.SAE),
        params.section("questions", QuestionsParams),
    )
    concept, controls = params.section("concept", ConceptParams, params.SAE), params.section("controls", ControlsParams)
    text_index, seed = params.section("text_index", TextIndexParams, params.LENSES), params.seed()
    corpus, sample = phrases(text_index.corpus, text_index.templates), tables.read(SAMPLE)
    trained = tables.made_by(SAES / "training.parquet")
    from signbridge.sae.autoencoders import open_autoencoders
    from signbridge.sae.sample_features import FeatureReader  # these import SAELens, which takes long
    from signbridge.sae.splicing import ImageSplicer, PhraseSplicer

    device = device_from_environment()
    made_by = {
        **made_from(name, model, MODEL, SAMPLE), "trained": trained, "seed": seed,
        "sae_judge": settings.model_dump(include={"images", "phrases"}),
        "causal": causal.model_dump(include={"describe", "describe_tokens"}), "concept_prompt": concept.prompt,
    }  # fmt: skip
    folder = SCRATCH / "sae_features" / fingerprint({**made_by, "corpus": corpus}, device, __file__)
    reader = open_reader(model, SCRATCH / "models", device)
    unread_ids = unread_images(trained, model.prompt, reader.loaded.processor.image_token)
    judged = judged_images(sample, unread_ids, settings.images, seed)
    is_unread = unread([1] * len(corpus), trained["read"]["texts"], trained["seed"], "texts")
    read_phrases = judged_phrases(corpus, is_unread, settings.phrases, np.random.default_rng(seed))
    said = with_successors(read_phrases, reader.loaded.processor.tokenizer, text_index.corpus)

    autoencoders = open_autoencoders(SAES, trained["sites"], device)
    describer = reader.asking(causal.describe, "causal.describe", causal.describe_tokens)
    asked = reader.asking(concept.prompt, "concept.prompt", 1)
    shards = {
        "image": read_in_shards(
            ImageSplicer(describer, autoencoders), decoded(judged["image"]), folder / "image", images_per_shard(),
            "autoencoders at image tokens",
        ),
        "text": read_in_shards(
            PhraseSplicer(reader, autoencoders), list(said.values()), folder / "text",
            images_per_shard(), "autoencoders at text tokens", "phrase",
        ),
    }  # fmt: skip
    of_sample = read_in_shards(
        FeatureReader(reader, autoencoders), decoded(sample["image"]), folder / "sample", images_per_shard(),
        "features of the sample",
    )  # fmt: skip

    of_concept = read_in_shards(
        FeatureReader(asked, autoencoders), decoded(sample["image"]), folder / "concept", images_per_shard(),
        "features of the concept",
    )  # fmt: skip
    if NO_IMAGE in controls.read:
        grey = mean_grey(sample["image"].tolist())
        which, pngs = pd.factorize(sample["image"].map(lambda png: uniform_image(png, grey)))  # one of each size
        of_grey = read_in_shards(
            FeatureReader(reader, autoencoders), decoded(pngs), folder / NO_IMAGE, images_per_shard(),
            "features of no image",
        )  # fmt: skip

    in_training = set(said) - {text for text, one in zip(corpus, is_unread, strict=True) if one}
    made_by |= {
        "images": len(judged), "images_in_training": int((~judged["image_id"].isin(unread_ids)).sum()),
        "phrases": len(said), "phrases_in_training": len(in_training),
    }  # fmt: skip
    image_ids = sample["image_id"].tolist()
    items = {"image": (judged["photo"].tolist(), shards["image"]), "text": (list(said), shards["text"])}
    with whole_folder(FEATURES) as unfinished:
        rows = []
        for site in autoencoders:
            tables.write(item_table(site, items), unfinished / "items" / f"{site}.parquet", made_by)
            rows.append(feature_rows(site, shards))
        tables.write(pd.concat(rows, ignore_index=True), unfinished / "features.parquet", made_by)
        write_features(unfinished / "sample", autoencoders, of_sample, image_ids, made_by)
        write_concept(unfinished / "concept", autoencoders, of_concept, image_ids, made_by)
        if NO_IMAGE in controls.read:
            about = {**made_by, "control": NO_IMAGE, "grey": grey}
            write_features(unfinished / NO_IMAGE, autoencoders, of_grey, image_ids, about, which)
    shutil.rmtree(SCRATCH / "sae_features")  # what other settings left there too


def unread_images(trained: dict[str, Any], own_prompt: str, image_token: str) -> set[str]:
    """The images of the dataset of which training read no passage."""
    images = tables.read(IMAGES, columns=["image_id", "label"])
    prompts = prompts_by_image(images, IMAGES, trained["sae"]["prompts"], own_prompt, image_token)
    is_unread = unread([len(texts) for texts in prompts], trained["read"]["images"], trained["seed"], "images")
    return set(images.loc[is_unread, "image_id"])


if __name__ == "__main__":
    run(main)
