"""Where is the hand in an image? From the renderer where it drew the hand, else by contrast with the background."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image
from scipy import ndimage
from sklearn.cluster import KMeans

from signbridge.rendered.dataset import RenderedParams, hand_in

_NOISE = 1 / 56  # of the side: smaller than a finger
_FINGER = 1 / 20  # of the side: joins a finger's light and shadow
_ROUNDS = 3
_LARGEST = 256  # pixels a side that are looked at: a patch has several of them, and a camera's photo takes no minute


def hand_masks(
    image_ids: Sequence[str], images: Sequence[Image.Image], drawn: RenderedParams | None
) -> list[Float[np.ndarray, "side side"] | None]:
    """How far each place in each image shows the hand, from 0 to 1; None for an image that is not square.

    `drawn` is the dataset's entry where the project drew it: then the renderer says where the hand is (`hand_in`, at
    the size that it drew it at). For any other dataset (None) the contrast does (`mask_by_contrast`). Of an image that
    is not square a model sees less than the whole, or sees it squeezed.
    """
    if drawn is not None:
        return [hand_in(drawn, image_id) for image_id in image_ids]
    return [mask_by_contrast(image) if image.width == image.height else None for image in images]


def hand_by_patch(
    masks: Sequence[Float[np.ndarray, "side side"] | None], grid: tuple[int, int] | None
) -> list[Float[np.ndarray, "patches"]]:
    """How much of each patch of the `grid` (rows, columns) the hand covers, image by image.

    NaN where there is no mask. Without a grid the arrays are empty.
    """
    patches = grid[0] * grid[1] if grid else 0
    return [np.full(patches, np.nan) if mask is None or grid is None else share_by_patch(mask, *grid) for mask in masks]


def mask_by_contrast(image: Image.Image) -> Float[np.ndarray, "side side"]:
    """1 where a square image differs from its background in brightness, else 0; of large images a smaller one.

    The background's brightness is a plane through the upper and the side borders, fitted again to all that is taken for
    background; what lies off it is parted in two with the least variance within (2-means: the threshold of Otsu 1979),
    and holes are filled. On drawn hands it tells 89 % of a 7 x 7 grid's patches right, where 73 % are background.
    """
    image = image.convert("L")  # a copy
    image.thumbnail((_LARGEST, _LARGEST))
    brightness = ndimage.gaussian_filter(np.asarray(image, float), image.width * _NOISE)
    v, u = np.meshgrid(*[np.linspace(-1, 1, image.width)] * 2, indexing="ij")
    plane = np.stack([np.ones_like(u), u, v], axis=-1)
    background, hand = (np.abs(u) > 0.86) | (v < -0.86), np.zeros_like(u, bool)
    for _ in range(_ROUNDS):
        fitted, *_ = np.linalg.lstsq(plane[background], brightness[background])
        hand = _larger(ndimage.gaussian_filter(np.abs(brightness - plane @ fitted), image.width * _FINGER))
        background = ~hand
    return ndimage.binary_fill_holes(hand).astype(float)


def _larger(values: Float[np.ndarray, "side side"]) -> Bool[np.ndarray, "side side"]:
    """Which of the values belong to the larger of two kinds; none where they are all alike."""
    starts = np.quantile(values, [0.1, 0.9])[:, None]
    if np.isclose(*starts):
        return np.zeros(values.shape, bool)
    parted = KMeans(2, init=starts, n_init=1).fit(values.reshape(-1, 1))
    return (parted.labels_ == parted.cluster_centers_.argmax()).reshape(values.shape)


def share_by_patch(mask: Float[np.ndarray, "side side"], rows: int, columns: int) -> Float[np.ndarray, "patches"]:
    """How much of each patch of an even grid the mask covers, from 0 to 1, row after row."""
    height, width = mask.shape
    return (_covered(rows, height) @ mask @ _covered(columns, width).T).ravel()


def _covered(cells: int, side: int) -> Float[np.ndarray, "cells side"]:
    """Row i: what share of cell i each of the pixels along a side covers. Pillow's box filter counts pixels whole."""
    borders, pixel = np.linspace(0, side, cells + 1)[:, None], np.arange(side)
    shared = np.minimum(borders[1:], pixel + 1) - np.maximum(borders[:-1], pixel)
    return shared.clip(0) * cells / side
