"""Hands that the project draws, moving: clips of the signs in `movements.py`, with nothing to download.

Signers are those of `rendered`: a body, clothes, a light, a camera and a wall, and an accent for each hand shape; here
each has a manner of moving too. Every signer, clip and frame has a random generator of its own, so that asking for more
of them leaves the others as they were. All sign with the right hand, and `right` is the viewer's.
"""

import zlib
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8
from joblib import Parallel, cpu_count, delayed
from pydantic import Field, model_validator
from tqdm import tqdm

from signbridge.clips.entry import ClipEntry, Recording, chosen
from signbridge.clips.movements import SIGNS, Kind, Manner, Moment, Sign, moments
from signbridge.clips.table import Clip, Frames
from signbridge.rendered.hand import HandPose, about_y
from signbridge.rendered.hand_photo import Photo, choose_background, develop, photo_side
from signbridge.rendered.photo_copies import to_bytes
from signbridge.rendered.signers import FILM, Shared, accent_of, signed_photo

_BODY, _ACCENT, _MANNER, _PLACE, _RECORDING, _STILL, _FRAME = range(7)  # begin keys of generators
_SIGNERS_SHARE = 0.9  # of the variance between clips in body, clothes, light and camera
_NEARNESS = 0.56  # of the hand, relative to the photos of `rendered`: it takes half of the frame, to have room
_TURN = -50.0  # of the hand about its length at the end of a J, degrees
_FINER = 2  # each pixel is the mean of so many by so many that are drawn
_ALL_THAT_ARE_DRAWN = {"signers": "all", "clips_per_sign": "all"}  # of as many as are asked for, none is left out
_SENSOR = 0.012  # standard deviation of each pixel's noise; brightness is 0 to 1


class RenderedMotionParams(ClipEntry):
    """An entry of `datasets` whose hands are drawn in motion."""

    source: Literal["rendered_motion"]
    seed: int = Field(ge=0)
    size: int = Field(56, ge=16, le=512)  # pixels a side
    frames: int = Field(8, ge=4)  # a multiple of 4; of 8 where they are not trimmed
    signers: int = Field(6, ge=1)
    clips_per_sign: int = Field(12, ge=1)  # of all signers together: the first is the first signer's, and so on around
    vocabulary: Literal["all"] | list[Kind] = "all"
    accent: float = Field(6.0, ge=0, le=30)  # degrees by which a signer's joints differ in all their clips of a shape

    @model_validator(mode="after")
    def _fits(self) -> "RenderedMotionParams":
        multiple = 4 if self.trim else 8
        if self.frames % multiple:
            raise ValueError(f"frames is {self.frames}: a drawn clip has a multiple of {multiple}, so take one")
        if self.clips_per_sign < self.signers:
            raise ValueError(
                f"clips_per_sign is {self.clips_per_sign}, fewer than signers ({self.signers}): take one for each"
            )
        return self


class Drawn(NamedTuple):
    """Which clip: a sign, whose it is, and the how manieth of that signer."""

    sign: Sign
    person: int  # from 0
    own: int  # from 0

    @property
    def signer(self) -> str:
        """`signer-01` and so on."""
        return f"signer-{self.person + 1:02d}"

    @property
    def clip(self) -> str:
        """`B-left/signer-01/clip-01`."""
        return f"{self.sign.label}/{self.signer}/clip-{self.own + 1:02d}"

    @property
    def key(self) -> tuple[int, int, int]:
        """What the keys of its generators hold."""
        return self.person, zlib.crc32(self.sign.label.encode()), self.own


class Accent(NamedTuple):
    """How a signer moves, beside the joints."""

    manner: Manner
    extent: float  # of a movement to either side of its middle, as a share of the frame
    seconds: float  # that a sign takes


def render_clips(params: RenderedMotionParams, workers: int | None = None) -> list[Clip]:
    """Draw all clips, on so many cores or all, by sign, number and signer. Equal params give equal pixels.

    Raises `SignBridgeError` if `glosses` names a sign that there is not.
    """
    wanted = recordings(params)
    made = Parallel(n_jobs=workers or cpu_count(), return_as="generator")(
        delayed(draw_clip)(params, one) for one in wanted
    )
    return list(tqdm(made, "drawing clips", len(wanted), unit=" clips", disable=None))


def recordings(params: RenderedMotionParams) -> list[Drawn]:
    """Which clips the dataset has."""
    kinds: Collection[str] = {sign.kind for sign in SIGNS.values()}
    kinds = kinds if params.vocabulary == "all" else params.vocabulary
    signs = [sign for sign in SIGNS.values() if sign.kind in kinds]
    every = [
        Drawn(sign, number % params.signers, number // params.signers)
        for sign in signs
        for number in range(params.clips_per_sign)
    ]
    by_name = {one.clip: one for one in every}
    named = [Recording(name, one.sign.label, one.signer, "all", name) for name, one in by_name.items()]
    kept = chosen(named, params.model_copy(update=_ALL_THAT_ARE_DRAWN), [sign.label for sign in signs])
    return [by_name[one.clip] for one in kept]


def draw_clip(params: RenderedMotionParams, recording: Drawn) -> Clip:
    """One clip, with what is true of each of its frames."""
    accent, sign = accent_in(params, recording.person), recording.sign
    shown = _with_rest(moments(sign, params.frames if params.trim else params.frames // 2, accent.manner), params)
    images = [draw_frame(params, recording, frame, moment) for frame, moment in enumerate(shown)]
    seconds = accent.seconds * (1 if params.trim else 2)
    times = [seconds * frame / params.frames for frame in range(params.frames)]
    return Clip(
        clip=recording.clip,
        label=sign.label,
        signer=recording.signer,
        split="all",
        frames=Frames(images, times),
        shape=sign.shape,
        movement=sign.movement,
        kind=sign.kind,
        truth=[_truth(params, sign, accent, frame, moment) for frame, moment in enumerate(shown)],
    )


def _with_rest(shown: list[Moment], params: RenderedMotionParams) -> list[Moment]:
    """The moments with those before and after them at which the hand stands still, where rest is not cut off."""
    still = _rest(params)
    return [shown[0]] * still + shown + [shown[-1]] * still


def _rest(params: RenderedMotionParams) -> int:
    """Frames of rest at each end."""
    return 0 if params.trim else params.frames // 4


def _truth(params: RenderedMotionParams, sign: Sign, accent: Accent, frame: int, moment: Moment) -> dict[str, Any]:
    """A row of the table of truth: place as shares of the frame from where the clip's hand moves around."""
    moves = _rest(params) <= frame < params.frames - _rest(params)
    return {
        "along": moment.along,
        "right": accent.extent * moment.right,
        "down": accent.extent * moment.down,
        "first_shape": sign.letters[0],
        "first_weight": 1 - moment.second,
        "second_shape": sign.letters[-1],
        "second_weight": moment.second,
        "segment": "movement" if moves else "rest",
    }


def accent_in(params: RenderedMotionParams, signer: int) -> Accent:
    """How that signer of the dataset moves."""
    rng = _generator(params.seed, _MANNER, signer)
    tilt = np.deg2rad(8) * float(np.clip(rng.standard_normal(), -2, 2))
    manner = Manner(pause=float(rng.uniform(0, 0.1)), easing=float(rng.uniform(0, 1)), tilt=tilt)
    return Accent(manner, float(rng.uniform(0.14, 0.20)), float(rng.uniform(0.5, 1.1)))


def draw_frame(
    params: RenderedMotionParams, recording: Drawn, frame: int, moment: Moment
) -> UInt8[np.ndarray, "size size"]:
    """One frame of the recording, in grey."""
    photo = photo_in(params, recording, frame, moment)
    rng = _generator(params.seed, _FRAME, *recording.key, frame, 1)
    side = _FINER * params.size
    border = (photo_side(side) - side) // 2
    drawn = develop(photo, side)[border : border + side, border : border + side]
    seen = drawn.reshape(params.size, _FINER, params.size, _FINER).mean(axis=(1, 3))
    return to_bytes(seen + _SENSOR * rng.standard_normal(seen.shape))


def photo_in(params: RenderedMotionParams, recording: Drawn, frame: int, moment: Moment) -> Photo:
    """What the camera sees in that frame."""
    first, last = (_held(params, recording, frame, letter) for letter in (recording.sign.letters * 2)[:2])
    pose = _between(first.pose, last.pose, moment.second).turned(about_y(_TURN * moment.turn))
    extent = accent_in(params, recording.person).extent
    right, down = first.shift[0] + extent * moment.right, first.shift[1] + extent * moment.down
    return replace(first, pose=pose, shift=(right, down), fill=_NEARNESS * first.fill, left_handed=False)


def _held(params: RenderedMotionParams, recording: Drawn, frame: int, letter: str) -> Photo:
    """The hand shape as this signer holds it in this frame, before the hand is moved."""
    seed, signer = params.seed, recording.person
    looks = Shared(_SIGNERS_SHARE, _generator(seed, _BODY, signer), _generator(seed, _RECORDING, *recording.key))
    still = Shared(FILM, _generator(seed, _STILL, *recording.key), _generator(seed, _FRAME, *recording.key, frame, 0))
    accent = accent_of(letter, params.accent, _generator(seed, _ACCENT, signer, ord(letter)))
    return signed_photo(letter, accent, looks, still, choose_background(_generator(seed, _PLACE, signer)))


def _between(first: HandPose, last: HandPose, share: float) -> HandPose:
    """The hand on its way from one pose to another that is held the same way."""
    start, end = first.angles(), last.angles()
    return first.with_angles({name: angle + share * (end[name] - angle) for name, angle in start.items()})


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
