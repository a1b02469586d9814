"""A split is read alike by both solvers, each as scikit-learn reads it."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from signbridge.probing import folds, many_rows, protocols
from signbridge.probing.folds import (
    FewRows,
    ManyRows,
    folds_of,
    has_many_rows,
)
from signbridge.probing.protocols import Split

MEMORY = 2**30
PENALTIES = (1e-3, 1e-2, 1e-1)
TARGETS = np.repeat(np.arange(4), 24)
SPLITS = protocols.grouped(TARGETS.astype(str), np.arange(96) // 2, folds=3, repeats=1, inner_folds=2, seed=0)


def vectors(apart: float = 0.6) -> np.ndarray:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(96, 16)) + apart * generator.normal(size=(4, 16))[TARGETS]
    return (50 + rows * np.exp(generator.normal(size=16))).astype(np.float32)


def scikit_learn(rows: np.ndarray, targets: np.ndarray, C: float) -> Pipeline:
    """Scaler and regression, to the optimum."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-10, max_iter=50_000))
    return model.fit(rows.astype(np.float64), targets)


@pytest.fixture(params=["few rows", "many rows"])
def kind(request, monkeypatch) -> type:
    """How a split is held: 96 rows of 16 features are many as soon as 16 features count as wide."""
    if request.param == "many rows":
        monkeypatch.setattr(folds, "WIDE", 8)
        return ManyRows
    return FewRows


@pytest.mark.parametrize(
    ("images", "width", "many"),
    [(300, 4096, False), (34_627, 4096, True), (34_627, 784, False), (4096, 4096, False), (10**5, 512, False)],
)
def test_rows_are_many_where_they_outnumber_features_that_are_many_themselves(images, width, many):
    assert has_many_rows(np.lib.stride_tricks.as_strided(np.zeros(1), (images, width), (0, 0))) is many


def test_a_fold_reads_what_scikit_learn_reads(kind):
    rows = vectors()
    for split, fold in zip(SPLITS, folds_of(rows, SPLITS, MEMORY), strict=True):
        assert isinstance(fold, kind)
        assert fold.split is split
        read = fold.read(TARGETS, 0.1, 1e-6)
        expected = scikit_learn(rows[split.train], TARGETS[split.train], 0.1).predict_proba(
            rows[split.test].astype(float)
        )
        np.testing.assert_array_equal(read.predicted, expected.argmax(axis=1))
        of_truth = expected[np.arange(len(expected)), TARGETS[split.test]]
        np.testing.assert_allclose(read.probability, of_truth, atol=1e-3)


def test_a_fold_chooses_as_a_plain_loop_does(kind, monkeypatch):
    """Few rows are standardised by all training images, many by those of each inner fold; neither sees a test image.

    At its own tolerance the choice may differ by a prediction; what is asked here is that it be the same procedure.
    """
    monkeypatch.setattr(folds, "LOOSE_TOLERANCE", 1e-6)
    monkeypatch.setattr(folds, "LOOSE_WEIGHTS", 1e-4)
    monkeypatch.setattr(folds, "CHOOSE_ROWS", 96)  # all of them
    rows = vectors().astype(np.float64)
    for split, fold in zip(SPLITS, folds_of(vectors(), SPLITS, MEMORY), strict=True):
        outer = (rows - rows[split.train].mean(axis=0)) / rows[split.train].std(axis=0)
        right = dict.fromkeys(PENALTIES, 0)
        for inner in split.inner:
            for C in PENALTIES:
                if kind is FewRows:
                    model = LogisticRegression(C=C, tol=1e-10, max_iter=50_000)
                    model.fit(outer[inner.train], TARGETS[inner.train])
                    predicted = model.predict(outer[inner.test])
                else:
                    predicted = scikit_learn(rows[inner.train], TARGETS[inner.train], C).predict(rows[inner.test])
                right[C] += int((predicted == TARGETS[inner.test]).sum())
        best = min(C for C in PENALTIES if right[C] == max(right.values()))
        choice = fold.choose(TARGETS, PENALTIES[::-1])
        assert choice[:2] == (best, pytest.approx(right[best] / split.train.sum()))


def test_of_equal_penalties_the_strongest_is_chosen(kind, monkeypatch):
    monkeypatch.setattr(folds, "CHOOSE_ROWS", 96)
    for fold in folds_of(vectors(apart=20), SPLITS, MEMORY):
        assert fold.choose(TARGETS, PENALTIES[::-1]) == (1e-3, 1.0, True)


def test_what_is_tested_has_no_say_in_what_is_chosen(kind):
    split, rows, targets = SPLITS[0], vectors(), TARGETS.copy()
    [fold] = folds_of(rows, [split], MEMORY)
    choice = fold.choose(targets, PENALTIES)
    generator = np.random.default_rng(1)
    rows = rows.copy()
    rows[split.test] = 1000 * generator.normal(size=(split.test.sum(), 16))
    targets[split.test] = generator.permutation(targets[split.test])
    [tampered] = folds_of(rows, [split], MEMORY)
    assert tampered.choose(targets, PENALTIES) == choice


def test_a_letter_that_no_training_image_shows_has_probability_zero(kind):
    train = TARGETS != 3
    [fold] = folds_of(vectors(), [Split("grouped", 0, 0, train, ~train)], MEMORY)
    read = fold.read(TARGETS, 0.1, 1e-6)
    assert not read.probability.any()
    assert (read.predicted < 3).all()


def test_no_split_gives_no_fold(kind):
    assert list(folds_of(vectors(), [], MEMORY)) == []


# Of many rows ---------------------------------------------------------------------------------------------------------


def many(monkeypatch, rows, split=SPLITS[0]) -> ManyRows:
    monkeypatch.setattr(folds, "WIDE", 8)
    [fold] = folds_of(rows, [split], MEMORY)
    return fold


@pytest.mark.parametrize(("least", "drawn"), [(0, 2 * 16), (48, 48)])
def test_a_penalty_is_chosen_on_so_many_rows_a_feature_and_keeps_its_proportion_to_the_loss(least, drawn, monkeypatch):
    monkeypatch.setattr(folds, "CHOOSE_ROWS", 2)
    monkeypatch.setattr(folds, "CHOOSE_LEAST", least)
    asked = []

    def fit_path(vectors, targets, train, test, classes, Cs, *rest, **named):
        asked.append((train, test, Cs))
        return many_rows.fit_path(vectors, targets, train, test, classes, Cs, *rest, **named)

    monkeypatch.setattr(folds, "fit_path", fit_path)
    split = SPLITS[0]
    many(monkeypatch, vectors()).choose(TARGETS, PENALTIES)
    [(train, test, Cs)] = asked
    kept = (train | test).any(axis=0)
    assert not kept[split.test].any()
    assert abs(kept.sum() - drawn) <= 6
    for number, inner in enumerate(split.inner):
        assert (train[number] == (inner.train & kept)).all()
        assert (test[number] == (inner.test & kept)).all()
        penalties = [C[number] * train[number].sum() for C in Cs]
        assert penalties == pytest.approx([C * inner.train.sum() for C in PENALTIES])


def test_of_many_rows_larger_penalties_are_tried_until_two_in_a_row_read_no_more(monkeypatch):
    monkeypatch.setattr(folds, "CHOOSE_ROWS", 96)
    fold = many(monkeypatch, vectors(apart=20))
    fold.choose(TARGETS, (1e-3, 1e-2, 1e-1, 1.0, 10.0))
    assert sorted(fold.near) == [1e-3, 1e-2, 1e-1]


def test_a_start_from_the_choice_is_taken_for_the_same_labels_alone(monkeypatch):
    rows, shuffled = vectors(), np.random.default_rng(0).permutation(TARGETS)
    chosen = many(monkeypatch, rows)
    chosen.choose(TARGETS, PENALTIES)
    starts = []

    def fit_and_test(*given, start, **named):
        starts.append(start)
        return many_rows.fit_and_test(*given, start=start, **named)

    monkeypatch.setattr(folds, "fit_and_test", fit_and_test)
    for targets in (TARGETS, shuffled):
        fresh = many(monkeypatch, rows)
        np.testing.assert_allclose(
            chosen.read(targets, 0.1, 1e-6).probability, fresh.read(targets, 0.1, 1e-6).probability, atol=1e-3
        )
    assert [start is not None for start in starts] == [True, False, False, False]


def test_folds_of_one_repeat_are_fitted_in_the_same_passes_and_read_what_each_reads_alone(monkeypatch):
    monkeypatch.setattr(folds, "WIDE", 8)
    rows, fits = vectors(), []

    def fit_and_test(vectors, targets, train, *given, **named):
        fits.append(len(train))
        return many_rows.fit_and_test(vectors, targets, train, *given, **named)

    monkeypatch.setattr(folds, "fit_and_test", fit_and_test)
    splits = protocols.grouped(TARGETS.astype(str), np.arange(96) // 2, folds=3, repeats=2, inner_folds=2, seed=0)
    batches = list(folds.batches(folds_of(rows, splits, MEMORY)))
    assert [[fold.split for fold in batch] for batch in batches] == [splits[:3], splits[3:]]
    Cs = [0.1, 0.01, 0.1]
    together = folds.read_each([(fold, TARGETS, C) for fold, C in zip(batches[0], Cs, strict=True)], 0.0)
    assert fits == [2, 1]
    for fold, C, read in zip(batches[0], Cs, together, strict=True):
        alone = fold.read(TARGETS, C, 0.0)
        np.testing.assert_array_equal(read.predicted, alone.predicted)
        np.testing.assert_allclose(read.probability, alone.probability, atol=1e-3)
