"""The reduced fit against scikit-learn's own on the same rows: random, ill-conditioned, tied, wide and tall.

L-BFGS amplifies rounding: on paths of a hundred iterations and more scikit-learn's own logits move when the rows and
columns it is given are reordered. So what is asked here is that ours be as near to scikit-learn as it is to itself.
"""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from signbridge.probing.logistic_regression import decision, fit, probabilities
from signbridge.probing.reduction import reduce
from signbridge.probing.standardising import centre, scalers


def problem(rows: int, features: int, letters: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noisy clusters along few directions, labels, and the training mask (four of five rows)."""
    generator = np.random.default_rng(seed)
    labels = np.arange(rows) % letters
    latent = generator.normal(size=(letters, 12))[labels] * 0.4 + generator.normal(size=(rows, 12))
    vectors = latent @ generator.normal(size=(12, features)) + generator.normal(size=(rows, features))
    return vectors, labels, generator.permutation(rows) >= rows // 5


def widely_scaled(rows: np.ndarray) -> np.ndarray:
    generator = np.random.default_rng(1)
    return rows * np.exp(4 * generator.normal(size=rows.shape[1])) + 1000 * generator.normal(size=rows.shape[1])


def columns_doubled(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows, rows[:, ::-1]], axis=1)


def columns_constant(rows: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    rows[:, ::7] = 0.1  # not exact in binary: its variance is rounding, not zero
    return rows


def rows_doubled(rows: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    rows[1::2] = rows[::2]  # neighbours have different labels: the letters tie
    return rows


def rank_two(rows: np.ndarray) -> np.ndarray:
    return rows[:, :2] @ np.random.default_rng(2).normal(size=(2, rows.shape[1]))


def one_outlier(rows: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    rows[0] *= 1e4
    return rows


def as_activations(rows: np.ndarray) -> np.ndarray:
    return rows.astype(np.float16).astype(np.float32)


TWISTS = [
    np.copy,
    widely_scaled,
    columns_doubled,
    columns_constant,
    rows_doubled,
    rank_two,
    one_outlier,
    as_activations,
]
SHAPES = [(100, 400, 5), (100, 30, 5), (60, 500, 2), (80, 20, 2), (300, 300, 20), (50, 39, 4), (50, 40, 4)]


def ours(vectors, labels, train, C=1.0, **settings):
    """Logits of the test rows, coefficients on the standardised features, and the model."""
    centred = centre(vectors)
    shift, scale = scalers(centred, train[None])
    reduced = reduce(centred, shift[0], scale[0], train, ~train)
    model = fit(reduced, labels[train], labels.max() + 1, C, **settings)
    return decision(model, reduced.test), reduced.features.weights(model.weights), model


def scikit_learn(vectors, labels, train, C=1.0, **settings):
    """The same by `StandardScaler` and `LogisticRegression` on the rows in float64."""
    vectors = vectors.astype(np.float64)
    scaler = StandardScaler().fit(vectors[train])
    model = LogisticRegression(C=C, **{"max_iter": 1000, **settings}).fit(
        scaler.transform(vectors[train]), labels[train]
    )
    logits = model.decision_function(scaler.transform(vectors[~train]))
    if logits.ndim == 1:
        logits = np.stack([np.zeros_like(logits), logits], axis=1)
    return logits, model.coef_, model


def scatter(vectors, labels, train, C=1.0) -> float:
    """How far scikit-learn's logits move when rows and columns are reordered, at most, in three tries."""
    expected, _, _ = scikit_learn(vectors, labels, train, C)
    moved = []
    for seed in range(3):
        generator = np.random.default_rng(seed)
        trained, tested = np.flatnonzero(train), np.flatnonzero(~train)
        order = np.concatenate([generator.permutation(trained), tested])
        reordered = vectors[order][:, generator.permutation(vectors.shape[1])]
        logits, _, _ = scikit_learn(reordered, labels[order], np.arange(len(train)) < len(trained), C)
        moved.append(np.abs(logits - expected).max())
    return max(moved)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("twist", TWISTS, ids=lambda twist: twist.__name__)
def test_a_probe_is_as_near_to_scikit_learn_as_that_is_to_itself(shape, twist):
    vectors, labels, train = problem(*shape, seed=3)
    vectors = twist(vectors)
    logits, _, _ = ours(vectors, labels, train)
    expected, _, _ = scikit_learn(vectors, labels, train)
    near = 20 * scatter(vectors, labels, train) + 1e-9 * np.abs(expected).max()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=near)
    ranked = np.sort(expected, axis=1)
    decided = ranked[:, -1] - ranked[:, -2] > 2 * near  # exact ties are broken by rounding, there as here
    np.testing.assert_array_equal(logits.argmax(axis=1)[decided], expected.argmax(axis=1)[decided])


@pytest.mark.parametrize("C", [1e-3, 1.0, 1000.0])
@pytest.mark.parametrize("seed", range(4))
def test_predictions_on_wide_rows_are_the_same_to_the_last_one(C, seed):
    vectors, labels, train = problem(300, 4096, 20, seed)
    logits, coefficients, model = ours(vectors, labels, train, C)
    expected, expected_coefficients, reference = scikit_learn(vectors, labels, train, C)
    assert model.iterations == reference.n_iter_[0]
    np.testing.assert_array_equal(logits.argmax(axis=1), expected.argmax(axis=1))
    np.testing.assert_allclose(probabilities(logits), probabilities(expected), rtol=0, atol=1e-7)
    np.testing.assert_allclose(coefficients, expected_coefficients, rtol=0, atol=1e-7)


@pytest.mark.parametrize("shape", [(100, 400, 5), (100, 30, 5), (60, 500, 2)], ids=str)
def test_both_reach_the_same_optimum_when_neither_stops_early(shape):
    vectors, labels, train = problem(*shape, seed=4)
    logits, coefficients, _ = ours(vectors, labels, train, tolerance=1e-9, max_iterations=20_000)
    expected, expected_coefficients, _ = scikit_learn(vectors, labels, train, tol=1e-9, max_iter=20_000)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(coefficients[-len(expected_coefficients) :], expected_coefficients, rtol=0, atol=1e-5)


def test_rows_that_say_nothing_leave_the_probe_at_zero():
    vectors, labels = np.ones((40, 60)), np.arange(40) % 4
    train = np.arange(40) < 32
    logits, coefficients, model = ours(vectors, labels, train)
    assert model.iterations == 0
    assert not coefficients.any()
    np.testing.assert_array_equal(logits, 0)


def test_one_reduction_serves_every_C_and_label_set():
    vectors, labels, train = problem(100, 400, 5, seed=5)
    centred = centre(vectors)
    shift, scale = scalers(centred, train[None])
    reduced = reduce(centred, shift[0], scale[0], train, ~train)
    for shuffled in (labels, np.random.default_rng(0).permutation(labels)):
        for C in (0.01, 1.0):
            model = fit(reduced, shuffled[train], 5, C)
            np.testing.assert_allclose(
                decision(model, reduced.test), scikit_learn(vectors, shuffled, train, C)[0], atol=1e-8
            )


def test_too_few_iterations_are_said(caplog):
    vectors, labels, train = problem(100, 30, 5, seed=6)
    _, _, model = ours(vectors, labels, train, max_iterations=3)
    assert model.iterations == 3
    assert "stopped after 3 iterations" in caplog.text


def test_coordinates_keep_every_inner_product():
    vectors, _, train = problem(60, 200, 5, seed=7)
    vectors[3] = vectors[4]
    centred = centre(vectors)
    shift, scale = scalers(centred, train[None])
    reduced = reduce(centred, shift[0], scale[0], train, ~train)
    standardised = reduced.features.standardised
    np.testing.assert_allclose(reduced.train @ reduced.train.T, standardised[train] @ standardised[train].T, atol=1e-9)
    np.testing.assert_allclose(reduced.test @ reduced.train.T, standardised[~train] @ standardised[train].T, atol=1e-9)
    assert reduced.train.shape[1] < train.sum()  # training rows sum to zero
