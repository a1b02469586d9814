"""What the tests of the lenses' stages share: images, hands and a corpus, small enough to read in a test."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signbridge.core import params, tables
from signbridge.datasets.images import encode_png
from signbridge.rendered.hands_table import hands_table
from tests.conftest import Workspace
from tests.stages.causal_study import ENVIRONMENT, IDS, LABELS, PHOTOS
from tests.stages.small_study import working_in

CORPUS = Path("corpus.txt")
SAMPLE, HANDS, WORDS = "data/sample.parquet", "data/hands.parquet", "data/lenses/words.parquet"
FEW_PHRASES = ("The finger is up.", "The finger is bent.", "The hand is up.", "The hand is bent.")
TEXT_INDEX = {"contexts": 4, "layers": [0, 1], "skip": 2, "prefer": 3, "storage": "float8"}
LENSES = {"images": 8, "patches": 9, "layers": 3, "k": 3, "search": "exact", "cells": 4, "memory_gib": 0.1,
          "text_words": 20}  # fmt: skip

# For `modalities` and `alignment`: two letters with enough photos for probes of their words.
PHRASES = [
    f"The {finger} {'finger' if finger != 'thumb' else ''} of {whose} hand is {how}."
    for finger in ("index", "middle", "thumb")
    for whose in ("this", "a")
    for how in ("up", "bent", "hooked", "up and bent", "there")
]
IMAGES, PHRASES_CHOSEN = 11, 26


@contextmanager
def sampled(folder: Path, corpus: Sequence[str] = FEW_PHRASES) -> Iterator[Workspace]:
    """What `fetch`, `sample` and `model` leave of images that were not drawn, in the current folder."""
    with working_in(folder) as workspace, pytest.MonkeyPatch.context() as here:
        for name, value in ENVIRONMENT.items():
            here.setenv(name, value)
        CORPUS.write_text("\n".join(corpus), encoding="utf-8")
        workspace.set(
            model="tiny-random", dataset="mine", datasets__mine={"source": "image_folder", "path": "."},
            statistics={"confidence": 0.95, "resamples": 50},
            model_notes={"tiny-random": "it has learnt nothing"},
            questions__corpus=str(CORPUS), questions__templates=[],
        )  # fmt: skip
        workspace.set_in(params.LENSES, text_index=TEXT_INDEX, lenses=LENSES)
        pixels = np.random.default_rng(0).integers(0, 256, (len(LABELS), 28, 28), dtype=np.uint8)
        sample = {"image_id": IDS, "label": LABELS, "photo": PHOTOS, "image": [encode_png(image) for image in pixels]}
        tables.write(pd.DataFrame(sample), SAMPLE, {})
        write_hands(LABELS)
        workspace.describe_model()
        yield workspace


def write_hands(labels: Sequence[str]) -> None:
    """What is known of the hands in images of these classes."""
    tables.write(hands_table(IDS, list(labels), None), HANDS, {})


def relabel(labels: Sequence[str]) -> None:
    """Other classes for the images of the sample: in the sample, and in what is known of the hands."""
    tables.write(tables.read(SAMPLE).assign(label=list(labels)), SAMPLE, {})
    write_hands(labels)


@contextmanager
def with_modalities(folder: Path) -> Iterator[Workspace]:
    """The study with params for `modalities` and `alignment`, of the letters A (bent) and B (up, together) alone."""
    with sampled(folder, PHRASES) as workspace:
        workspace.set_in(
            params.LENSES, lenses={**LENSES, "images": IMAGES, "k": 2}, text_index={**TEXT_INDEX, "contexts": 2},
            modalities={"phrases": PHRASES_CHOSEN, "neighbours": 5, "caption": "The fingers are {words}."},
            alignment={"draws": 4},
        )  # fmt: skip
        relabel(["A" if place < 6 else "B" for place in range(len(IDS))])
        yield workspace
