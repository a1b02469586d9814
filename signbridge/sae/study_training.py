"""Autoencoders trained on the images and the texts of a study, by whatever model reads them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch

from signbridge import params, tables
from signbridge.errors import SignBridgeError
from signbridge.extraction import Reader
from signbridge.lenses.true_words import true_words
from signbridge.sae.settings import (
    SaeParams,
    StandardPreset,
    TopKPreset,
    check_buffer,
    chosen_preset,
    prompts_of_images,
    sae_sites,
)
from signbridge.sae.token_reading import Passage, TokenReader
from signbridge.sae.token_stream import ModelTokens, ShuffledTokens
from signbridge.text_index.corpus import phrases
from signbridge.text_index.reading import TextIndexParams

SECONDS_BETWEEN_CHECKPOINTS = 120  # lost at most, and many times what it takes to write one
TRAINING = "training.parquet"


class StudyTraining(NamedTuple):
    """What a study's autoencoders are trained on, and how."""

    settings: SaeParams
    preset: TopKPreset | StandardPreset
    images: Path  # the whole dataset
    corpus: list[str]
    own_prompt: str
    seed: int

    @property
    def made_by(self) -> dict[str, Any]:
        """All of it, for the metadata of what is made."""
        return {
            "sae": self.settings.model_dump(exclude={"pretrained"}), "preset": self.preset.model_dump(),
            "seed": self.seed, "images_sha256": hashlib.sha256(self.images.read_bytes()).hexdigest(),
            "corpus_sha256": hashlib.sha256("\n".join(self.corpus).encode()).hexdigest(),
        }  # fmt: skip


def training_of_study(images: Path, own_prompt: str) -> StudyTraining:
    """What params.yaml says of it. Raises `SignBridgeError` if that does not go together."""
    settings = params.section("sae", SaeParams)
    preset = chosen_preset(settings.preset)
    check_buffer(settings.buffer, preset)
    text_index = params.section("text_index", TextIndexParams)
    corpus = phrases(text_index.corpus, text_index.templates)
    return StudyTraining(settings, preset, images, corpus, own_prompt, params.seed())


def train_and_write(
    training: StudyTraining, reader: Reader, folder: Path, scratch: Path, device: torch.device, made_by: dict[str, Any]
) -> list[str]:
    """Train an autoencoder of each chosen site, and store them and their log in `folder`; the sites, in order of depth.

    Training that was interrupted goes on from what lies in `scratch`.
    """
    from signbridge.sae.autoencoders import write_autoencoder  # these import SAELens, which takes long
    from signbridge.sae.checkpoints import Checkpoints
    from signbridge.sae.training import train

    settings, preset, seed = training.settings, training.preset, training.seed
    sites = sae_sites(settings.layers, len(reader.loaded.parts.blocks))
    images = image_passages(training, reader.loaded.processor.image_token)
    texts = [Passage(text) for text in training.corpus]
    source = ModelTokens(TokenReader(reader, sites), images, texts, settings.text_share, seed)
    trained = train(
        ShuffledTokens(source, settings.buffer, preset.batch, seed), preset, seed, device,
        {"model_name": made_by["model"]["name"]}, Checkpoints(scratch, SECONDS_BETWEEN_CHECKPOINTS),
    )  # fmt: skip
    for site, autoencoder in trained.autoencoders.items():
        write_autoencoder(folder / site, autoencoder)
    tables.write(trained.log, folder / TRAINING, {**made_by, "sites": sites, "read": source.position})
    return sites


def image_passages(training: StudyTraining, image_token: str) -> list[Passage]:
    """Every image under every prompt that it can be read under."""
    images = tables.read(training.images)
    texts = prompts_by_image(images, training.images, training.settings.prompts, training.own_prompt, image_token)
    found = [Passage(text, png) for of_image, png in zip(texts, images["image"], strict=True) for text in of_image]
    if not found:
        raise SignBridgeError(
            "params.yaml: sae.prompts: all of them have {words}, which are not known of any image here. Add own."
        )
    return found


def prompts_by_image(
    images: pd.DataFrame, path: Path, prompts: Sequence[str], own: str, image_token: str
) -> list[list[str]]:
    """The prompts under which each of `images` (image_id, label), which are those of `path`, can be read."""
    ids, labels = images["image_id"].tolist(), images["label"].tolist()
    words = true_words(ids, labels, tables.made_by(path))
    return prompts_of_images(prompts, own, image_token, labels, [words.get(image_id) for image_id in ids])
