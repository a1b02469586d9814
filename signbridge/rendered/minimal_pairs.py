"""Minimal pairs: one photo drawn twice, with one finger bent further and nothing else changed.

After NOTICE (Golovanevsky et al. 2025), which corrupts an image in one meaning: the signer, the view, the light, the
background, the frame and the filters of the copy are the same to the number, so whatever differs between two runs of a
model comes of that finger.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from joblib import Parallel, cpu_count, delayed

from signbridge.datasets.hands import FINGERS
from signbridge.rendered.dataset import RenderedParams, copy_in, frame_of, further_numbers, photo_in
from signbridge.rendered.hand_photo import Photo, develop
from signbridge.rendered.letter_poses import LETTER_POSES

FURTHEST = 60.0  # degrees at the knuckle, above which a finger cannot be bent by much more


class MinimalPairs(NamedTuple):
    """One photo, and the same with each finger bent further."""

    letter: str
    number: int  # of the photo: `rendered.dataset.photo_in`
    unmoved: UInt8[np.ndarray, "size size *colour"]
    moved: dict[str, UInt8[np.ndarray, "size size *colour"]]  # by finger


def bendable(letters: Sequence[str]) -> list[str]:
    """Those letters all of whose fingers can still be bent at the knuckle."""
    return [
        letter for letter in letters
        if letter in LETTER_POSES and all(getattr(LETTER_POSES[letter], finger).mcp <= FURTHEST for finger in FINGERS)
    ]  # fmt: skip


def bent(photo: Photo, finger: str, degrees: float) -> Photo:
    """The photo with that finger bent further at its knuckle."""
    angles = photo.pose.angles()
    return replace(photo, pose=photo.pose.with_angles({f"{finger}_mcp": angles[f"{finger}_mcp"] + degrees}))


def minimal_pairs(params: RenderedParams, letters: Sequence[str], photos: int, degrees: float) -> list[MinimalPairs]:
    """So many photos of each letter that are not in the dataset, each with one finger after the other bent further."""
    numbers = further_numbers(params, letters, photos)
    return Parallel(n_jobs=cpu_count())(delayed(_pairs)(params, *which, degrees) for which in numbers)


def _pairs(params: RenderedParams, letter: str, number: int, degrees: float) -> MinimalPairs:
    photo, frame = photo_in(params, letter, number), frame_of(params.size)

    def drawn(as_held: Photo) -> UInt8[np.ndarray, "size size *colour"]:
        return copy_in(params, develop(as_held, frame, photo.pose), letter, number, 0)

    return MinimalPairs(letter, number, drawn(photo), {f: drawn(bent(photo, f, degrees)) for f in FINGERS})
