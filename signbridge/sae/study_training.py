"""Autoencoders trained on the images and the texts of a study, by whatever model reads them."""

import hashlib
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from signbridge.core import params, tables
from signbridge.core.errors import SignBridgeError
from signbridge.lenses.words import true_words
from signbridge.sae.settings import (
    SaeParams,
    StandardPreset,
    TopKPreset,
    chosen_preset,
    prompts_of_images,
)
from signbridge.sae.token_stream import Passage
from signbridge.vlm.text import TextIndexParams, phrases


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
            "sae_lens": importlib.metadata.version("sae-lens"),
        }  # fmt: skip


def training_of_study(images: Path, own_prompt: str) -> StudyTraining:
    """What params.yaml says of it. Raises `SignBridgeError` if that does not go together."""
    settings = params.section("sae", SaeParams, params.SAE)
    preset = chosen_preset(settings.preset)
    text_index = params.section("text_index", TextIndexParams, params.LENSES)
    corpus = phrases(text_index.corpus, text_index.templates)
    return StudyTraining(settings, preset, images, corpus, own_prompt, params.seed())


def image_passages(training: StudyTraining, image_token: str) -> list[Passage]:
    """Every image under every prompt that it can be read under. Raises `SignBridgeError` if there is none."""
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
