"""The fit is at scikit-learn's optimum: on random problems, ill-conditioned, tied, wide, tall and square ones.

scikit-learn is held to a tolerance at which it, too, arrives. Where the two best logits are nearer to each other than
the two solvers are, either answer is right.
"""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from signbridge.probing import logistic_regression
from signbridge.probing.coordinates import Coordinates, centre, reduce, scalers, weights_on_features
from signbridge.probing.logistic_regression import (
    Model,
    decision,
    fit,
    probabilities,
)
from tests.probing.hard_rows import (
    columns_constant,
    columns_doubled,
    rank_two,
    rows_doubled,
    widely_scaled,
)

# How far a fit of the default tolerance may be from the optimum: of a row's largest logit, or a typical row's.
NEAR = 5e-4
PENALTIES = (1e-4, 1e-2, 1.0)


def problem(rows: int, features: int, letters: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noisy clusters along few directions, labels, and the training mask (four of five rows)."""
    generator = np.random.default_rng(seed)
    labels = np.arange(rows) % letters
    latent = generator.normal(size=(letters, 12))[labels] * 0.4 + generator.normal(size=(rows, 12))
    vectors = latent @ generator.normal(size=(12, features)) + generator.normal(size=(rows, features))
    return vectors, labels, generator.permutation(rows) >= rows // 5


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
SHAPES = [(100, 400, 5), (100, 30, 5), (60, 500, 2), (80, 20, 2), (160, 160, 12), (50, 40, 4)]


def standardised(vectors: np.ndarray, train: np.ndarray) -> np.ndarray:
    """All rows on the scale of the training rows, in float64."""
    centred = centre(vectors)
    shift, scale = scalers(centred, train[None])
    return (centred.rows - shift[0]) / scale[0]


def reduced_problem(rows: int, features: int, letters: int, seed: int) -> tuple[Coordinates, np.ndarray]:
    """The coordinates of `problem`, and the labels of the training rows."""
    vectors, labels, train = problem(rows, features, letters, seed)
    scaled = standardised(vectors, train)
    return reduce(scaled[train], scaled[~train]), labels[train]


def scikit_learn(
    rows: np.ndarray, labels: np.ndarray, tested: np.ndarray, C: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits and probabilities of the tested rows, and coefficients."""
    model = LogisticRegression(C=C, tol=1e-10, max_iter=50_000).fit(rows, labels)
    logits = model.decision_function(tested)
    if logits.ndim == 1:
        logits = np.stack([np.zeros_like(logits), logits], axis=1)
    return logits, model.predict_proba(tested), model.coef_


def level(logits: np.ndarray) -> np.ndarray:
    """Logits of zero mean a row: a constant on all of them changes nothing."""
    return logits - logits.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("twist", TWISTS, ids=lambda twist: twist.__name__)
def test_the_fit_is_scikit_learns(shape, twist):
    vectors, labels, train = problem(*shape, seed=3)
    rows = standardised(twist(vectors), train)
    coordinates = reduce(rows[train], rows[~train])
    for C in PENALTIES:
        model = fit(coordinates, labels[train], int(labels.max()) + 1, C)
        logits = decision(model, coordinates.test)
        expected, expected_probability, expected_coefficients = scikit_learn(
            rows[train], labels[train], rows[~train], C
        )

        largest = np.abs(level(expected)).max(axis=1, keepdims=True)
        near = NEAR * np.maximum(largest, np.median(largest))
        np.testing.assert_array_less(np.abs(level(logits) - level(expected)), np.broadcast_to(near, logits.shape))
        second, best = np.sort(expected, axis=1)[:, -2:].T
        decided = best - second > 2 * near[:, 0]
        np.testing.assert_array_equal(logits.argmax(axis=1)[decided], expected.argmax(axis=1)[decided])
        np.testing.assert_allclose(probabilities(logits), expected_probability, rtol=0, atol=NEAR)
        coefficients = weights_on_features(coordinates, rows[train], model.weights)[-len(expected_coefficients) :]
        near = NEAR * np.abs(expected_coefficients).max()
        np.testing.assert_allclose(coefficients, expected_coefficients, rtol=0, atol=near)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_tighter_tolerance_comes_nearer_by_as_much(shape):
    vectors, labels, train = problem(*shape, seed=4)
    rows = standardised(vectors, train)
    coordinates = reduce(rows[train], rows[~train])
    model = fit(coordinates, labels[train], int(labels.max()) + 1, C=1.0, tolerance=1e-9)
    expected, _, coefficients = scikit_learn(rows[train], labels[train], rows[~train], C=1.0)
    np.testing.assert_allclose(level(decision(model, coordinates.test)), level(expected), rtol=0, atol=1e-4)
    found = weights_on_features(coordinates, rows[train], model.weights)[-len(coefficients) :]
    np.testing.assert_allclose(found, coefficients, rtol=0, atol=2e-6)


def test_predictions_on_wide_rows_of_many_letters_are_the_same_to_the_last_one():
    vectors, labels, train = problem(240, 1024, 20, seed=0)
    rows = standardised(vectors, train)
    coordinates = reduce(rows[train], rows[~train])
    for C in (1e-3, 1e-2, 1e-1):
        predicted = decision(fit(coordinates, labels[train], 20, C), coordinates.test).argmax(axis=1)
        expected, _, _ = scikit_learn(rows[train], labels[train], rows[~train], C)
        np.testing.assert_array_equal(predicted, expected.argmax(axis=1))


@pytest.mark.parametrize("letters", [2, 5])
def test_where_a_fit_starts_does_not_change_where_it_ends(letters):
    coordinates, labels = reduced_problem(100, 200, letters, seed=5)
    cold = fit(coordinates, labels, letters, C=1.0, tolerance=1e-9)
    for start in (fit(coordinates, labels, letters, C=1e-3), fit(coordinates, (labels + 1) % letters, letters, C=1.0)):
        warm = fit(coordinates, labels, letters, C=1.0, start=start, tolerance=1e-9)
        expected, found = (level(decision(model, coordinates.test)) for model in (cold, warm))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_a_fit_that_starts_at_the_optimum_stays_there():
    coordinates, labels = reduced_problem(100, 200, 5, seed=5)
    model = fit(coordinates, labels, 5, C=0.1)
    again = fit(coordinates, labels, 5, C=0.1, start=model, tolerance=1e-5)
    assert again.evaluations == 1
    np.testing.assert_allclose(again.weights, model.weights)


@pytest.mark.parametrize(("C", "at_most"), [(1e-3, 0.4), (1e-2, 0.4), (1e-1, 0.6)])
def test_scaled_variables_save_most_of_the_evaluations(C, at_most):
    """Against L-BFGS on the features as they are, to gradients that leave the loss as near to its optimum."""
    vectors, labels, train = problem(200, 300, 10, seed=6)
    rows = standardised(vectors, train)
    coordinates = reduce(rows[train], rows[~train])
    model = fit(coordinates, labels[train], 10, C)
    unscaled = _loss_on_features(rows[train], labels[train], 10, C)
    reached = unscaled(
        np.column_stack([weights_on_features(coordinates, rows[train], model.weights), model.intercept]).ravel()
    )[0]
    losses = []

    def counted(flat: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = unscaled(flat)
        losses.append(loss)
        return loss, gradient

    minimize(
        counted, np.zeros(10 * 301), jac=True, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 0, "maxiter": 999}
    )
    evaluations = int(np.flatnonzero(np.array(losses) <= reached + 1e-10)[0]) + 1
    assert model.evaluations <= at_most * evaluations


def _loss_on_features(rows: np.ndarray, labels: np.ndarray, letters: int, C: float):
    """The objective of the module's docstring, restated on the rows themselves."""
    target = np.eye(letters)[labels]
    extended = np.column_stack([rows, np.ones(len(rows))])

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(letters, -1)
        probability = probabilities(extended @ weights.T)
        penalised = np.column_stack([weights[:, :-1], np.zeros(letters)])
        value = -np.log(probability[target == 1]).mean() + (penalised**2).sum() / (2 * C * len(rows))
        return value, ((probability - target).T @ extended / len(rows) + penalised / (C * len(rows))).ravel()

    return loss


def test_rows_that_say_nothing_leave_the_share_of_each_letter():
    labels = np.array([0, 1, 1, 2, 2, 2, 2, 2])
    coordinates = reduce(np.ones((8, 6)), np.ones((3, 6)))
    model = fit(coordinates, labels, 3, C=1.0)
    assert model.weights.shape == (3, 0)
    np.testing.assert_allclose(
        probabilities(decision(model, coordinates.test)), np.tile([1 / 8, 2 / 8, 5 / 8], (3, 1)), atol=1e-5
    )


def test_of_one_letter_alone_the_fit_is_certain():
    coordinates, labels = reduced_problem(20, 30, 2, seed=7)
    model = fit(coordinates, np.zeros_like(labels), 1, C=1.0)
    np.testing.assert_array_equal(probabilities(decision(model, coordinates.test)), 1)


def test_of_two_letters_the_first_has_logit_zero():
    coordinates, labels = reduced_problem(60, 100, 2, seed=8)
    model = fit(coordinates, labels, 2, C=1.0)
    assert not decision(model, coordinates.test)[:, 0].any()


def test_a_fit_that_stops_early_is_kept(monkeypatch):
    monkeypatch.setattr(logistic_regression, "stopped", [])
    coordinates, labels = reduced_problem(100, 30, 5, seed=9)
    fit(coordinates, labels, 5, C=1.0)
    assert not logistic_regression.stopped
    monkeypatch.setattr(logistic_regression, "MAX_EVALUATIONS", 5)
    model: Model = fit(coordinates, labels, 5, C=1.0)
    assert model.evaluations >= 5
    assert logistic_regression.stopped == [1.0]
