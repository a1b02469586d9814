"""The pictures of a patch that a judge is shown: the image with a red box around the patch, and what is in the box.

As LatentLens (2026) shows them, from its published code: the image 512 pixels a side, a box some patches wide with the
patch in its middle, and what is in the box once more without the red. The box is not tinted here, as it is there: a
colour may be among the words.
"""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from signbridge.datasets.images import encode_png

SIDE = 512  # pixels, the longer of the whole picture
CLOSE_UP = 224  # pixels, the longer of a close-up at least: some judges take in nothing of a few pixels
RED = (255, 0, 0)
LINE = 3  # pixels, inside the box


class Pictures(NamedTuple):
    """Two PNG files."""

    whole: bytes  # with the box
    close_up: bytes  # of what is in the box


def red_box_pictures(image: bytes, patch: int, grid: Sequence[int], box: int) -> Pictures:
    """What is shown of the patch in place `patch` of the `grid` (rows, columns) of image tokens, row by row.

    `box` is odd: patches a side; at the picture's edges it ends there. Of an image of other proportions than the grid's
    the middle is shown, which is what CLIP's processor lets a model see.
    """
    rows, columns = grid
    size = (round(SIDE * columns / max(grid)), round(SIDE * rows / max(grid)))
    whole = ImageOps.fit(Image.open(io.BytesIO(image)).convert("RGB"), size, Image.Resampling.BICUBIC)
    bounds = box_around(patch, grid, box, size)
    close_up = whole.crop(bounds)
    if max(close_up.size) < CLOSE_UP:
        close_up = ImageOps.contain(close_up, (CLOSE_UP, CLOSE_UP), Image.Resampling.BICUBIC)
    left, top, right, bottom = bounds
    ImageDraw.Draw(whole).rectangle((left, top, right - 1, bottom - 1), outline=RED, width=LINE)
    return Pictures(encode_png(np.asarray(whole)), encode_png(np.asarray(close_up)))


def box_around(patch: int, grid: Sequence[int], box: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the box in a picture of `size` (width, height), in pixels; the last two outside.

    Raises `ValueError` for a patch that the grid does not have.
    """
    rows, columns = grid
    if not 0 <= patch < rows * columns:
        raise ValueError(f"a grid of {rows} x {columns} has no patch {patch}")
    row, column = divmod(patch, columns)
    left, right = (round(size[0] * edge / columns) for edge in _around(column, columns, box))
    top, bottom = (round(size[1] * edge / rows) for edge in _around(row, rows, box))
    return left, top, right, bottom


def _around(place: int, places: int, box: int) -> tuple[int, int]:
    return max(place - box // 2, 0), min(place + box // 2 + 1, places)
