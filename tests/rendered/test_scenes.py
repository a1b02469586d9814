"""What stands behind the hand, and colour."""

from dataclasses import replace

import numpy as np
import pytest

from signbridge.core.appearance import LUMINANCE
from signbridge.rendered.dataset import RenderedParams, photo_in, render
from signbridge.rendered.hand_photo import develop, hand_mask
from signbridge.rendered.photo_copies import copy_photo
from signbridge.rendered.scenes import choose_scene, tint


def params(**changes) -> RenderedParams:
    default = {"source": "rendered", "seed": 7, "size": 28, "photos": 2, "copies": 1}
    return RenderedParams(**{**default, **changes})


def steepness(kind: str, places: int = 4) -> float:
    """The power of frequency that the amplitude of drawn places follows, by least squares of the logarithms."""
    side = 128
    window = np.hanning(side)
    pictures = [choose_scene(kind, np.random.default_rng(seed)).draw(side, 1.0) @ LUMINANCE for seed in range(places)]
    power = np.mean([np.abs(np.fft.fft2((one - one.mean()) * np.outer(window, window))) ** 2 for one in pictures], 0)
    along = np.fft.fftfreq(side) * side
    frequency = np.hypot(along[:, None], along[None, :]).round()
    rings = np.arange(3, 33)
    return np.polyfit(np.log(rings), [0.5 * np.log(power[frequency == ring].mean()) for ring in rings], 1)[0]


def test_amplitudes_of_a_photographed_place_fall_as_those_of_natural_images():
    assert -1.6 < steepness("photo") < -1.0


@pytest.mark.parametrize("kind", ["cluttered", "photo"])
def test_a_place_is_the_same_at_every_size_and_different_by_chance(kind):
    scene = choose_scene(kind, np.random.default_rng(3))
    large, small = scene.draw(120, 1.08), scene.draw(60, 1.08)
    np.testing.assert_allclose(large.reshape(60, 2, 60, 2, 3).mean(axis=(1, 3)).mean(), small.mean(), atol=0.01)
    assert np.corrcoef(large.reshape(60, 2, 60, 2, 3).mean(axis=(1, 3)).ravel(), small.ravel())[0, 1] > 0.97
    other = choose_scene(kind, np.random.default_rng(4)).draw(60, 1.08)
    assert np.corrcoef(other.ravel(), small.ravel())[0, 1] < 0.6


def test_the_place_moves_as_the_camera_does():
    scene = choose_scene("cluttered", np.random.default_rng(3))
    before, after = scene.draw(100, 1.0), scene.seen_from((0.10, -0.05)).draw(100, 1.0)
    np.testing.assert_allclose(after[:-5, 10:], before[5:, :-10], atol=1e-9)


def test_clutter_has_more_edges_than_a_plain_wall():
    edges = {}
    for background in ("plain", "cluttered"):
        photo = photo_in(params(background=background), "A", 0)
        picture = develop(photo, 112)
        picture[hand_mask(photo, 112)] = np.nan
        edges[background] = np.nanmean(np.abs(np.diff(picture, axis=0)))
    assert edges["cluttered"] > 4 * edges["plain"]


@pytest.mark.parametrize("background", ["plain", "cluttered", "photo"])
def test_a_photo_in_colour_is_that_photo_in_grey_and_coloured(background):
    grey, colour = (
        develop(photo_in(params(background=background, colour=colour), "C", 1), 112) for colour in (False, True)
    )
    assert colour.shape == (*grey.shape, 3)
    assert np.ptp(colour, axis=-1).mean() > 0.03
    np.testing.assert_allclose((colour @ LUMINANCE)[grey < 0.6], grey[grey < 0.6], atol=0.04)


def test_images_are_in_colour_where_the_entry_says_so():
    assert {image.pixels.shape for image in render(params(size=33, photos=1, colour=True), "AB")} == {(33, 33, 3)}
    assert {image.pixels.shape for image in render(params(photos=1, background="photo"), "A")} == {(28, 28)}


def test_a_copy_in_colour_alters_red_green_and_blue_alike():
    photo = develop(photo_in(params(), "F", 0), 112)
    grey = copy_photo(photo, 112, 28, np.random.default_rng(5))
    colour = copy_photo(np.repeat(photo[..., None], 3, axis=-1), 112, 28, np.random.default_rng(5))
    np.testing.assert_array_equal(colour, np.repeat(grey[..., None], 3, axis=-1))


def test_a_left_hand_has_the_same_place_behind_it():
    photo = replace(photo_in(params(background="cluttered", colour=True), "L", 0), blur=1e-3)
    right, left = (replace(photo, left_handed=left_handed) for left_handed in (False, True))
    behind = ~hand_mask(right, 112) & ~hand_mask(left, 112)
    assert behind.mean() > 0.2
    assert np.abs(develop(right, 112)[behind] - develop(left, 112)[behind]).mean() < 1e-3


def test_darker_skin_and_bright_clothes_keep_their_brightness():
    for hue in (0.0, 1.0, 4.0):
        assert np.array(tint(hue, 0.5)) @ LUMINANCE == pytest.approx(1)
