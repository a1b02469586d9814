"""Photos made smaller: averaged, never enlarged, and left out where that makes no other picture."""

import io

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from signbridge.datasets.images import encode_png, grey_pixels
from signbridge.datasets.resolution import (
    FULL,
    ResolutionParams,
    Rung,
    at_rung,
    flat_pixels,
    ladder,
    pictures_by_rung,
)

RUNGS = ladder(["28-grey", 28, 56])


def picture(height: int, width: int, colour: bool = True, seed: int = 0) -> bytes:
    shape = (height, width, 3) if colour else (height, width)
    return encode_png(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def left_out(pngs: list[bytes]) -> dict[str, str]:
    _, table = pictures_by_rung(pngs, RUNGS)
    return dict(zip(table["rung"], table["same_as"], strict=True))


def test_rungs_go_from_small_to_large_and_from_grey_to_colour_each_once():
    assert ladder([56, 28, "28-grey", 28]) == [Rung("28-grey", 28, False), Rung("28", 28, True), Rung("56", 56, True)]


@pytest.mark.parametrize("name", ["full", "0-grey", 0, "28", "28-colour"])
def test_a_rung_that_is_no_size_is_refused(name):
    with pytest.raises(ValidationError):
        ResolutionParams(rungs=[name], pixels=28, repeats=1)


def test_a_larger_picture_is_averaged_over_boxes_and_keeps_its_proportions():
    small = pixels(at_rung(picture(48, 96), Rung("24", 24, True)))
    boxes = pixels(picture(48, 96)).reshape(12, 4, 24, 4, 3).mean(axis=(1, 3))
    assert small.shape == (12, 24, 3)
    np.testing.assert_allclose(small, boxes, atol=1)  # across, then down, each rounded
    assert pixels(at_rung(picture(1, 96), Rung("24", 24, True))).shape == (1, 24, 3)


def test_a_smaller_picture_keeps_its_very_bytes_and_only_loses_its_colour():
    png = picture(20, 28)
    assert at_rung(png, Rung("28", 28, True)) == at_rung(png, Rung("56", 56, True)) == png
    grey = pixels(at_rung(png, Rung("28-grey", 28, False)))
    red, green, blue = np.moveaxis(pixels(png).astype(float), -1, 0)
    np.testing.assert_allclose(grey, 0.299 * red + 0.587 * green + 0.114 * blue, atol=1)


def test_28_pixels_in_grey_are_the_pixels_of_the_study():
    pngs = [picture(96, 96), picture(96, 96, colour=False), picture(28, 28)]
    small = [at_rung(png, RUNGS[0]) for png in pngs]
    expected = np.stack([grey_pixels(png).reshape(-1) for png in pngs])
    np.testing.assert_array_equal(flat_pixels(small, most=112), expected)


def test_a_rung_that_makes_no_other_picture_is_left_out():
    assert left_out([picture(28, 28, colour=False)]) == {"28-grey": FULL, "28": FULL, "56": FULL, FULL: ""}
    assert left_out([picture(28, 28)]) == {"28-grey": "", "28": FULL, "56": FULL, FULL: ""}
    assert left_out([picture(96, 96, colour=False)]) == {"28-grey": "", "28": "28-grey", "56": "", FULL: ""}
    assert left_out([picture(56, 40)]) == {"28-grey": "", "28": "", "56": FULL, FULL: ""}


def test_of_pictures_of_several_sizes_those_that_are_small_are_counted_and_kept():
    pngs = [picture(20, 20), picture(40, 40), picture(30, 96)]
    pictures, table = pictures_by_rung(pngs, RUNGS)
    table = table.set_index("rung")
    assert table["already"].tolist() == [1, 1, 2, 3]
    assert table["side"].tolist() == [28, 28, 56, 96]
    assert table["least_side"].tolist() == [20, 20, 20, 20]
    assert table["colour"].tolist() == [False, True, True, True]
    assert list(pictures) == ["28-grey", "28", "56", FULL]
    assert pictures["56"][:2] == pngs[:2]
    assert pictures[FULL] == pngs


def test_pixels_of_any_sizes_lie_on_one_grid_of_bounded_size():
    assert flat_pixels([picture(20, 20), picture(30, 96)], most=112).shape == (2, 96 * 96 * 3)
    assert flat_pixels([picture(20, 20), picture(30, 96)], most=56).shape == (2, 56 * 56 * 3)
    assert flat_pixels([picture(20, 20, colour=False)] * 2, most=56).shape == (2, 20 * 20)
    mixed = flat_pixels([picture(8, 8, colour=False), picture(8, 8)], most=56).reshape(2, 8, 8, 3)
    assert (mixed[0, ..., :1] == mixed[0]).all(), "a grey picture among colours has its grey in each"
