"""What is chosen inside the training images is what a plain loop would choose there, and nothing else is looked at."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from signbridge.probing import folds, logistic_regression, protocols
from signbridge.probing.coordinates import reduce
from signbridge.probing.folds import Choice, Nested, choose, read_letters, within
from signbridge.probing.protocols import InnerFold, Split

PENALTIES = (1e-3, 1e-2, 1e-1)
LETTERS = np.repeat(np.arange(4), 18)
PHOTOS = np.arange(72) // 2


def noisy_clusters(seed: int, apart: float = 0.5) -> np.ndarray:
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(72, 60)) + apart * generator.normal(size=(4, 60))[LETTERS]
    return (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)


def first_split(seed: int) -> Split:
    return protocols.grouped(LETTERS, PHOTOS, folds=4, repeats=1, inner_folds=3, seed=seed)[0]


def choose_one(train: np.ndarray, letters: np.ndarray, inner: list[InnerFold], Cs: tuple[float, ...]) -> Choice:
    return choose([Nested(train, letters, inner)], Cs)[0]


def loop(rows: np.ndarray, letters: np.ndarray, inner: list[InnerFold], C: float) -> float:
    """The share of inner test rows that scikit-learn reads right."""
    right = []
    for fold in inner:
        model = LogisticRegression(C=C, tol=1e-10, max_iter=50_000).fit(rows[fold.train], letters[fold.train])
        right.append(model.predict(rows[fold.test]) == letters[fold.test])
    return float(np.concatenate(right).mean())


@pytest.mark.parametrize("seed", range(4))
def test_the_choice_is_that_of_a_plain_loop_with_scikit_learn(seed, monkeypatch):
    monkeypatch.setattr(folds, "LOOSE_TOLERANCE", 1e-6)  # at its own it may differ by a prediction
    split, vectors = first_split(seed), noisy_clusters(seed)
    inner, rows, letters = within(split.inner, split.train), vectors[split.train], LETTERS[split.train]
    accuracy = {C: loop(rows, letters, inner, C) for C in PENALTIES}
    best = max(accuracy.values())
    choice = choose_one(rows, letters, inner, PENALTIES)
    assert choice[:2] == (min(C for C, right in accuracy.items() if right == best), best)


def test_reduced_rows_lead_to_the_same_choice():
    split, vectors = first_split(0), noisy_clusters(0)
    inner, letters = within(split.inner, split.train), LETTERS[split.train]
    reduced = reduce(vectors[split.train], vectors[split.test])
    assert choose_one(reduced.train, letters, inner, PENALTIES) == choose_one(
        vectors[split.train], letters, inner, PENALTIES
    )


@pytest.mark.parametrize("order", [(1e-3, 1e-2, 1e-1), (1e-1, 1e-3, 1e-2)])
def test_of_equal_penalties_the_strongest_is_chosen_in_whatever_order_they_are_named(order):
    split, vectors = first_split(1), noisy_clusters(1, apart=4)  # so far apart that every C reads all
    choice = choose_one(vectors[split.train], LETTERS[split.train], within(split.inner, split.train), order)
    assert choice == (1e-3, 1.0, True)


def test_larger_penalties_are_tried_until_two_in_a_row_read_no_more(monkeypatch):
    split, vectors = first_split(0), noisy_clusters(0)
    inner, rows, letters = within(split.inner, split.train), vectors[split.train], LETTERS[split.train]
    offered = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
    monkeypatch.setattr(folds, "PATIENCE", len(offered))
    patient = choose_one(rows, letters, inner, offered)
    monkeypatch.undo()
    tried = []

    def fit_all(tasks: list, *arguments: object) -> list:
        tried.append(tasks[0].C)
        return logistic_regression.fit_all(tasks, *arguments)

    monkeypatch.setattr(folds, "fit_all", fit_all)
    assert choose_one(rows, letters, inner, offered) == patient
    assert tried == list(offered[: offered.index(patient.C) + 3])
    assert not patient.at_edge


def test_inner_folds_become_masks_over_the_training_rows():
    split = first_split(2)
    for fold, inside in zip(split.inner, within(split.inner, split.train), strict=True):
        rows = np.flatnonzero(split.train)
        np.testing.assert_array_equal(rows[inside.train], np.flatnonzero(fold.train))
        np.testing.assert_array_equal(rows[inside.test], np.flatnonzero(fold.test))


def test_an_inner_fold_that_trains_on_one_letter_alone_reads_that_letter():
    vectors, letters = noisy_clusters(3)[:4], np.array([0, 0, 1, 1])
    first = letters == 0
    choice = choose_one(vectors, letters, [InnerFold(first, ~first), InnerFold(~first, first)], PENALTIES)
    assert choice == (1e-3, 0.0, True)


def test_a_letter_without_training_rows_has_probability_zero_and_the_others_share_the_rest():
    vectors = noisy_clusters(4)
    train = LETTERS != 2
    [probability] = read_letters([(reduce(vectors[train], vectors[~train]), LETTERS[train], 0.1)], letters=4)
    assert probability.shape == (18, 4)
    assert not probability[:, 2].any()
    np.testing.assert_allclose(probability.sum(axis=1), 1)


def test_the_letters_are_read_as_scikit_learn_reads_them():
    split, vectors = first_split(5), noisy_clusters(5)
    reduced = reduce(vectors[split.train], vectors[split.test])
    [found] = read_letters([(reduced, LETTERS[split.train], 0.1)], letters=4)
    model = LogisticRegression(C=0.1, tol=1e-10, max_iter=50_000).fit(vectors[split.train], LETTERS[split.train])
    np.testing.assert_allclose(found, model.predict_proba(vectors[split.test]), atol=1e-4)
