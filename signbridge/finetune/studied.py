"""What a run is tuned on: the model, its decoder's layers, and the images with the answers that are wanted."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from signbridge.core import params
from signbridge.core.errors import SignBridgeError
from signbridge.finetune.settings import STOP, TRAIN, Variant
from signbridge.vlm.catalog import Model


def base_entry(study: Model, variant: Variant, twin_seed: int) -> Model:
    """The catalog's entry of what is tuned: the study's model, or its untrained twin. Raises if it has an adapter."""
    if study.adapter is not None:
        raise SignBridgeError("models.yaml: the model has an adapter already. Choose the model that it was tuned on.")
    return study.model_copy(update={"untrained": twin_seed}) if variant.untrained else study


def wanted_answers() -> dict[str, str]:
    """What each letter is to be answered by, from `answers` of the dataset's entry; a letter by itself without.

    Raises `SignBridgeError` if it maps anything but text to text.
    """
    dataset = params.section("dataset", str)
    said: Any = params.entry(dataset, params.DATASETS, dict).get("answers") or {}
    if not isinstance(said, dict) or not all(isinstance(part, str) and part for pair in said.items() for part in pair):
        raise SignBridgeError(f"{params.DATASETS}: {dataset}.answers: expected a text for each letter, as in A: fist.")
    return said


def answers_of(letters: Sequence[str], wanted: Mapping[str, str]) -> list[str]:
    """The answers to images of these letters. Raises `SignBridgeError` if some letters have one and others not."""
    if wanted and (missing := sorted(set(letters) - set(wanted))):
        raise SignBridgeError(
            f"{params.DATASETS}: answers: none for letter '{missing[0]}'. Add it, or leave answers out."
        )
    return [wanted.get(letter, letter) for letter in letters]


def parts_of_split(split: pd.DataFrame, variant: Variant, wanted: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """image_id and answer of the images to train on and of those that choose when to stop."""
    column = "shuffled" if variant.labels == "shuffled" else "label"
    of_part = {part: split[split["part"] == part] for part in (TRAIN, STOP)}
    return {
        part: rows[["image_id"]].assign(answer=answers_of(rows[column].tolist(), wanted))
        for part, rows in of_part.items()
    }
