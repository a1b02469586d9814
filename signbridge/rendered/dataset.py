"""The rendered dataset: hands drawn by the project, made like Sign Language MNIST, with nothing to download.

Some photos a letter, each in some altered copies. Every photo and every copy has a random generator of its own, so that
asking for more of either leaves the others as they were.
"""

from collections.abc import Collection
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from joblib import Parallel, cpu_count, delayed
from pydantic import Field
from tqdm import tqdm

from signbridge.datasets.entry import Entry
from signbridge.datasets.images import LabelledImage
from signbridge.rendered.hand_photo import (
    Photo,
    develop,
    hand_mask,
    take_photo,
)
from signbridge.rendered.letter_poses import LETTERS
from signbridge.rendered.photo_copies import copy_photo, framed_copy


class RenderedParams(Entry):
    """An entry of `datasets` whose hands are drawn."""

    source: Literal["rendered"]
    seed: int = Field(ge=0)
    size: int = Field(ge=8, le=512)  # pixels a side
    photos: int = Field(ge=1)  # a letter
    copies: int = Field(ge=1)  # a photo


def render(params: RenderedParams) -> list[LabelledImage]:
    """Draw the dataset, in the order of letter, photo and copy. Equal params give equal pixels."""
    pairs = [(letter, number) for letter in LETTERS for number in range(params.photos)]
    return [
        image
        for letter, number in tqdm(pairs, desc="drawing photos", unit="photo")
        for image in _copies(params, letter, number)
    ]


def further_photos(params: RenderedParams, letters: Collection[str], photos: int) -> list[LabelledImage]:
    """One copy each of so many more photos of each letter, made as the dataset's and not in it; several at once."""
    numbers = [(letter, params.photos + number) for letter in letters for number in range(photos)]
    one_copy = params.model_copy(update={"copies": 1})
    drawn = Parallel(n_jobs=cpu_count(), return_as="generator")(delayed(_copies)(one_copy, *pair) for pair in numbers)
    return [image for [image] in tqdm(drawn, "drawing photos", len(numbers), unit="photo")]


def photo_in_numbers(seed: int, letter: str, number: int) -> Photo:
    """The photo behind the images `LETTER-NUMBER-*` of the dataset with that seed, as it was drawn.

    `.pose.angles()` are its joint angles by name, in degrees; `.pose.palm_faces` and `.pose.fingers_point` its view.
    """
    return take_photo(letter, np.random.default_rng(_sequence(seed, letter, number)))


def _copies(params: RenderedParams, letter: str, number: int) -> list[LabelledImage]:
    photo = develop(photo_in_numbers(params.seed, letter, number), frame_of(params.size))
    return [
        LabelledImage(
            image_id(letter, number, copy),
            letter,
            "all",
            copy_of(photo, params.size, params.seed, letter, number, copy),
        )
        for copy in range(params.copies)
    ]


def frame_of(size: int) -> int:
    """Pixels a side at which a photo is developed for copies of `size` pixels a side."""
    return max(2 * size, 112)


def copy_of(
    photo: Float[np.ndarray, "side side"], size: int, seed: int, letter: str, number: int, copy: int
) -> UInt8[np.ndarray, "size size"]:
    """Copy `copy` of `photo`, which is photo `number` of the letter developed at `frame_of(size)`."""
    rng = np.random.default_rng(_sequence(seed, letter, number, copy))
    return copy_photo(photo, frame_of(size), size, rng)


def hand_in(params: RenderedParams, identifier: str) -> Float[np.ndarray, "frame frame"]:
    """Where the image with that `image_id` shows the hand: 1 on it and 0 off it, at the size that it was drawn at."""
    letter, number, copy = identifier.split("-")
    frame = frame_of(params.size)
    mask = hand_mask(photo_in_numbers(params.seed, letter, int(number)), frame)
    rng = np.random.default_rng(_sequence(params.seed, letter, int(number), int(copy)))
    return framed_copy(mask.astype(float), frame, rng)


def image_id(letter: str, number: int, copy: int) -> str:
    """`A-012-3`: letter, photo, copy."""
    return f"{letter}-{number:03d}-{copy}"


def _sequence(seed: int, letter: str, *numbers: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(ord(letter), *numbers))
