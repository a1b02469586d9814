"""What a control shows the model in place of a row's own image, and which controls the study reads.

A probe that reads a letter where the image cannot say it has learnt something else: the prompt, the order of the rows,
or that copies of one photo stand on both sides of the split.
"""

import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Int
from PIL import Image
from pydantic import Field

from signbridge.core.errors import SignBridgeError
from signbridge.core.params import Section
from signbridge.datasets.images import encode_png

UNTRAINED_TWIN = "untrained_twin"  # the row's own image, read by the same architecture with random weights
NO_IMAGE = "no_image"  # the mean grey of the sample
OTHER_LETTER = "other_letter"  # an image of another letter, under this row's label
CONTROLS = (UNTRAINED_TWIN, NO_IMAGE, OTHER_LETTER)


class ControlsParams(Section):
    """The section `controls`."""

    read: list[Literal["untrained_twin", "no_image", "other_letter"]]  # which of them; may be empty
    twin_seed: int = Field(ge=0, lt=2**63)  # of the untrained twin's weights


def mean_grey(pngs: Sequence[bytes]) -> int:
    """The mean grey level, 0 to 255, of all pixels of all images, rounded. A larger image counts for more."""
    images = [np.asarray(Image.open(io.BytesIO(png)).convert("L")) for png in pngs]
    return round(sum(int(image.sum(dtype=np.int64)) for image in images) / sum(image.size for image in images))


def uniform_image(png: bytes, grey: int) -> bytes:
    """A PNG as large as `png` that is `grey` (0 to 255) everywhere."""
    width, height = Image.open(io.BytesIO(png)).size
    return encode_png(np.full((height, width), grey, dtype=np.uint8))


def no_images(pngs: Sequence[bytes]) -> tuple[list[bytes], int]:
    """In place of each image one as large that is the mean grey of all, and that grey: what `no_image` shows.

    Images of one size have the same bytes.
    """
    grey = mean_grey(pngs)
    return [uniform_image(png, grey) for png in pngs], grey


def other_letter_rows(
    labels: Sequence[str], photos: Sequence[str], generator: np.random.Generator
) -> Int[np.ndarray, "rows"]:
    """For each row, the row whose image it is shown: one of another letter.

    `labels` and `photos` have one entry a row. It is drawn by photo: all rows of a photo are shown the images of one
    other photo, in order, from its first again where it has fewer. Each photo is shown in place of one other, so that
    no grouped split has a shown photo on both sides; only where one letter has more than half of the photos must some
    be shown for several. Which letter is shown says which one the row is not: a probe that knew it would be right
    for one in (letters - 1), which with two letters is always.
    Raises `SignBridgeError` if there are fewer than two letters.
    """
    rows = pd.Series(np.arange(len(labels))).groupby(list(photos), sort=False).agg(list)
    photo_letters = np.array([labels[of_photo[0]] for of_photo in rows])
    shown = np.empty(len(labels), dtype=np.int64)
    for of_photo, donor in zip(rows, _donors(photo_letters, generator), strict=True):
        shown[of_photo] = np.resize(rows.iloc[donor], len(of_photo))
    return shown


def _donors(letters: np.ndarray, generator: np.random.Generator) -> Int[np.ndarray, "photos"]:
    """For each photo, by its letter, another photo of another letter: shuffled, and swapped until all differ.

    A photo that drew its own letter swaps with one that neither is nor drew that letter. Of n photos, k of the letter,
    at most 2k - 1 are or did: while k is no more than half of n, one is left.
    """
    kinds, codes = np.unique(letters, return_inverse=True)
    if len(kinds) < 2:
        raise SignBridgeError(
            f"controls.read: other_letter needs two letters at least, the sample has {len(kinds)}: "
            f"{', '.join(kinds) or 'none'}. Draw more with sample.classes, or leave other_letter out."
        )
    donors = generator.permutation(len(codes))
    for photo in range(len(codes)):
        letter = codes[photo]
        if codes[donors[photo]] != letter:
            continue
        partners = np.flatnonzero((codes != letter) & (codes[donors] != letter))
        if len(partners):
            partner = generator.choice(partners)
            donors[[photo, partner]] = donors[[partner, photo]]
        else:
            donors[photo] = generator.choice(np.flatnonzero(codes != letter))
    return donors
