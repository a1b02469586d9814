"""Which images train and which test."""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedShuffleSplit

from signbridge.errors import SignBridgeError
from signbridge.probing import protocols

LABELS = np.repeat(list("ABCD"), 15)
PHOTOS = np.array([f"{letter}-{copy % 6}" for letter in "ABCD" for copy in range(15)])


def test_signbridge_is_the_notebooks_split_to_the_index():
    train, test = next(StratifiedShuffleSplit(1, test_size=0.2, random_state=42).split(LABELS, LABELS))
    [split] = protocols.signbridge(LABELS, 0.2, 42)
    np.testing.assert_array_equal(np.flatnonzero(split.train), np.sort(train))
    np.testing.assert_array_equal(np.flatnonzero(split.test), np.sort(test))


def test_no_photo_is_on_both_sides_and_each_image_is_tested_once_a_repeat():
    splits = protocols.grouped(LABELS, PHOTOS, folds=5, repeats=3, seed=42)
    assert len(splits) == 15
    for split in splits:
        assert not set(PHOTOS[split.train]) & set(PHOTOS[split.test])
        assert (split.train ^ split.test).all()
    for repeat in range(3):
        tested = sum(split.test.astype(int) for split in splits if split.repeat == repeat)
        assert (tested == 1).all()
    assert protocols.share_with_copy_in_train(splits, PHOTOS) == 0


def test_repeats_differ_and_the_seed_alone_decides():
    first, again, other = (protocols.grouped(LABELS, PHOTOS, 5, 2, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal([split.test for split in first], [split.test for split in again])
    assert any((a.test != b.test).any() for a, b in zip(first, other, strict=True))
    assert any((a.test != b.test).any() for a, b in zip(first[:5], first[5:], strict=True))


def test_the_share_of_leaking_images_counts_photos_on_both_sides():
    train = np.array([True, True, False, False])
    split = protocols.Split("signbridge", 0, 0, train, ~train)
    assert protocols.share_with_copy_in_train([split], np.array(["a", "b", "b", "c"])) == 0.5


def test_letters_with_fewer_photos_than_folds_are_named_with_their_counts():
    photos = PHOTOS.copy()
    photos[LABELS == "B"] = "B-0"
    photos[LABELS == "D"] = np.where(np.arange(15) < 5, "D-0", "D-1")
    with pytest.raises(SignBridgeError, match=r"5 folds needs 5 photos a letter; there are: B 1, D 2\."):
        protocols.grouped(LABELS, photos, 5, 1, 42)


@pytest.mark.parametrize(
    ("labels", "test_size", "message"),
    [
        (["A"] * 5 + ["B"], 0.2, "letter B has 1 image"),
        (["A"] * 5, 0.2, "2 letters or more; the sample has A"),
        (list("ABCDE") * 2, 0.2, r"leaves 2 of 10 images to test and 8 to train; each side needs one a letter: 5"),
    ],
)
def test_a_sample_that_cannot_be_split_is_refused(labels, test_size, message):
    with pytest.raises(SignBridgeError, match=message):
        protocols.signbridge(np.array(labels), test_size, 42)
