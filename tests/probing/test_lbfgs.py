"""The minimiser that is driven from outside: it gets there, alone or beside others, and where losses have no digits."""

import numpy as np
import pytest
from scipy.optimize import minimize

from signbridge.probing.descent import minimum_near

SIZE = 30


def quadratic(condition: float):
    """Loss and gradient of a convex quadratic, and where its minimum is."""
    generator = np.random.default_rng(0)
    axes, _ = np.linalg.qr(generator.normal(size=(SIZE, SIZE)))
    hessian = axes * np.logspace(0, np.log10(condition), SIZE) @ axes.T
    minimum = generator.normal(size=SIZE)
    return lambda x: (float((x - minimum) @ hessian @ (x - minimum)) / 2, hessian @ (x - minimum)), minimum


def logistic(x: np.ndarray) -> tuple[float, np.ndarray]:
    """A loss that is flat far out, as a probe's is."""
    rows = np.random.default_rng(1).normal(size=(100, SIZE))
    margins = rows @ x
    return float(np.logaddexp(0, -margins).mean() + 1e-3 * x @ x), -rows.T @ (
        1 / (1 + np.exp(margins))
    ) / 100 + 2e-3 * x


def drive(function, start: np.ndarray, evaluations: int) -> np.ndarray:
    """The point with the smallest gradient of those asked for."""
    walk = minimum_near(start)
    point, best, least = next(walk), start, np.inf
    for _ in range(evaluations):
        loss, gradient = function(point)
        if np.linalg.norm(gradient) < least:
            best, least = point, np.linalg.norm(gradient)
        point = walk.send((loss, gradient))
    return best


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4])
def test_the_minimum_of_a_quadratic_is_found_whatever_its_scale(condition, scale):
    function, minimum = quadratic(condition)
    found = drive(lambda x: tuple(scale * part for part in function(x)), np.zeros(SIZE), 800)
    np.testing.assert_allclose(found, minimum, atol=1e-4)


def test_a_loss_that_is_flat_far_out_is_minimised_as_scipy_does():
    expected = minimize(logistic, np.zeros(SIZE), jac=True, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 0}).x
    np.testing.assert_allclose(drive(logistic, np.full(SIZE, 10.0), 200), expected, atol=1e-4)


def test_rounding_of_the_loss_does_not_stop_the_descent_of_the_gradient():
    function, minimum = quadratic(1e2)

    def rounded(x):
        loss, gradient = function(x)
        return float(np.float32(1 + 1e-3 * loss)), 1e-3 * gradient

    np.testing.assert_allclose(drive(rounded, np.zeros(SIZE), 300), minimum, atol=1e-5)


def test_a_start_at_the_minimum_stays_there():
    function, minimum = quadratic(1e2)
    np.testing.assert_array_equal(drive(function, minimum, 1), minimum)
