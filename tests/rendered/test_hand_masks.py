"""Where the hand is: the renderer's own word against what it drew, and the contrast against the renderer's word."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from PIL import Image

from signbridge.rendered.dataset import (
    RenderedParams,
    copy_of,
    frame_of,
    hand_in,
    image_id,
    photo_in_numbers,
    render,
)
from signbridge.rendered.hand_masks import hand_masks, mask_by_contrast, share_by_patch
from signbridge.rendered.hand_photo import (
    Background,
    Photo,
    develop,
    hand_mask,
)
from signbridge.rendered.letter_poses import LETTERS

SEED, SIZE = 7, 112
DRAWN = RenderedParams(source="rendered", seed=SEED, size=SIZE, photos=2, copies=5)
NIGHT = Background(level=0.02, slope=(0.0, 0.0), blobs=(), edges=())
DAY = replace(NIGHT, level=0.98)


def shown_in_copy(letter: str, number: int, copy: int) -> np.ndarray:
    """What stays as it is when day breaks behind the hand."""
    night, day = (
        copy_of(before(photo_in_numbers(SEED, letter, number), behind), SIZE, SEED, letter, number, copy)
        for behind in (NIGHT, DAY)
    )
    return np.abs(day.astype(int) - night) < 128


def before(photo: Photo, background: Background) -> np.ndarray:
    """The photo before another background, hardly blurred."""
    return develop(replace(photo, background=background, blur=1e-3), frame_of(SIZE))


def said_of_copy(letter: str, number: int, copy: int) -> np.ndarray:
    mask = Image.fromarray(hand_in(DRAWN, image_id(letter, number, copy)).astype(np.float32))
    return np.asarray(mask.resize((SIZE, SIZE), Image.Resampling.BOX)) > 0.5


def a_left_hand() -> tuple[str, int]:
    """One that the dataset with this seed would have, were it large enough."""
    return next(
        (letter, number)
        for number in range(20)
        for letter in LETTERS
        if photo_in_numbers(SEED, letter, number).left_handed
    )


@pytest.mark.parametrize(("letter", "number"), [("A", 0), ("L", 1), ("Y", 0), a_left_hand()])
def test_the_mask_of_a_copy_lies_where_the_copy_shows_the_hand(letter, number):
    shown, said = shown_in_copy(letter, number, 0), said_of_copy(letter, number, 0)
    assert 0.1 < shown.mean() < 0.7
    assert (shown == said).mean() > 0.99
    mirrored = said[:, ::-1]
    assert (shown == mirrored).mean() < 0.97, "else the test could not tell a left hand from a right one"


def test_the_mask_is_turned_as_the_copy_is():
    turned = (0, 4)  # copies of this photo: by 1.1 degrees to the one side and 1.3 to the other
    wrong = {
        (one, other): (shown_in_copy("L", 0, one) != said_of_copy("L", 0, other)).mean()
        for one, other in product(turned, turned)
    }
    assert max(wrong[0, 0], wrong[4, 4]) < 0.005
    assert min(wrong[0, 4], wrong[4, 0]) > 0.015


def test_the_mask_of_a_photo_has_the_sleeve_but_nothing_behind_it():
    photo = photo_in_numbers(SEED, "B", 0)
    photo = replace(photo, look=replace(photo.look, sleeve=0.5))
    shown = np.abs(before(photo, DAY) - before(photo, NIGHT)) < 0.5
    assert (shown == hand_mask(photo, frame_of(SIZE))).mean() > 0.99


def test_the_contrast_tells_most_patches_of_drawn_hands_right():
    params = RenderedParams(source="rendered", seed=SEED, size=64, photos=2, copies=1)
    images = {image.image_id: Image.fromarray(image.pixels) for image in render(params)}
    assert len(images) >= 40
    drawn, seen = (
        np.stack([share_by_patch(mask, 7, 7) for mask in masks]) >= 0.5
        for masks in (
            hand_masks(list(images), list(images.values()), params),
            hand_masks(list(images), list(images.values()), None),
        )
    )
    right = (drawn == seen).mean()
    assert right >= 0.85
    assert right > (~drawn).mean() + 0.1, "beyond calling everything background"


def test_an_image_of_one_brightness_has_no_hand_in_it():
    assert mask_by_contrast(Image.new("RGB", (56, 56), (90, 90, 90))).sum() == 0


def test_a_smooth_change_of_brightness_is_background():
    v, u = np.mgrid[-1:1:56j, -1:1:56j]
    slope = 120 + 40 * u - 30 * v
    picture = slope.copy()
    picture[20:45, 15:40] = 250
    mask = mask_by_contrast(Image.fromarray(picture.round().astype(np.uint8)))
    assert mask[22:43, 17:38].all()
    outside = np.ones((56, 56), bool)
    outside[14:51, 9:46] = False
    assert not mask[outside].any()


@pytest.mark.parametrize("hand", [250, 10])
def test_a_hand_darker_than_its_background_is_as_good_as_a_brighter_one(hand):
    picture = np.full((56, 56), 128, np.uint8)
    picture[20:45, 15:40] = hand
    mask = mask_by_contrast(Image.fromarray(picture))
    assert mask[22:43, 17:38].all()
    assert mask.sum() < 30 * 30


def test_a_hole_in_the_hand_is_filled():
    picture = np.full((56, 56), 60, np.uint8)
    picture[10:48, 8:48] = 220
    picture[20:38, 18:38] = 60
    assert mask_by_contrast(Image.fromarray(picture))[14:44, 12:44].all()


def test_of_an_image_that_is_not_square_nothing_is_said():
    images = [Image.new("L", (40, 30)), Image.new("L", (30, 30))]
    wide, square = hand_masks(["wide", "square"], images, None)
    assert wide is None
    assert square is not None
    assert square.shape == (30, 30)


def test_patches_of_a_grid_that_divides_the_side_have_the_mean_of_their_pixels():
    mask = np.random.default_rng(0).random((28, 28))
    expected = mask.reshape(7, 4, 7, 4).mean(axis=(1, 3)).ravel()
    np.testing.assert_allclose(share_by_patch(mask, 7, 7), expected, atol=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(5, 3), (24, 24), (13, 40)])
def test_patches_of_a_grid_that_does_not_divide_the_side_share_the_pixels_that_they_cut(rows, columns):
    mask = np.random.default_rng(0).random((28, 28))
    fine = np.kron(mask, np.ones((rows, columns)))  # each pixel in rows x columns parts: now the grid divides the side
    expected = fine.reshape(rows, 28, columns, 28).mean(axis=(1, 3)).ravel()
    np.testing.assert_allclose(share_by_patch(mask, rows, columns), expected, atol=1e-6)


def test_a_camera_photo_is_looked_at_small_and_its_hand_is_where_it_was():
    picture = np.full((56, 56), 128, np.uint8)
    picture[20:45, 15:40] = 250
    large = Image.fromarray(picture).resize((2000, 2000), Image.Resampling.NEAREST)
    small, of_large = mask_by_contrast(Image.fromarray(picture)), mask_by_contrast(large)
    assert len(of_large) < 300
    np.testing.assert_allclose(share_by_patch(of_large, 7, 7), share_by_patch(small, 7, 7), atol=0.1)
    assert large.size == (2000, 2000), "the image itself is left alone"
