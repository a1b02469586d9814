"""Which images train, which test, and which of the training images choose."""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

from signbridge.core.errors import SignBridgeError
from signbridge.probing import protocols

LABELS = np.repeat(list("ABCD"), 15)
PHOTOS = np.array([f"{letter}-{copy % 6}" for letter in "ABCD" for copy in range(15)])
GROUPED = protocols.grouped(LABELS, PHOTOS, folds=5, repeats=3, inner_folds=4, seed=42)


def test_signbridge_is_the_notebooks_split_to_the_index():
    train, test = next(StratifiedShuffleSplit(1, test_size=0.2, random_state=42).split(LABELS, LABELS))
    [split] = protocols.signbridge(LABELS, 0.2, 42)
    np.testing.assert_array_equal(np.flatnonzero(split.train), np.sort(train))
    np.testing.assert_array_equal(np.flatnonzero(split.test), np.sort(test))


def test_no_photo_is_on_both_sides_and_each_image_is_tested_once_a_repeat():
    assert len(GROUPED) == 15
    for split in GROUPED:
        assert not set(PHOTOS[split.train]) & set(PHOTOS[split.test])
        assert (split.train ^ split.test).all()
    for repeat in range(3):
        tested = sum(split.test.astype(int) for split in GROUPED if split.repeat == repeat)
        assert (tested == 1).all()
    assert protocols.share_seen_in_train(GROUPED, PHOTOS) == 0


def test_inner_folds_are_whole_photos_of_the_training_images_and_cover_them_once():
    for split in GROUPED:
        assert len(split.inner) == 4
        for inner in split.inner:
            assert not set(PHOTOS[inner.train]) & set(PHOTOS[inner.test])
            np.testing.assert_array_equal(inner.train ^ inner.test, split.train)
        np.testing.assert_array_equal(sum(inner.test.astype(int) for inner in split.inner), split.train)


def test_no_two_shuffles_of_a_study_share_a_seed(monkeypatch):
    seeds = []

    class Recorded(StratifiedGroupKFold):
        def __init__(self, n_splits: int, shuffle: bool, random_state: int):
            super().__init__(n_splits, shuffle=shuffle, random_state=random_state)
            seeds.append(random_state)

    monkeypatch.setattr(protocols, "StratifiedGroupKFold", Recorded)
    protocols.grouped(LABELS, PHOTOS, folds=5, repeats=3, inner_folds=4, seed=42)
    assert len(seeds) == len(set(seeds)) == 3 * (1 + 5)


def test_repeats_differ_and_the_seed_alone_decides():
    first, again, other = (protocols.grouped(LABELS, PHOTOS, 5, 2, 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal([split.test for split in first], [split.test for split in again])
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal([fold.test for fold in one.inner], [fold.test for fold in two.inner])
    assert any((a.test != b.test).any() for a, b in zip(first, other, strict=True))
    assert any((a.test != b.test).any() for a, b in zip(first[:5], first[5:], strict=True))


def test_the_share_of_leaking_images_counts_photos_on_both_sides():
    train = np.array([True, True, False, False])
    split = protocols.Split("signbridge", 0, 0, train, ~train)
    assert protocols.share_seen_in_train([split], np.array(["a", "b", "b", "c"])) == 0.5


def test_letters_with_fewer_photos_than_folds_are_named_with_their_counts():
    photos = PHOTOS.copy()
    photos[LABELS == "B"] = "B-0"
    photos[LABELS == "D"] = np.repeat(["D-0", "D-1", "D-1"], 5)
    with pytest.raises(SignBridgeError, match=r"5 folds needs 5 photos a letter; there are: B 1, D 2\."):
        protocols.grouped(LABELS, photos, 5, 1, 3, 42)


def test_a_letter_with_fewer_photos_than_inner_folds_is_missing_from_some_of_them_without_a_warning(recwarn):
    photos = np.array([f"{letter}-{copy % (3 if letter == 'A' else 6)}" for letter in "ABCD" for copy in range(15)])
    for split in protocols.grouped(LABELS, photos, folds=3, repeats=1, inner_folds=4, seed=0):
        tested_A = [(LABELS[fold.test] == "A").any() for fold in split.inner]
        assert sum(tested_A) == 2
    assert not recwarn.list


def test_a_fold_that_leaves_too_few_images_for_the_inner_folds_is_refused():
    labels, photos = np.repeat(list("AB"), 3), np.arange(6)
    with pytest.raises(SignBridgeError, match=r"leaves 2 images a letter to train; probe.grouped.inner_folds 3 needs"):
        protocols.grouped(labels, photos, folds=3, repeats=1, inner_folds=3, seed=0)


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


SIGNERS = np.array([f"P{index % 4}" for index in range(len(LABELS))])


def test_of_few_signers_each_is_left_out_once_and_inner_folds_keep_them_whole():
    splits = protocols.grouped(LABELS, SIGNERS, folds=5, repeats=3, inner_folds=3, seed=42, kind="signer")
    assert [set(SIGNERS[split.test]) for split in splits] == [{"P0"}, {"P1"}, {"P2"}, {"P3"}]
    for split in splits:
        assert not set(SIGNERS[split.train]) & set(SIGNERS[split.test])
        for inner in split.inner:
            assert not set(SIGNERS[inner.train]) & set(SIGNERS[inner.test])
            assert not (inner.test & split.test).any()


def test_of_many_signers_folds_have_several():
    signers = np.array([f"P{index % 20}" for index in range(len(LABELS))])
    splits = protocols.grouped(LABELS, signers, folds=3, repeats=2, inner_folds=3, seed=42, kind="signer")
    assert len(splits) == 6
    assert {len(set(signers[split.test])) for split in splits} <= {6, 7}


def test_two_signers_leave_inner_folds_over_images():
    signers = np.array([f"P{index % 2}" for index in range(len(LABELS))])
    splits = protocols.grouped(LABELS, signers, folds=5, repeats=1, inner_folds=3, seed=0, kind="signer")
    assert len(splits) == 2
    assert all(len(split.inner) == 3 and inner.test.any() for split in splits for inner in split.inner)


def test_a_letter_of_one_signer_is_refused():
    signers = np.where(LABELS[0] == LABELS, "P0", SIGNERS)
    with pytest.raises(
        SignBridgeError, match=rf"one signer left out needs 2 signers a letter; there are: {LABELS[0]} 1"
    ):
        protocols.grouped(LABELS, signers, folds=5, repeats=1, inner_folds=3, seed=0, kind="signer")
