"""Which features tell a letter: the AUC, halves that share no photo, and lists that an empty feature cannot enter."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from signbridge.sae.shown_features import (
    COLUMNS,
    best_dimension,
    halves_of,
    letter_features,
    letter_means,
)
from signbridge.statistics.ranking import aucs

LABELS = np.repeat(list("ABC"), 16)
PHOTOS = np.array([f"{label}{index // 2 % 8}" for index, label in enumerate(LABELS)])


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(len(LABELS), 300)).astype(np.float32)


def test_the_auc_is_that_of_scikit_learn_with_ties(noise):
    vectors = np.maximum(noise.round(1), 0)
    found = aucs(vectors, LABELS, ["A", "C"])
    for letter, of_letter in zip(["A", "C"], found, strict=True):
        expected = [roc_auc_score(letter == LABELS, column) for column in vectors.T]
        np.testing.assert_allclose(of_letter, expected)


def test_no_photo_ranks_features_and_tests_them():
    ranking, testing, letters = halves_of(LABELS, PHOTOS, seed=1)
    assert letters == ["A", "B", "C"]
    assert not set(PHOTOS[ranking]) & set(PHOTOS[testing])
    assert (ranking | testing).all()
    for letter in letters:
        assert len(set(PHOTOS[ranking & (letter == LABELS)])) == 4
    assert not np.array_equal(halves_of(LABELS, PHOTOS, seed=2).ranking, ranking)


def test_what_was_picked_from_noise_looks_good_only_where_it_was_picked(noise):
    found = letter_features(noise, LABELS, halves_of(LABELS, PHOTOS, 0), most=10)
    assert (found["auc"] > 0.7).all()
    assert 0.35 < found["auc_held_out"].mean() < 0.65


def test_a_feature_of_a_letter_comes_first_and_one_that_is_weaker_there_never(noise):
    vectors = noise.copy()
    vectors[:, 7] = np.where(LABELS == "B", 2, 0)
    vectors[:, 8] = np.where(LABELS == "B", 1, 0) + 0.01 * noise[:, 8]  # as good an AUC, less far apart
    vectors[:, 9] = np.where(LABELS == "B", 0, 2)
    vectors[:, 10] = 0
    found = letter_features(vectors, LABELS, halves_of(LABELS, PHOTOS, 0), most=300)
    of_letter = found[found["letter"] == "B"]
    assert of_letter["feature"].tolist()[:2] == [7, 8]
    assert of_letter["rank"].tolist() == list(range(1, len(of_letter) + 1))
    assert of_letter["auc_held_out"].iloc[0] == 1
    assert not {9, 10} & set(of_letter["feature"])
    assert (found["auc"] > 0.5).all()


def test_a_dimension_tells_a_letter_by_either_sign(noise):
    vectors = noise.copy()
    vectors[:, 5] -= 10 * (LABELS == "C")
    found = best_dimension(vectors, LABELS, halves_of(LABELS, PHOTOS, 0)).set_index("letter")
    assert found.loc["C", ["feature", "auc_held_out"]].tolist() == [5, 1]
    assert (found["feature"] < 300).all()
    assert found.index.tolist() == ["A", "B", "C"]


def test_a_letter_of_one_photo_has_no_list_and_stands_in_no_half(noise):
    photos = np.where(LABELS == "B", "b", PHOTOS)
    halves = halves_of(LABELS, photos, 0)
    assert halves.letters == ["A", "C"]
    assert not (halves.ranking | halves.testing)[LABELS == "B"].any()
    assert set(letter_features(noise, LABELS, halves, most=2)["letter"]) == {"A", "C"}


@pytest.mark.parametrize("labels", [np.full(len(LABELS), "A"), np.arange(len(LABELS)).astype(str)])
def test_without_two_letters_of_two_photos_there_is_no_list(noise, labels):
    found = letter_features(noise, labels, halves_of(labels, PHOTOS, 0), most=2)
    assert found.empty
    assert list(found.columns) == COLUMNS


def test_features_that_never_fire_make_no_list():
    assert letter_features(np.zeros((len(LABELS), 4)), LABELS, halves_of(LABELS, PHOTOS, 0), most=3).empty


def test_every_photo_counts_once_in_the_mean_of_a_letter():
    labels, photos = np.array(list("AAAB")), np.array(["a0", "a0", "a1", "b0"])
    means = letter_means(np.array([[1.0], [3.0], [10.0], [7.0]]), labels, photos, ["A", "B"])
    assert means.tolist() == [[6.0], [7.0]]
