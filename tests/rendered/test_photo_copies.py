"""The alterations that make copies: each within its bounds, and nothing more."""

import numpy as np
import pytest

from signbridge.rendered.photo_copies import (
    BRIGHTNESS,
    CONTRAST,
    FILTERS,
    PIXELATION,
    copy_photo,
    cubic,
    pixelated,
    relit,
    resampled,
    rotated,
)


def soft_picture(side: int) -> np.ndarray:
    """Smooth, and far from black and white."""
    u, v = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    return 0.5 + 0.1 * np.sin(3 * u) * np.cos(2 * v) + 0.05 * u


@pytest.mark.parametrize("kernel", FILTERS)
def test_filters_keep_an_even_brightness_and_the_place_of_things(kernel):
    np.testing.assert_allclose(resampled(np.full((112, 112), 0.3), 28, kernel), 0.3)
    ramp = np.tile(np.arange(112) + 0.5, (112, 1)) / 112
    expected = (np.arange(28) + 0.5) / 28
    np.testing.assert_allclose(resampled(ramp, 28, kernel)[14, 3:-3], expected[3:-3], atol=1e-3)


def test_filters_differ_in_how_sharp_they_are():
    edge = np.tile((np.arange(112) >= 54).astype(float), (112, 1))
    steepest = {kernel: np.diff(resampled(edge, 28, kernel)[14]).max() for kernel in FILTERS}
    assert steepest["spline"] < steepest["robidoux"] < steepest["mitchell"] < steepest["catrom"]


def test_cubic_kernels_interpolate_only_where_b_is_zero():
    whole = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    np.testing.assert_allclose(cubic(whole, *FILTERS["catrom"]), [0, 0, 1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(cubic(whole, *FILTERS["hermite"]), [0, 0, 1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(cubic(whole, *FILTERS["spline"]), [0, 1 / 6, 4 / 6, 1 / 6, 0], atol=1e-12)


def test_relighting_changes_mean_and_contrast_by_the_factors_given():
    picture = (255 * soft_picture(28)).round().astype(np.uint8)
    lit = relit(picture, 1.1, 0.9).astype(float)
    assert lit.mean() == pytest.approx(1.1 * picture.mean(), rel=0.005)
    assert lit.std() == pytest.approx(1.1 * 0.9 * picture.std(), rel=0.02)


def test_relighting_cuts_off_instead_of_wrapping_round():
    assert relit(np.full((4, 4), 250, np.uint8), 1.15, 1.0).min() == 255


def test_rotation_turns_counter_clockwise_about_the_middle():
    picture = np.zeros((41, 41))
    picture[20, 35] = 1
    row, column = np.unravel_index(rotated(picture, 90).argmax(), (41, 41))
    assert (row, column) == (5, 20)


def test_pixelation_touches_no_more_than_its_share():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (28, 28), dtype=np.uint8)
    changed = np.mean([(pixelated(picture, rng) != picture).mean() for _ in range(200)])
    assert 0.2 * PIXELATION < changed < PIXELATION


def test_pixelation_evens_out_whole_blocks_and_leaves_an_even_picture_alone():
    picture = np.random.default_rng(1).integers(0, 256, (29, 29), dtype=np.uint8)
    coarse = pixelated(picture, np.random.default_rng(3))
    rows, columns = np.nonzero(coarse != picture)
    for row, column in zip(rows // 2 * 2, columns // 2 * 2, strict=True):
        assert np.ptp(coarse[row : row + 2, column : column + 2]) == 0
    assert len(rows) > 0
    even = np.full((28, 28), 77, np.uint8)
    np.testing.assert_array_equal(pixelated(even, np.random.default_rng(3)), even)


def test_brightness_and_contrast_of_copies_stay_within_their_bounds():
    photo = soft_picture(120)
    plain = resampled(photo[4:116, 4:116], 28, "mitchell") * 255
    copies = [copy_photo(photo, 112, 28, np.random.default_rng(seed)).astype(float) for seed in range(100)]
    means = np.array([copy.mean() for copy in copies]) / plain.mean()
    stds = np.array([copy.std() for copy in copies]) / plain.std()
    slack = 0.02  # rotation, filter and rounding
    assert 1 - BRIGHTNESS - slack < means.min() < 0.9
    assert 1.1 < means.max() < 1 + BRIGHTNESS + slack
    relative = stds / means
    assert 1 - CONTRAST - 2 * slack < relative.min() < 0.9
    assert 1.1 < relative.max() < 1 + CONTRAST + 2 * slack
