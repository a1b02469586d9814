import io
import tracemalloc
from collections import deque

import numpy as np
import pytest
from PIL import Image

from benchmarks.near_duplicates import dataset
from signbridge.datasets import near_duplicates
from signbridge.datasets.images import GREY_SIZE, grey_of
from signbridge.datasets.near_duplicates import ACROSS
from signbridge.rendered.hand_photo import develop, take_photo
from signbridge.rendered.photo_copies import copy_photo


def find_photos(pixels, labels, threshold):
    return near_duplicates.find_photos(pixels, labels, threshold).of_image


def under_two_letters(pixels, labels):
    return near_duplicates.find_photos(pixels, labels, 0.9).under_two_letters


def plain_photos(pixels, labels, threshold):
    """The definition, one pair at a time: `np.corrcoef`, then a breadth-first search. For images of many shades."""
    correlation = np.corrcoef(pixels.reshape(len(pixels), -1).astype(float))
    photos = np.full(len(pixels), -1)
    for start in range(len(pixels)):
        queue = deque([start] if photos[start] < 0 else [])
        while queue:
            row = queue.popleft()
            if photos[row] < 0:
                photos[row] = start
                linked = (correlation[row] > threshold) & (labels == labels[row])
                linked |= (pixels == pixels[row]).all(axis=(1, 2))
                linked |= correlation[row] > max(threshold, ACROSS)
                queue.extend(np.flatnonzero(linked).tolist())
    return photos


def copies_of_photos(rng, photos, copies, noise, size=GREY_SIZE):
    """Random photos, each in noisy copies, in random order; two letters."""
    originals = rng.integers(0, 256, (photos, size, size))
    which = rng.permutation(np.repeat(np.arange(photos), copies))
    noisy = originals[which] * rng.uniform(0.5, 1, (len(which), 1, 1)) + rng.normal(0, noise, (len(which), size, size))
    return noisy.clip(0, 255).astype(np.uint8), np.where(which % 2, "A", "B"), which


@pytest.mark.parametrize("tile", [7, 64, 1024])
@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9])
def test_photos_are_those_of_the_definition_whatever_the_tile(monkeypatch, tile, threshold):
    monkeypatch.setattr(near_duplicates, "TILE", tile)
    monkeypatch.setattr(near_duplicates, "PAIRS", 5)
    rng = np.random.default_rng(tile)
    # Correlations spread on both sides of the thresholds, so that chains form and break.
    pixels, labels, _ = copies_of_photos(rng, photos=12, copies=9, noise=rng.uniform(5, 60))
    np.testing.assert_array_equal(find_photos(pixels, labels, threshold), plain_photos(pixels, labels, threshold))


def test_what_float32_cannot_decide_is_decided_in_float64():
    rng = np.random.default_rng(0)
    pixels, labels, _ = copies_of_photos(rng, photos=4, copies=8, noise=20)
    correlation = np.corrcoef(pixels[labels == "A"].reshape((labels == "A").sum(), -1).astype(float))
    for value in np.unique(correlation[correlation < 1 - 1e-6])[-24:]:
        for threshold in (value - 3e-9, value + 3e-9):  # nearer than float32 resolves
            expected = plain_photos(pixels, labels, threshold)
            np.testing.assert_array_equal(find_photos(pixels, labels, threshold), expected)


def test_copies_are_found_and_named_by_their_first_image():
    pixels, labels, which = copies_of_photos(np.random.default_rng(1), photos=30, copies=5, noise=2)
    photos = find_photos(pixels, labels, 0.95)
    assert photos.tolist() == [int(np.flatnonzero(which == photo)[0]) for photo in which]


def test_a_chain_of_copies_is_one_photo():
    rng = np.random.default_rng(2)
    steps = np.cumsum(rng.normal(0, 12, (12, 28, 28)), axis=0) + rng.integers(100, 160, (28, 28)) * 1.0
    pixels = steps.clip(0, 255).astype(np.uint8)
    correlation = np.corrcoef(pixels.reshape(12, -1))
    threshold = np.diag(correlation, 1)[5:].min() - 1e-3
    assert correlation[5, 11] < threshold
    assert len(set(find_photos(pixels[5:], np.full(7, "A"), threshold).tolist())) == 1


def saved_again(picture, size, quality):
    """The picture, resized and compressed as JPEG, at 28 x 28."""
    buffer = io.BytesIO()
    Image.fromarray(picture).resize((size, size)).save(buffer, "JPEG", quality=quality)
    return grey_of(Image.open(buffer))


@pytest.mark.parametrize(("size", "quality"), [(200, 90), (200, 40), (150, 75), (400, 90)])
def test_a_picture_that_was_saved_again_or_resized_under_another_letter_is_one_photo_with_all_copies(size, quality):
    rng = np.random.default_rng(3)
    pictures = [np.asarray(Image.fromarray(rng.integers(0, 256, (9, 9), np.uint8)).resize((200, 200))) for _ in "12"]
    first, second = map(grey_of, map(Image.fromarray, pictures))
    pixels = np.stack([first, second, first // 2, saved_again(pictures[0], size, quality), 255 - first])
    labels = np.array(["A", "A", "A", "B", "B"])
    found = near_duplicates.find_photos(pixels, labels, 0.9)
    assert found.of_image.tolist() == [0, 1, 0, 0, 4]
    [(one, other)] = found.under_two_letters
    assert (labels[one], labels[other], other) == ("A", "B", 3)


def test_hands_of_two_letters_that_look_alike_are_two_photos():
    """R and U in one scene, with all else equal, as frames of one film: nothing is as alike and yet another letter."""
    frames = [
        copy_photo(
            develop(take_photo(letter, np.random.default_rng(scene)), 112), 112, 28, np.random.default_rng(scene)
        )
        for letter in "RU"
        for scene in range(6)
    ]
    correlation = np.diag(np.corrcoef(np.stack(frames).reshape(12, -1))[:6, 6:])
    assert correlation.max() > 0.99, "this shows something"
    assert len(set(find_photos(np.stack(frames), np.repeat(["R", "U"], 6), 0.98).tolist())) == 12


@pytest.mark.parametrize(("tile", "block"), [(7, 21), (16, 40), (512, 4096)])
def test_photos_across_letters_are_those_of_the_definition_whatever_the_tile(monkeypatch, tile, block):
    monkeypatch.setattr(near_duplicates, "TILE", tile)
    monkeypatch.setattr(near_duplicates, "BLOCK", block)
    monkeypatch.setattr(near_duplicates, "ACROSS", 0.93)
    monkeypatch.setitem(plain_photos.__globals__, "ACROSS", 0.93)
    pixels, labels, which = copies_of_photos(np.random.default_rng(8), photos=20, copies=5, noise=14)
    labels[::4] = "C"
    expected = plain_photos(pixels, labels, 0.9)
    found = near_duplicates.find_photos(pixels, labels, 0.9)
    np.testing.assert_array_equal(found.of_image, expected)
    assert len(found.under_two_letters) > 10
    for one, other in found.under_two_letters:
        assert which[one] == which[other]
        assert labels[one] != labels[other]


def smooth_pictures(rng, photos, copies):
    """Pictures of few frequencies, in copies of other contrast; one in ten may be under another letter."""
    originals = rng.uniform(40, 215, (photos, 7, 7)).repeat(4, axis=1).repeat(4, axis=2)
    which = rng.permutation(np.repeat(np.arange(photos), copies))
    noisy = originals[which] * rng.uniform(0.7, 1, (len(which), 1, 1)) + rng.normal(0, 1.5, (len(which), 28, 28))
    return noisy.clip(0, 255).astype(np.uint8), np.array(list("ABC"))[
        np.where(rng.random(len(which)) < 0.9, which, 0) % 3
    ]


def test_tiles_that_coarse_vectors_rule_out_hold_no_link(monkeypatch):
    """And most are ruled out: else that is not worth its time."""
    monkeypatch.setattr(near_duplicates, "TILE", 4)
    pixels, labels = smooth_pictures(np.random.default_rng(11), photos=40, copies=4)
    numbers = np.unique(labels, return_inverse=True)[1]
    rows = np.argsort(numbers, kind="stable")
    correlation = np.corrcoef(pixels[rows].reshape(len(rows), -1))
    linked = (correlation >= ACROSS) & (numbers[rows][:, None] != numbers[rows])
    corners = [corner for _, corner in near_duplicates._tiles_across(pixels, rows, numbers[rows], ACROSS)]
    expected = {(4 * (a // 4), 4 * (b // 4)) for a, b in np.argwhere(np.triu(linked))}
    assert len(expected) > 5
    assert expected <= set(corners)
    assert len(corners) < 0.2 * 40 * 41 / 2
    found = near_duplicates.find_photos(pixels, labels, 0.98)
    np.testing.assert_array_equal(found.of_image, plain_photos(pixels, labels, 0.98))


@pytest.mark.parametrize("size", [5, 28, 40])
def test_coarse_vectors_never_say_less_than_the_correlation(size):
    rng = np.random.default_rng(size)
    waves = 128 + 100 * np.sin(np.arange(size) * rng.uniform(0.1, 3, (20, 1, 1)) + rng.uniform(0, 6, (20, size, 1)))
    pixels = np.concatenate([waves, rng.integers(0, 256, (20, size, size)), np.full((2, size, size), 7)]).astype(
        np.uint8
    )
    pixels[5] = pixels[6] // 2
    units = near_duplicates.unit_rows(pixels.reshape(len(pixels), -1))
    coarse = near_duplicates._coarse(pixels, np.arange(len(pixels)))
    assert coarse.dtype == np.float32
    assert (coarse @ coarse.T - units @ units.T).min() > -1e-5


def test_one_picture_under_different_letters_is_one_photo_with_all_copies_of_both():
    first, second = np.random.default_rng(3).integers(0, 200, (2, 28, 28), dtype=np.uint8)
    pixels = np.stack([second, first + 7, first, first, first + 9, first, second])
    labels = np.array(["A", "A", "A", "B", "B", "C", "B"])
    assert find_photos(pixels, labels, 0.9).tolist() == [0, 1, 1, 1, 1, 1, 0]
    assert find_photos(pixels, labels, 0.9).tolist() == plain_photos(pixels, labels, 0.9).tolist()
    assert under_two_letters(pixels, labels) == [(0, 6), (2, 3), (2, 5)]


def test_images_of_one_shade_are_copies_only_of_the_same_shade():
    pixels = np.zeros((5, 28, 28), np.uint8)
    pixels[[1, 3]] = 80
    pixels[4] = np.random.default_rng(4).integers(0, 256, (28, 28))
    with np.errstate(all="raise"):
        assert find_photos(pixels, np.full(5, "A"), 0.98).tolist() == [0, 1, 0, 1, 4]


def test_at_threshold_one_only_brightness_and_contrast_may_differ():
    image = np.random.default_rng(5).integers(0, 100, (28, 28), dtype=np.uint8)
    other = image.copy()
    other[0, 0] ^= 16
    pixels = np.stack([image, image * 2 + 5, other, image])
    assert find_photos(pixels, np.full(4, "A"), 1.0).tolist() == [0, 0, 2, 0]


def test_one_image_is_one_photo():
    assert find_photos(np.ones((1, 28, 28), np.uint8), np.array(["A"]), 0.98).tolist() == [0]


def test_real_signs_come_in_about_21_copies_a_photo(real_signs):
    from signbridge.datasets.sign_mnist import read_archive

    images = read_archive(real_signs / "sign-language-mnist-excerpt.zip", None).images
    pixels, labels = np.stack([i.pixels for i in images]), np.array([i.label for i in images])
    photos = find_photos(pixels, labels, 0.95)
    assert len(np.unique(photos)) == 200  # as its README says
    in_test = np.array([i.split == "test" for i in images])
    assert not set(photos[in_test].tolist()) & set(photos[~in_test].tolist())
    letter = labels == "A"
    np.testing.assert_array_equal(
        find_photos(pixels[letter], labels[letter], 0.98), plain_photos(pixels[letter], labels[letter], 0.98)
    )


def test_one_picture_under_two_signers_is_one_photo_and_named():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 28, 28), dtype=np.uint8)
    pixels[3], pixels[5] = pixels[0], np.clip(pixels[1] * 0.999, 0, 255)  # the same picture, and saved again
    labels, signers = np.array(list("AABABA")), np.array(list("ppqqqp"))
    found = near_duplicates.find_photos(pixels, labels, 0.9, signers)
    assert found.of_image.tolist() == [0, 1, 2, 0, 4, 1]
    assert found.under_two_signers == [(0, 3)]
    assert found.under_two_letters == []


def test_two_signers_of_one_letter_may_look_more_alike_than_copies_of_one():
    rng = np.random.default_rng(0)
    one = rng.integers(0, 256, (28, 28)).astype(float)
    pixels = np.stack([one, one + rng.normal(0, 8, one.shape)]).clip(0, 255).astype(np.uint8)
    labels = np.array(["A", "A"])
    correlation = np.corrcoef(pixels.reshape(2, -1))[0, 1]
    assert 0.98 < correlation < near_duplicates.ACROSS
    assert find_photos(pixels, labels, 0.98).tolist() == [0, 0]
    assert near_duplicates.find_photos(pixels, labels, 0.98, np.array(["p", "q"])).of_image.tolist() == [0, 1]


def test_what_the_dataset_knows_of_its_photos_joins_images_that_look_different():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    known = np.array(["x", "y", "x", "y"])
    found = near_duplicates.find_photos(pixels, np.array(list("AAAB")), 0.98, known=known)
    assert found.of_image.tolist() == [0, 1, 0, 1]


def test_memory_beside_the_pixels_does_not_grow_with_their_size(monkeypatch):
    """At most 600 bytes for each more image of 3,136 pixels."""
    monkeypatch.setattr(near_duplicates, "TILE", 32)
    monkeypatch.setattr(near_duplicates, "BLOCK", 64)
    monkeypatch.setattr(near_duplicates, "PAIRS", 4)
    rng, peaks = np.random.default_rng(9), []
    for images in (320, 1280):  # whole blocks
        pixels, _, _ = copies_of_photos(rng, photos=images // 5, copies=5, noise=4, size=56)
        labels = np.where(np.arange(images) % 2, "A", "B")
        tracemalloc.start()
        find_photos(pixels, labels, 0.9)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 960 < 600


@pytest.mark.slow
def test_as_many_images_as_sign_language_mnist_has_are_sorted_as_if_every_pair_were_computed(monkeypatch):
    rng = np.random.default_rng(0)
    pixels, labels, _ = dataset(rng, 34_627)
    some, others = rng.permutation(len(pixels))[:600].reshape(2, -1)
    pixels[some] = (pixels[others] * rng.uniform(0.9, 1, (len(some), 1, 1))).astype(np.uint8)  # mostly of two letters
    found = near_duplicates.find_photos(pixels, labels, 0.98)
    assert len(found.under_two_letters) > 50
    flat, computed = pixels.reshape(len(pixels), -1), near_duplicates._tiles
    monkeypatch.setattr(near_duplicates, "_tiles_across", lambda _, rows, *__: computed(flat, rows))
    every_pair = near_duplicates.find_photos(pixels, labels, 0.98)
    np.testing.assert_array_equal(found.of_image, every_pair.of_image)
    assert found[1:] == every_pair[1:]
