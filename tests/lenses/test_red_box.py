"""The pictures that a judge is shown."""

import io

import numpy as np
import pytest
from PIL import Image

from signbridge.datasets.images import encode_png
from signbridge.lenses.red_box import (
    CLOSE_UP,
    LINE,
    RED,
    SIDE,
    box_around,
    red_box_pictures,
)

BLACK = np.zeros((28, 28), dtype=np.uint8)


def pixels(png: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    return np.asarray(image)


def bounds_of_red(picture: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is red."""
    rows, columns = np.nonzero((picture == RED).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize(
    ("patch", "box", "expected"),
    [
        (9, 1, (64, 64, 128, 128)),
        (9, 3, (0, 0, 192, 192)),
        (20, 3, (192, 64, 384, 256)),
        (0, 3, (0, 0, 128, 128)),  # at the edge the box ends
        (63, 3, (384, 384, 512, 512)),
        (7, 1, (448, 0, 512, 64)),
    ],
)
def test_the_red_box_is_around_the_patch(patch, box, expected):
    picture = pixels(red_box_pictures(encode_png(BLACK), patch, [8, 8], box).whole)
    assert picture.shape == (SIDE, SIDE, 3)
    assert bounds_of_red(picture) == expected
    left, top, right, bottom = expected
    assert (picture[top + LINE : bottom - LINE, left + LINE : right - LINE] == 0).all(), "nothing in it is painted over"


def test_the_box_lies_on_the_patch_that_the_model_sees_there():
    """A white patch in a dark image: the box of one patch encloses it, and the close-up is white."""
    image = np.zeros((56, 56), dtype=np.uint8)
    image[16:24, 40:48] = 255  # row 2, column 5 of 7 x 7 patches
    shown = red_box_pictures(encode_png(image), 2 * 7 + 5, [7, 7], 1)
    left, top, right, bottom = bounds_of_red(pixels(shown.whole))
    assert pixels(shown.whole)[top + 8 : bottom - 8, left + 8 : right - 8].min() > 200
    close_up = pixels(shown.close_up)
    assert close_up.shape[:2] == (CLOSE_UP, CLOSE_UP)
    assert close_up[20:-20, 20:-20].min() > 200
    assert (close_up[..., 0] == close_up[..., 1]).all(), "no red in the close-up"


def test_of_a_wide_image_the_middle_is_shown_as_the_processor_crops_it():
    image = np.zeros((40, 80), dtype=np.uint8)
    image[:, 20:30] = 255  # the first of four columns of the middle square
    shown = red_box_pictures(encode_png(image), 0, [4, 4], 1)
    assert pixels(shown.close_up)[:, 20:-20].min() > 200
    assert pixels(shown.whole)[:, 160:].max() == 0


def test_a_grid_that_is_no_square_makes_no_square_picture():
    shown = red_box_pictures(encode_png(np.zeros((20, 40, 3), dtype=np.uint8)), 7, [2, 4], 1)
    assert pixels(shown.whole).shape == (256, 512, 3)
    assert bounds_of_red(pixels(shown.whole)) == (384, 128, 512, 256)


def test_boxes_of_one_patch_tile_the_picture():
    painted = np.zeros((SIDE, SIDE), dtype=int)
    for patch in range(24 * 24):
        left, top, right, bottom = box_around(patch, [24, 24], 1, (SIDE, SIDE))
        painted[top:bottom, left:right] += 1
    assert (painted == 1).all()


def test_a_patch_beyond_the_grid_is_a_mistake():
    with pytest.raises(ValueError, match="no patch 9"):
        box_around(9, [3, 3], 1, (SIDE, SIDE))
