"""The reading of the answers knows what the training images taught it, and no more."""

import numpy as np
import pytest

from signbridge.probing.predictions import read_answers
from signbridge.probing.protocols import Split, grouped

LETTERS = np.repeat(list("AESVK"), 12)
PHOTOS = np.arange(60) // 2


def accuracy(answers, labels, splits) -> float:
    scored = read_answers(answers, labels, splits)
    letters = np.unique(labels)
    right = [letters[said] == labels[split.test] for said, split in zip(scored.predicted, splits, strict=True)]
    return float(np.concatenate(right).mean())


@pytest.fixture
def splits() -> list[Split]:
    return grouped(LETTERS, PHOTOS, folds=4, repeats=3, inner_folds=3, seed=0)


def test_a_word_shared_by_letters_is_worth_one_of_them_even_in_folds(splits):
    shared = np.where(np.isin(LETTERS, list("AES")), "Fist", "Peace").tolist()
    assert accuracy(shared, LETTERS, splits) == pytest.approx(2 / 5)


def test_a_word_a_letter_gives_everything_away(splits):
    assert accuracy([f"hand {letter}" for letter in LETTERS], LETTERS, splits) == 1


def test_one_answer_for_all_and_an_answer_for_each_are_worth_a_guess(splits):
    assert accuracy(["Hand"] * 60, LETTERS, splits) == pytest.approx(1 / 5)
    assert accuracy([f"noise {index}" for index in range(60)], LETTERS, splits) == pytest.approx(1 / 5)


def test_the_commoner_letter_of_a_word_wins_and_its_probability_is_its_share():
    labels = np.array(list("AAAB") * 4)
    train = np.arange(16) < 12
    scored = read_answers(["Fist"] * 16, labels, [Split("grouped", 0, 0, train, ~train)])
    assert scored.predicted[0].tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(scored.probability[0], [0.75, 0.75, 0.75, 0.25])


def test_only_training_images_teach():
    labels = np.array(list("AB") * 4)
    train = np.arange(8) < 4
    answers = ["x", "x", "x", "x", "a", "b", "a", "b"]
    scored = read_answers(answers, labels, [Split("grouped", 0, 0, train, ~train)])
    np.testing.assert_allclose(scored.probability[0], 0.5)


def test_an_answer_chooses_nothing_and_leaves_no_probe(splits):
    scored = read_answers(["Hand"] * 60, LETTERS, splits)
    assert (scored.site, scored.position) == ("answer", "text")
    assert scored.choices == [None] * 12
    assert scored.probes == {}
