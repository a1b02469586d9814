"""What differs between two photos of one letter: signer, joints, view, light and background.

A `Photo` holds all of it as numbers, so that the joint angles behind each image can be read; `develop` draws it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageFilter

from signbridge.core.appearance import LUMINANCE
from signbridge.rendered.hand import (
    FINGERS,
    HandPose,
    Proportions,
    about_x,
    about_y,
    about_z,
)
from signbridge.rendered.hand_drawing import (
    FOREARM,
    Look,
    Surface,
    extent,
    hand_capsules,
    in_pixels,
    see,
    shade,
)
from signbridge.rendered.letter_poses import LETTER_POSES
from signbridge.rendered.scenes import Rgb, Scene, tint

MARGIN = 1.08  # a photo is this much wider than the frame, so that turning a copy needs nothing from outside
SPREAD = 0.4  # how far angles to the side differ, relative to all others
_JOINT_NOISE = 4.0  # standard deviation of each joint, degrees
_TURN = (7.0, 11.0, 6.0)  # standard deviations of the hand's turn about x, y and z, degrees
_LEFT_HANDED = 0.03  # share of signers
_SLEEVED = 0.5  # share of signers


@dataclass(frozen=True)
class Background:
    """Brightness behind the hand, over u (right) and v (down), both -1 to 1 across the frame."""

    level: float
    slope: tuple[float, float]  # change of brightness from the middle to the border
    blobs: tuple[tuple[float, float, float, float], ...]  # u, v, radius, change of brightness
    edges: tuple[tuple[float, float, float], ...]  # direction in radians, distance, change of brightness beyond it

    def draw(self, side: int, half_width: float) -> Float[np.ndarray, "side side"]:
        """Brightness at side x side pixels that reach from -half_width to half_width."""
        along = (np.arange(side) + 0.5) / side * 2 * half_width - half_width
        u, v = along[None, :], along[:, None]
        picture = self.level + self.slope[0] * u + self.slope[1] * v
        for at_u, at_v, radius, change in self.blobs:
            picture = picture + change * np.exp(-((u - at_u) ** 2 + (v - at_v) ** 2) / (2 * radius**2))
        for direction, distance, change in self.edges:
            beyond = np.cos(direction) * u + np.sin(direction) * v - distance
            picture = picture + change / (1 + np.exp(-np.clip(beyond / 0.02, -50, 50)))
        return np.clip(picture, 0.02, 0.98)


@runtime_checkable
class Chance(Protocol):
    """A source of random numbers: a NumPy generator, or one that is partly shared (`signers.Shared`)."""

    def standard_normal(self, size: int | None = None) -> float | np.ndarray: ...
    def normal(self, mean: float, deviation: float) -> float: ...
    def uniform(self, low: float, high: float) -> float: ...


class Colours(NamedTuple):
    """By what brightness is multiplied; each has brightness 1 itself."""

    skin: Rgb
    sleeve: Rgb
    wall: Rgb  # of a plain background


@dataclass(frozen=True)
class Photo:
    """One photo, in numbers."""

    letter: str
    pose: HandPose  # of a right hand: a left one is its mirror image
    left_handed: bool
    proportions: Proportions
    look: Look
    background: Background
    fill: float  # share of the frame that the hand takes
    shift: tuple[float, float]  # of the hand's middle, right and down, as shares of the frame
    blur: float  # of the lens, as a share of the frame
    scene: Scene | None = None  # in place of the plain background
    colours: Colours | None = None  # none: grey


def take_photo(letter: str, rng: np.random.Generator) -> Photo:
    """Choose everything that varies for one photo of `letter`."""
    proportions = _signer(rng)
    pose = hold(letter, rng)
    look, background = _scene(rng)
    return Photo(
        letter=letter,
        pose=pose,
        left_handed=bool(rng.random() < _LEFT_HANDED),
        proportions=proportions,
        look=look,
        background=background,
        fill=float(rng.uniform(0.80, 0.92)),
        shift=(float(rng.uniform(-0.04, 0.04)), float(rng.uniform(-0.04, 0.04))),
        blur=float(rng.choice([0.008, 0.012, 0.018])),
    )


def _signer(rng: np.random.Generator) -> Proportions:
    return Proportions(
        fingers=float(rng.normal(1, 0.06)),
        thumb=float(rng.normal(1, 0.04)),
        width=float(rng.normal(1, 0.05)),
        thickness=float(rng.normal(1.02, 0.06)),
        each_finger=tuple(rng.normal(1, 0.02, len(FINGERS)).tolist()),
    )


def hold(letter: str, rng: Chance, accent: Mapping[str, float] | None = None) -> HandPose:
    """The letter as it is held in one photo: every joint differs a little, and the hand is turned a little.

    `accent` is added to the joint angles that it names, in degrees.
    """
    pose, accent = LETTER_POSES[letter], accent or {}
    noisy = {}
    for name, angle in pose.angles().items():
        spread = SPREAD * _JOINT_NOISE if name.endswith("spread") else _JOINT_NOISE
        noisy[name] = angle + accent.get(name, 0.0) + spread * float(np.clip(rng.standard_normal(), -2, 2))
    pitch, yaw, roll = np.clip(rng.standard_normal(3), -2, 2) * _TURN
    return pose.with_angles(noisy).turned(about_z(roll) @ about_x(pitch) @ about_y(yaw))


def _scene(rng: np.random.Generator) -> tuple[Look, Background]:
    light = np.array([rng.uniform(-0.7, 0.4), rng.uniform(0.1, 0.8), rng.uniform(0.6, 1.0)])
    look = Look(
        skin=float(rng.uniform(0.45, 0.85)),
        sleeve=float(rng.uniform(0.08, 0.9)) if rng.random() < _SLEEVED else None,
        light=tuple((light / np.linalg.norm(light)).tolist()),
        ambient=float(rng.uniform(0.3, 0.6)),
        gloss=float(rng.uniform(0.02, 0.18)),
    )
    return look, choose_background(rng)


def choose_background(rng: np.random.Generator) -> Background:
    """Choose a plain wall: uneven light, soft shadows, at most one edge."""

    def blob() -> tuple[float, float, float, float]:
        return (*rng.uniform(-1, 1, 2).tolist(), float(rng.uniform(0.1, 0.5)), float(rng.normal(0, 0.06)))

    def edge() -> tuple[float, float, float]:
        return (
            float(rng.choice(4) * np.pi / 2 + rng.normal(0, 0.12)),
            float(rng.uniform(0.2, 0.9)),
            float(rng.normal(0, 0.15)),
        )

    return Background(
        level=float(rng.uniform(0.45, 0.78)),
        slope=tuple(rng.normal(0, 0.06, 2).tolist()),
        blobs=tuple(blob() for _ in range(rng.integers(0, 5))),
        edges=tuple(edge() for _ in range(rng.integers(0, 2))),
    )


def choose_colours(skin: float, person: Chance, place: Chance) -> Colours:
    """Choose colours for skin of that brightness (the darker, the redder), for clothes, and for a plain wall."""
    darkness = np.clip((0.85 - skin) / 0.55, 0, 1)
    hue, saturation = 0.38 + person.normal(0, 0.06), 0.20 + 0.32 * darkness + person.normal(0, 0.03)
    sleeve = tint(person.uniform(0, 2 * np.pi), person.uniform(0, 0.7))
    return Colours(tint(hue, saturation), sleeve, tint(place.uniform(0, 2 * np.pi), place.uniform(0, 0.15)))


def develop(photo: Photo, frame: int, framed: HandPose | None = None) -> Float[np.ndarray, "side side *colour"]:
    """Draw the photo: brightness from 0 to 1, `frame` pixels across the frame and a margin of 4 % on every side.

    In grey, or red, green and blue where the photo has colours. The hand stands where, and is as large as, the hand in
    the pose `framed` would be; without it, its own.
    """
    surface, scale = _surface(photo, frame, framed)
    picture = _behind(photo, photo_side(frame))
    hand = surface.parts >= 0
    shown = shade(surface, photo.look, scale)
    if photo.colours is not None:
        sleeved = (surface.parts == FOREARM) & (photo.look.sleeve is not None)
        tints = np.where(sleeved[..., None], photo.colours.sleeve, photo.colours.skin)
        shown = np.clip(shown[..., None] * tints, 0, 1)
    picture[hand] = shown[hand]
    return _through_lens(_as_held(photo, picture), photo.blur * frame)


def _behind(photo: Photo, side: int) -> Float[np.ndarray, "side side *colour"]:
    """What would be seen without the hand."""
    if photo.scene is not None:
        picture = _as_held(photo, photo.scene.draw(side, MARGIN))  # so that a left hand has the same scene behind it
        return picture @ LUMINANCE if photo.colours is None else picture
    wall = photo.background.draw(side, MARGIN)
    return wall if photo.colours is None else np.clip(wall[..., None] * photo.colours.wall, 0, 1)


def hand_mask(photo: Photo, frame: int) -> Bool[np.ndarray, "side side"]:
    """Which pixels of `develop(photo, frame)` show the hand, forearm or sleeve and all, before the lens blurs them."""
    surface, _ = _surface(photo, frame)
    return _as_held(photo, surface.parts >= 0)


def _surface(photo: Photo, frame: int, framed: HandPose | None = None) -> tuple[Surface, float]:
    """What is seen of the hand, and how many pixels its unit of length takes."""
    side = photo_side(frame)
    capsules = hand_capsules(photo.pose, photo.proportions)
    low, high = extent(capsules if framed is None else hand_capsules(framed, photo.proportions))
    scale = float(frame * photo.fill / max((high - low).max(), 1.3))  # a fist is smaller than an open hand
    centre = (low + high) / 2 + _off_centre(photo, frame, scale)
    return see(in_pixels(capsules, centre, scale, side), scale, side), scale


def _as_held(photo: Photo, picture: np.ndarray) -> np.ndarray:
    return picture[:, ::-1] if photo.left_handed else picture


def photo_side(frame: int) -> int:
    """Pixels a side of a photo whose frame has `frame` pixels a side."""
    return frame + 2 * round((MARGIN - 1) / 2 * frame)


def _off_centre(photo: Photo, frame: int, scale: float) -> Float[np.ndarray, "2"]:
    right, down = photo.shift
    return np.array([-right, down]) * frame / scale


def _through_lens(picture: np.ndarray, blur: float) -> Float[np.ndarray, "side side *colour"]:
    image = Image.fromarray((255 * picture).round().astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(float(blur))), float) / 255
