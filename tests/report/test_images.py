"""Images in the page are small, and of many only as many as fit."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from signbridge.report.page_parts import SIDE, thumbnail, within_budget
from tests.report.made_up import png


def test_an_image_of_sign_language_mnists_size_is_passed_on_byte_for_byte():
    original = png(np.arange(784, dtype=np.uint8).reshape(28, 28))
    assert base64.b64decode(thumbnail(original).removeprefix("data:image/png;base64,")) == original


@pytest.mark.parametrize("shape", [(800, 600, 3), (57, 10), (10, 3000)])
def test_a_large_image_becomes_small(shape):
    uri = thumbnail(png(np.zeros(shape, dtype=np.uint8)))
    image = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
    assert max(image.size) == SIDE


def test_of_more_images_than_fit_an_even_share_is_taken():
    images = [png(np.full((28, 28), value, dtype=np.uint8)) for value in range(200)]
    one = len(thumbnail(images[0]))
    assert len(within_budget(images, 1_000_000)) == 200
    few = within_budget(images, 10 * one)
    assert 5 <= len(few) <= 12
    gaps = np.diff(sorted(few))
    assert gaps.max() <= gaps.min() + 1
    assert within_budget([], 100) == {}
