import numpy as np
import pytest
from PIL import Image

from signbridge.core.appearance import look_of, summed_up

GREY, WHITE = np.full((20, 10), 51, np.uint8), np.full((30, 40), 255, np.uint8)
RED = np.zeros((10, 10, 3), np.uint8) + np.array([255, 0, 0], np.uint8)


def test_the_brightness_of_colour_is_the_mean_of_what_it_is_in_grey():
    noise = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    assert look_of(noise)[:3] == (30, 40, True)
    assert look_of(noise).brightness == pytest.approx(
        np.asarray(Image.fromarray(noise).convert("L")).mean() / 255, 0.01
    )
    assert look_of(GREY) == (10, 20, False, 0.2)


def test_sizes_are_those_of_images_that_are_there_and_every_signer_has_a_row():
    table = summed_up([look_of(pixels) for pixels in (WHITE, GREY, RED, RED)], ["P2", "P1", "P1", "P1"]).set_index(
        "who"
    )
    assert list(table.index) == ["all", "P1", "P2"]
    assert table.loc["all", ["smallest", "median", "largest"]].tolist() == ["10 x 10", "10 x 20", "40 x 30"]
    assert table["images"].tolist() == [4, 3, 1]
    assert table["share"].tolist() == [1, 0.75, 0.25]
    assert table["in_colour"].tolist() == [0.5, pytest.approx(2 / 3), 0]
    assert table.loc["P2", ["dark", "middle", "bright"]].tolist() == [1, 1, 1]
    assert len(summed_up([look_of(GREY)], None)) == 1
