"""How is one photo turned into altered copies, the way Sign Language MNIST was made?

Its description (https://www.kaggle.com/datasets/datamunge/sign-language-mnist) names five filters (Mitchell, Robidoux,
Catrom, Spline, Hermite), 5 % random pixelation, 15 % of brightness and contrast to either side, and 3 degrees of
rotation. The filters are cubics by the two numbers of Mitchell and Netravali (1988), "Reconstruction filters in
computer graphics"; the numbers of each are ImageMagick's. What the description leaves open was chosen so that copies of
a photo correlate nearly as closely as the real ones do.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

FILTERS = {  # B and C
    "mitchell": (1 / 3, 1 / 3),
    "robidoux": (0.3782, 0.3109),
    "catrom": (0.0, 0.5),
    "spline": (1.0, 0.0),
    "hermite": (0.0, 0.0),
}
ROTATION = 1.5  # degrees to either side, 3 in all
BRIGHTNESS = CONTRAST = 0.15  # relative change, at most
PIXELATION = 0.05  # share of the picture's 2 x 2 blocks, at most, that become one large pixel


def copy_photo(
    photo: Float[np.ndarray, "side side *colour"], frame: int, size: int, rng: np.random.Generator
) -> UInt8[np.ndarray, "size size *colour"]:
    """One altered copy of `photo` (brightness 0 to 1): rotated, cut to the `frame` pixels in its middle, resampled to
    `size` x `size`, lit and pixelated differently.
    """
    framed = framed_copy(photo, frame, rng)
    kernel = list(FILTERS)[rng.integers(len(FILTERS))]
    small = resampled(framed, size, kernel)
    brightness, contrast = rng.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS), rng.uniform(1 - CONTRAST, 1 + CONTRAST)
    return pixelated(relit(to_bytes(small), float(brightness), float(contrast)), rng)


def framed_copy(
    photo: Float[np.ndarray, "side side *colour"], frame: int, rng: np.random.Generator
) -> Float[np.ndarray, "frame frame *colour"]:
    """What a copy shows, before it is resampled: the first thing that `copy_photo` draws from `rng`."""
    turned = rotated(photo, float(rng.uniform(-ROTATION, ROTATION)))
    border = (photo.shape[0] - frame) // 2
    return turned[border : border + frame, border : border + frame]


def rotated(photo: Float[np.ndarray, "side side *colour"], degrees: float) -> Float[np.ndarray, "side side *colour"]:
    """The photo turned about its middle, counter-clockwise; what comes from outside is black."""
    if photo.ndim == 3:
        return _each_colour(lambda channel: rotated(channel, degrees), photo)
    image = Image.fromarray(photo.astype(np.float32))
    return np.asarray(image.rotate(degrees, Image.Resampling.BILINEAR), float)


def resampled(
    picture: Float[np.ndarray, "frame frame *colour"], size: int, kernel: str
) -> Float[np.ndarray, "size size *colour"]:
    """The picture at size x size through one of `FILTERS`, which may overshoot the picture's range."""
    weights = _weights(picture.shape[0], size, kernel)
    if picture.ndim == 3:
        return _each_colour(lambda channel: weights @ channel @ weights.T, picture)
    return weights @ picture @ weights.T


def _each_colour(
    change: Callable[[np.ndarray], np.ndarray], picture: Float[np.ndarray, "before before 3"]
) -> Float[np.ndarray, "after after 3"]:
    return np.stack([change(channel) for channel in np.moveaxis(picture, -1, 0)], axis=-1)


@cache
def _weights(frame: int, size: int, kernel: str) -> Float[np.ndarray, "size frame"]:
    """Row i: what each of `frame` pixels gives to pixel i of `size`; rows sum to one."""
    step = max(frame / size, 1.0)  # a smaller picture needs a wider kernel
    centres = (np.arange(size) + 0.5) * frame / size
    weights = cubic((np.arange(frame) + 0.5 - centres[:, None]) / step, *FILTERS[kernel])
    return weights / weights.sum(axis=1, keepdims=True)


def cubic(x: Float[np.ndarray, "*shape"], b: float, c: float) -> Float[np.ndarray, "*shape"]:
    """The Mitchell-Netravali kernel (1988, equation 8) at distances `x` in pixels."""
    x = np.abs(x)
    near = (12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + (6 - 2 * b)
    far = (-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + (8 * b + 24 * c)
    return np.where(x < 1, near, np.where(x < 2, far, 0)) / 6


def relit(
    picture: UInt8[np.ndarray, "size size *colour"], brightness: float, contrast: float
) -> UInt8[np.ndarray, "size size *colour"]:
    """The picture's mean times `brightness` and its deviations from the mean times both, cut to 0-255."""
    mean = picture.mean()
    return to_bytes(brightness * (mean + contrast * (picture - mean)) / 255)


def pixelated(
    picture: UInt8[np.ndarray, "size size *colour"], rng: np.random.Generator
) -> UInt8[np.ndarray, "size size *colour"]:
    """The picture with up to `PIXELATION` of its 2 x 2 blocks, chosen at random, each in its mean brightness."""
    half, colour = picture.shape[0] // 2, picture.shape[2:]
    even = picture[: 2 * half, : 2 * half]
    blocks = even.reshape(half, 2, half, 2, *colour)
    means = blocks.mean(axis=(1, 3), keepdims=True).round().astype(np.uint8)
    chosen = rng.random((half, 1, half, 1) + (1,) * len(colour)) < rng.uniform(0, PIXELATION)
    coarse = picture.copy()
    coarse[: 2 * half, : 2 * half] = np.where(chosen, means, blocks).reshape(even.shape)
    return coarse


def to_bytes(picture: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Brightness 0 to 1 as whole numbers 0 to 255; what lies outside is cut off."""
    return (255 * picture).round().clip(0, 255).astype(np.uint8)
