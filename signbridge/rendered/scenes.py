"""What stands behind a signer: clutter, or a room whose statistics are those of natural images.

Natural images have amplitudes that fall as 1/f (Field 1987, "Relations between the statistics of natural images and the
response properties of cortical cells"), and large objects that hide one another (dead leaves; Lee, Mumford and Huang
2001). A `Scene` holds all of it as numbers, so it looks the same at every size.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from signbridge.core.appearance import LUMINANCE

# Changes of colour that leave the brightness as it is: red against green, and blue against yellow.
_OPPONENT = np.array([[0.587, -0.299, 0.0], [-0.129, -0.129, 1.0]])
_COLOURED = 0.15  # contrast of colours, relative to that of brightness
_GRAIN = 256  # cells a side of one period of the noise
_PERIOD = 3.0  # half frames that it spans

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Thing:
    """One object. Lengths are in half frames, u to the right and v down."""

    at: tuple[float, float]  # its middle
    half: tuple[float, float]  # half its length and half its width
    turn: float  # of its length from u, radians
    is_round: bool  # an ellipse, else a rectangle
    colour: Rgb
    edge: float  # width of its border, which the lens leaves soft
    shading: float  # relative change of brightness from its middle to its end

    def seen(
        self, u: Float[np.ndarray, "columns"], v: Float[np.ndarray, "rows"]
    ) -> tuple[Float[np.ndarray, "rows columns"], Float[np.ndarray, "rows columns"]]:
        """How far it covers what is behind it, 0 to 1, and how brightly it is lit, at each place."""
        right, down = u[None, :] - self.at[0], v[:, None] - self.at[1]
        x = np.cos(self.turn) * right + np.sin(self.turn) * down
        y = np.cos(self.turn) * down - np.sin(self.turn) * right
        length, width = self.half
        if self.is_round:
            outside = (np.hypot(x / length, y / width) - 1) * min(length, width)
        else:
            outside = np.maximum(np.abs(x) - length, np.abs(y) - width)
        cover = 1 / (1 + np.exp(np.clip(outside / self.edge, -40, 40)))
        return cover, 1 + self.shading * np.clip(x / length, -1, 1)


@dataclass(frozen=True)
class Scene:
    """A place, and where the camera stood."""

    wall: Rgb
    things: tuple[Thing, ...]  # from far to near
    texture: int  # seed of the 1/f noise
    contrast: float  # of the noise: standard deviation of the logarithm of brightness; 0: no noise
    shift: tuple[float, float] = (0.0, 0.0)  # of the camera, in half frames

    def draw(self, side: int, half_width: float) -> Float[np.ndarray, "side side 3"]:
        """Red, green and blue, 0 to 1, at side x side pixels that reach from -half_width to half_width."""
        along = (np.arange(side) + 0.5) / side * 2 * half_width - half_width
        along_u, along_v = along + self.shift[0], along + self.shift[1]
        picture = np.broadcast_to(np.array(self.wall), (side, side, 3)) * self._surface(along_u, along_v, 0)
        for number, thing in enumerate(self.things, start=1):
            reach = np.hypot(*thing.half) * (
                1 + 8 * thing.edge / min(thing.half)
            )  # beyond it nothing of the thing is seen
            columns, rows = (
                slice(*np.searchsorted(places, (middle - reach, middle + reach)))
                for places, middle in zip((along_u, along_v), thing.at, strict=True)
            )
            u, v = along_u[columns], along_v[rows]
            cover, lit = thing.seen(u, v)
            shown = np.array(thing.colour) * lit[..., None] * self._surface(u, v, number)
            picture[rows, columns] += cover[..., None] * (shown - picture[rows, columns])
        return np.clip(picture, 0.02, 0.98)

    def seen_from(self, shift: tuple[float, float]) -> "Scene":
        """The same as the camera sees it that has a hand, as far from it, off the middle by these shares of a frame."""
        return replace(self, shift=(-2 * shift[0], -2 * shift[1]))

    def _surface(self, u: np.ndarray, v: np.ndarray, number: int) -> np.ndarray | float:
        """What an object's brightness and colours are multiplied by; each object shows another part of the noise."""
        if self.contrast == 0:
            return 1.0
        at = np.stack(np.meshgrid(v, u, indexing="ij")) * _GRAIN / _PERIOD + 61.8 * number
        light, *hues = (ndimage.map_coordinates(noise, at, order=1, mode="grid-wrap") for noise in _noise(self.texture))
        log = light[..., None] + _COLOURED * (np.stack(hues, axis=-1) @ _OPPONENT)
        return np.exp(self.contrast * log)


@lru_cache(maxsize=4)
def _noise(seed: int) -> Float[np.ndarray, "3 grain grain"]:
    """Brightness and two opponent colours of unit variance, whose amplitude falls as 1/f; periodic."""
    along = np.fft.fftfreq(_GRAIN)
    frequency = np.hypot(along[:, None], along[None, :])
    frequency[0, 0] = np.inf  # no mean
    white = np.fft.fft2(np.random.default_rng(seed).standard_normal((3, _GRAIN, _GRAIN)))
    noise = np.fft.ifft2(white / frequency).real
    return noise / noise.std(axis=(1, 2), keepdims=True)


def tint(hue: float, saturation: float) -> Rgb:
    """A colour of brightness 1: multiplied by a brightness it has that brightness. `hue` is an angle in radians."""
    colour = 1 + saturation * np.cos(hue - np.array([0, 2, 4]) * np.pi / 3)
    return tuple((colour / (colour @ LUMINANCE)).tolist())


def choose_scene(kind: Literal["cluttered", "photo"], rng: np.random.Generator) -> Scene:
    """Choose a place: many small things with hard edges (`cluttered`), or large ones with soft edges and texture."""
    wall = _colour(rng, 0.15)
    if kind == "cluttered":
        things = [_small_thing(rng) for _ in range(rng.integers(26, 38))]
        return Scene(wall, tuple(things), 0, 0.0)
    things = [_large_thing(rng) for _ in range(rng.integers(6, 11))]
    return Scene(wall, tuple(things), int(rng.integers(2**31)), float(rng.uniform(0.16, 0.28)))


def _small_thing(rng: np.random.Generator) -> Thing:
    is_bar = rng.random() < 0.3
    half = (rng.uniform(0.6, 1.6), rng.uniform(0.015, 0.05)) if is_bar else rng.uniform(0.08, 0.40, 2)
    return _thing(rng, half, rng.uniform(0, np.pi), 0.004, 0.6)


def _large_thing(rng: np.random.Generator) -> Thing:
    size = 0.18 * (1 - rng.random()) ** (-1 / 2)  # areas by the power law of dead leaves, which no scale stands out in
    half = min(size, 1.1) * np.array([1, rng.uniform(0.5, 1)])
    return _thing(rng, half, rng.choice([0, np.pi / 2]) + rng.normal(0, 0.08), float(rng.uniform(0.006, 0.02)), 0.25)


def _thing(rng: np.random.Generator, half: np.ndarray | tuple, turn: float, edge: float, saturation: float) -> Thing:
    at = rng.uniform(-1.2, 1.2, 2)
    return Thing(
        tuple(at.tolist()),
        (float(half[0]), float(half[1])),
        float(turn),
        bool(rng.random() < 0.4),
        _colour(rng, saturation),
        edge,
        float(rng.normal(0, 0.12)),
    )


def _colour(rng: np.random.Generator, saturation: float) -> Rgb:
    brightness, hue = rng.uniform(0.1, 0.85), float(rng.uniform(0, 2 * np.pi))
    return tuple((brightness * np.array(tint(hue, float(rng.uniform(0, saturation))))).tolist())
