"""The rendered dataset: hands drawn by the project, made like Sign Language MNIST, with nothing to download.

Some photos a letter, each in some altered copies. Photos may be spread over signers, letter by letter: the first of a
letter is the first signer's, the second the second's, and so on around. Every signer, photo and copy has a random
generator of its own, so that asking for more of them leaves the others as they were.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from joblib import Parallel, cpu_count, delayed
from pydantic import Field, model_validator
from tqdm import tqdm

from signbridge.datasets.entry import Entry
from signbridge.datasets.images import LabelledImage
from signbridge.rendered.hand_photo import (
    Photo,
    choose_background,
    choose_colours,
    develop,
    hand_mask,
    take_photo,
)
from signbridge.rendered.letter_poses import LETTERS
from signbridge.rendered.photo_copies import copy_photo, framed_copy
from signbridge.rendered.scenes import choose_scene
from signbridge.rendered.signers import FILM, Shared, accent_of, signed_photo

_BODY, _ACCENT, _RECORDING, _FRAME, _PLACE = range(5)  # begin keys of generators; a letter's code begins all others


class RenderedParams(Entry):
    """An entry of `datasets` whose hands are drawn."""

    source: Literal["rendered"]
    seed: int = Field(ge=0)
    size: int = Field(ge=8, le=512)  # pixels a side
    photos: int = Field(ge=1)  # a letter, of all signers together
    copies: int = Field(ge=1)  # a photo
    colour: bool = False
    background: Literal["plain", "cluttered", "photo"] = "plain"  # of a signer the same, else of each photo its own
    signers: int = Field(0, ge=0)  # 0: every photo is of somebody else, and no signer is named
    accent: float = Field(0.0, ge=0, le=30)  # degrees by which a signer's joints differ in all their photos of a letter
    # How much of what differs between photos in body, clothes, light, camera and place is the signer's: share of the
    # variance, and of the photos taken before the signer's own background. At 0 a signer is no more than a name.
    signer_share: float = Field(0.9, ge=0, le=1)
    frames: int = Field(1, ge=1)  # photos of one recording of a signer and letter; 1: no recordings

    @model_validator(mode="after")
    def _photos_suffice(self) -> "RenderedParams":
        if self.photos < self.signers:
            raise ValueError(f"photos is {self.photos}, fewer than signers ({self.signers}): take one a signer or more")
        if self.signers == 0 and (self.accent > 0 or self.frames > 1):
            raise ValueError("accent and frames are a signer's: set signers, or leave them out")
        return self


def render(params: RenderedParams, letters: Collection[str] = LETTERS) -> list[LabelledImage]:
    """Draw the dataset, in the order of letter, photo and copy. Equal params give equal pixels."""
    pairs = [(letter, number) for letter in letters for number in range(params.photos)]
    return [
        image
        for letter, number in tqdm(pairs, desc="drawing photos", unit="photo")
        for image in _copies(params, letter, number)
    ]


def further_photos(params: RenderedParams, letters: Collection[str], photos: int) -> list[LabelledImage]:
    """One copy each of so many more photos of each letter, made as the dataset's and not in it; several at once."""
    numbers = further_numbers(params, letters, photos)
    one_copy = params.model_copy(update={"copies": 1})
    drawn = Parallel(n_jobs=cpu_count(), return_as="generator")(delayed(_copies)(one_copy, *pair) for pair in numbers)
    return [image for [image] in tqdm(drawn, "drawing photos", len(numbers), unit="photo")]


def further_numbers(params: RenderedParams, letters: Collection[str], photos: int) -> list[tuple[str, int]]:
    """Letter and number of so many photos of each letter that are not in the dataset."""
    return [(letter, first_further(params) + number) for letter in letters for number in range(photos)]


def first_further(params: RenderedParams) -> int:
    """The number of the first photo of each letter that is not in the dataset, nor in a recording that is."""
    whole = max(params.signers, 1) * params.frames
    return -(-params.photos // whole) * whole


def photo_in_numbers(seed: int, letter: str, number: int) -> Photo:
    """The photo behind the images `LETTER-NUMBER-*` of a dataset with that seed, as it was drawn, in grey, unsigned.

    `.pose.angles()` are its joint angles by name, in degrees; `.pose.palm_faces` and `.pose.fingers_point` its view.
    """
    return take_photo(letter, _generator(seed, ord(letter), number))


def photo_in(params: RenderedParams, letter: str, number: int) -> Photo:
    """The photo behind the images `LETTER-NUMBER-*` of this dataset: `photo_in_numbers`, or that of its signer."""
    if params.signers:
        photo, person, place = _signed(params, letter, number)
    else:
        person = place = _generator(params.seed, _PLACE, ord(letter), number)
        photo = photo_in_numbers(params.seed, letter, number)
    # All is drawn whether it is shown or not, so that a photo in colour is that photo.
    colours, background = choose_colours(photo.look.skin, person, place), params.background
    scene = None if background == "plain" else choose_scene(background, place).seen_from(photo.shift)
    return replace(photo, colours=colours if params.colour else None, scene=scene)


def _signed(params: RenderedParams, letter: str, number: int) -> tuple[Photo, Shared, np.random.Generator]:
    """A photo without colours and scene, and who chooses these: the person, and the place."""
    signer, own = number % params.signers, number // params.signers
    recorded = _generator(params.seed, _RECORDING, signer, ord(letter), own // params.frames)
    looks_then, still_then, place = recorded.spawn(3)
    looks = Shared(params.signer_share, _generator(params.seed, _BODY, signer), looks_then)
    if place.random() < params.signer_share:
        place = _generator(params.seed, _PLACE, signer)
    accent = accent_of(letter, params.accent, _generator(params.seed, _ACCENT, signer, ord(letter)))
    still = Shared(FILM, still_then, _generator(params.seed, *_key(params, letter, number)))
    return signed_photo(letter, accent, looks, still, choose_background(place)), looks, place


def signer_of(params: RenderedParams, letter: str, number: int) -> tuple[str | None, str | None]:
    """Who signs photo `number` of the letter, and in which recording: `signer-01`, `signer-01/A/clip-01`."""
    if not params.signers:
        return None, None
    signer = f"signer-{number % params.signers + 1:02d}"
    clip = f"{signer}/{letter}/clip-{number // params.signers // params.frames + 1:02d}"
    return signer, clip if params.frames > 1 else None


def _copies(params: RenderedParams, letter: str, number: int) -> list[LabelledImage]:
    photo = develop(photo_in(params, letter, number), frame_of(params.size))
    signer, clip = signer_of(params, letter, number)
    return [
        LabelledImage(
            image_id(letter, number, copy), letter, "all", copy_in(params, photo, letter, number, copy), signer, clip
        )
        for copy in range(params.copies)
    ]


def frame_of(size: int) -> int:
    """Pixels a side at which a photo is developed for copies of `size` pixels a side."""
    return max(2 * size, 112)


def copy_of(
    photo: Float[np.ndarray, "side side"], size: int, seed: int, letter: str, number: int, copy: int
) -> UInt8[np.ndarray, "size size"]:
    """Copy `copy` of `photo`, which is `photo_in_numbers` developed at `frame_of(size)`."""
    return copy_photo(photo, frame_of(size), size, _generator(seed, ord(letter), number, copy))


def copy_in(
    params: RenderedParams, photo: Float[np.ndarray, "side side *colour"], letter: str, number: int, copy: int
) -> UInt8[np.ndarray, "size size *colour"]:
    """Copy `copy` of `photo`, which is `photo_in` developed at `frame_of(params.size)`."""
    rng = _generator(params.seed, *_key(params, letter, number), copy)
    return copy_photo(photo, frame_of(params.size), params.size, rng)


def hand_in(params: RenderedParams, identifier: str) -> Float[np.ndarray, "frame frame"]:
    """Where the image with that `image_id` shows the hand: 1 on it and 0 off it, at the size that it was drawn at."""
    letter, number, copy = numbers_in(identifier)
    frame = frame_of(params.size)
    mask = hand_mask(photo_in(params, letter, number), frame)
    rng = _generator(params.seed, *_key(params, letter, number), copy)
    return framed_copy(mask.astype(float), frame, rng)


def image_id(letter: str, number: int, copy: int) -> str:
    """`A-012-3`: letter, photo, copy."""
    return f"{letter}-{number:03d}-{copy}"


def numbers_in(identifier: str) -> tuple[str, int, int]:
    """Letter, photo and copy of an `image_id`."""
    letter, number, copy = identifier.split("-")
    return letter, int(number), int(copy)


def _key(params: RenderedParams, letter: str, number: int) -> tuple[int, ...]:
    """What begins the keys of a photo's generators. A signer's photos keep theirs when there are more signers."""
    if params.signers:
        return _FRAME, number % params.signers, ord(letter), number // params.signers
    return ord(letter), number


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
