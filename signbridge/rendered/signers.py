"""What makes the photos of one signer alike: body, clothes, light, camera, and an accent.

An accent is how this person forms this letter: the same offset of each joint angle in all of their photos of it. A
probe that has seen the person can know it, and one that has not cannot.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from signbridge.rendered.hand import FINGERS, Proportions, about_x, about_y, about_z
from signbridge.rendered.hand_drawing import Look
from signbridge.rendered.hand_photo import SPREAD, Background, Chance, Photo, hold
from signbridge.rendered.letter_poses import LETTER_POSES

FILM = 0.95  # share of the variance between photos that the frames of one recording have in common
_LIMITS = (-15.0, 120.0)  # of a finger's joint with its accent, degrees
_CAMERA = (8.0, 14.0, 7.0)  # standard deviations of its angle about x, y and z, degrees
_LEFT_HANDED = 0.1  # share of signers
_SLEEVED = 0.5  # share of signers
_SHIFT = 0.02  # standard deviation of the hand's place, as a share of the frame


class Shared(NamedTuple):
    """Normal numbers that are partly the same wherever `common` is the same source.

    Of their variance `share` comes from `common` (the intraclass correlation), the rest from `own`.
    """

    share: float
    common: Chance
    own: Chance

    def standard_normal(self, size: int | None = None) -> float | np.ndarray:
        """Of mean 0 and variance 1."""
        common, own = self.common.standard_normal(size), self.own.standard_normal(size)
        return np.sqrt(self.share) * common + np.sqrt(1 - self.share) * own

    def normal(self, mean: float, deviation: float) -> float:
        """Of that mean and standard deviation, cut at 2.5 of these."""
        return mean + deviation * float(np.clip(self.standard_normal(), -2.5, 2.5))

    def uniform(self, low: float, high: float) -> float:
        """Evenly from `low` to `high`."""
        return low + (high - low) * float(ndtr(self.standard_normal()))

    def coin(self, probability: float) -> bool:
        """Whether something without degrees is so; `share` of the photos show what `common` says."""
        common, own, which = (ndtr(of.standard_normal()) for of in (self.common, self.own, self.own))
        return bool((common if which < self.share else own) < probability)


def accent_of(letter: str, degrees: float, rng: np.random.Generator) -> dict[str, float]:
    """What a signer adds to each joint angle of the letter; `degrees` is the standard deviation over signers."""
    offsets = {}
    for joint, angle in LETTER_POSES[letter].angles().items():
        scale = SPREAD if joint.endswith("spread") else 1.0
        offset = scale * degrees * float(np.clip(rng.standard_normal(), -2, 2))
        if joint.startswith(FINGERS):
            offset = float(np.clip(angle + offset, *_LIMITS)) - angle
        offsets[joint] = offset
    return offsets


def signed_photo(letter: str, accent: Mapping[str, float], looks: Shared, still: Chance, place: Background) -> Photo:
    """One photo of a signer, still grey and before a plain wall.

    `looks` decides on body, clothes, light and camera; `still` on what differs between photos whoever signs: the joints
    beside the accent, how the hand is turned, and where it stands.
    """
    proportions, look = _body(looks), _look(looks)
    pitch, yaw, roll = (looks.normal(0, angle) for angle in _CAMERA)
    fill, blur, left_handed = looks.uniform(0.78, 0.92), looks.uniform(0.006, 0.016), looks.coin(_LEFT_HANDED)
    right, down = _SHIFT * np.clip(still.standard_normal(2), -2, 2)
    return Photo(
        letter=letter,
        pose=hold(letter, still, accent).turned(about_z(roll) @ about_x(pitch) @ about_y(yaw)),
        left_handed=left_handed,
        proportions=proportions,
        look=look,
        background=place,
        fill=fill,
        shift=(float(right), float(down)),
        blur=blur,
    )


def _body(looks: Shared) -> Proportions:
    return Proportions(
        fingers=looks.normal(1, 0.07),
        thumb=looks.normal(1, 0.05),
        width=looks.normal(1, 0.06),
        thickness=looks.normal(1.02, 0.08),
        each_finger=tuple(looks.normal(1, 0.02) for _ in FINGERS),
    )


def _look(looks: Shared) -> Look:
    light = np.array([looks.uniform(-0.7, 0.5), looks.uniform(0.0, 0.8), looks.uniform(0.5, 1.0)])
    sleeved, sleeve = looks.coin(_SLEEVED), looks.uniform(0.08, 0.9)  # both drawn for every photo
    return Look(
        skin=looks.uniform(0.3, 0.85),
        sleeve=sleeve if sleeved else None,
        light=tuple((light / np.linalg.norm(light)).tolist()),
        ambient=looks.uniform(0.3, 0.6),
        gloss=looks.uniform(0.02, 0.16),
    )
