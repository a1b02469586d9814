"""Multinomial logistic regression with an L2 penalty: scikit-learn's, at a fraction of the cost.

minimise  mean_i(-log softmax(W z_i + b)[y_i]) + |W|^2 / (2 C n),  b unpenalised.

scikit-learn stops at a gradient of 1e-4, which is far from the optimum when features outnumber rows: some ten
iterations of several hundred, and up to one prediction in fifteen differs between the two (measured, 240 x 4096). So
the same model means the same path: L-BFGS from zero with scikit-learn's settings, on coordinates that keep inner
products (`reduction.py`). L-BFGS uses nothing but inner products, so its iterates are scikit-learn's in another
frame; only the stopping rule, the largest entry of the gradient, depends on the frame and is evaluated on the
features (Liu and Nocedal 1989, "On the limited memory BFGS method for large scale optimization").

What is guaranteed: iterates and iteration count are those of `LogisticRegression` on the same rows in float64, up to
rounding. L-BFGS amplifies rounding as it goes: measured on 240 x 4096 activations (10 to 70 iterations) logits differ
by 1e-13 to 1e-9 and every prediction is the same; past a hundred iterations on ill-conditioned rows they may differ by
1e-1, as much as scikit-learn's own do when its rows or columns are reordered. Letters nearer to each other than that
are told apart by rounding, there as here. On float32 rows scikit-learn rounds at 1e-5 itself, and one prediction
in several hundred may differ from its own in float64.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import OptimizeResult, minimize
from scipy.special import softmax

from signbridge.probing.reduction import Features, Reduced

TOLERANCE = 1e-4  # scikit-learn's default for the largest entry of the gradient
MAX_ITERATIONS = 1000
_log = logging.getLogger(__name__)
_SOME_FEATURES = slice(0, 512)  # looked at first: most iterates are seen not to have converged by these


class Model(NamedTuple):
    """A fitted regression, in the coordinates it was fitted in."""

    weights: Float[np.ndarray, "classes rank"]
    intercept: Float[np.ndarray, "classes"]
    iterations: int


def fit(
    reduced: Reduced,
    labels: Int[np.ndarray, "train"],
    classes: int,
    C: float,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
) -> Model:
    """Fit `labels` (0 to `classes` - 1, each present) on the training rows.

    `reduced` does not depend on labels or `C`: share it over both. Of two classes the second alone has weights, as in
    scikit-learn.
    """
    objective = _objective(reduced.train, labels, classes, penalty=1 / (C * len(labels)))
    free = 1 if classes == 2 else classes
    start = np.zeros(free * (reduced.train.shape[1] + 1))
    last_gradient = objective(start)[1]
    if _converged(last_gradient, free, reduced.features, tolerance):
        return _model(start, free, classes, 0)

    def keep_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal last_gradient
        loss, last_gradient = objective(flat)
        return loss, last_gradient

    def stop_when_converged(intermediate_result: OptimizeResult) -> None:  # scipy looks at the argument's name
        if _converged(last_gradient, free, reduced.features, tolerance):
            raise StopIteration

    result = minimize(
        keep_gradient,
        start,
        jac=True,
        method="L-BFGS-B",
        callback=stop_when_converged,
        # scikit-learn's, but for the gradient, which the callback judges.
        options={"maxiter": max_iterations, "maxls": 50, "gtol": 0.0, "ftol": 64 * np.finfo(float).eps},
    )
    if result.nit >= max_iterations:
        _log.warning("A probe stopped after %d iterations (C=%g); a smaller C converges sooner.", result.nit, C)
    return _model(result.x, free, classes, result.nit)


def decision(model: Model, rows: Float[np.ndarray, "rows rank"]) -> Float[np.ndarray, "rows classes"]:
    """The logits of each row."""
    return rows @ model.weights.T + model.intercept


def probabilities(
    logits: Float[np.ndarray, "rows classes"],
) -> Float[np.ndarray, "rows classes"]:
    """The softmax of each row."""
    return softmax(logits, axis=1)


def _objective(
    rows: Float[np.ndarray, "train rank"], labels: Int[np.ndarray, "train"], classes: int, penalty: float
) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Loss and gradient as a function of weights and intercepts of the free classes, flat."""
    count, rank = rows.shape
    free = slice(1, None) if classes == 2 else slice(None)
    target = np.zeros((classes, count))
    target[labels, np.arange(count)] = 1
    logits = np.zeros((classes, count))

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, intercept = _unflatten(flat, rank)
        if classes == 2:
            logits[0] = 0
        np.matmul(weights, rows.T, out=logits[free])
        logits[free] += intercept[:, None]
        np.subtract(logits, logits.max(axis=0), out=logits)
        loss = -np.vdot(logits, target)
        error = np.exp(logits)
        total = error.sum(axis=0)
        loss += np.log(total).sum()
        error /= total
        error -= target
        error /= count
        gradient = np.empty_like(flat)
        on_weights, on_intercept = _unflatten(gradient, rank)
        np.matmul(error[free], rows, out=on_weights)
        on_weights += penalty * weights
        on_intercept[:] = error[free].sum(axis=1)
        return loss / count + penalty / 2 * np.vdot(weights, weights), gradient

    return objective


def _unflatten(flat: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Views of the weights (free x rank) and of the intercepts in one flat vector."""
    free = len(flat) // (rank + 1)
    return flat[: free * rank].reshape(free, rank), flat[free * rank :]


def _model(flat: np.ndarray, free: int, classes: int, iterations: int) -> Model:
    weights, intercept = _unflatten(flat, len(flat) // free - 1)
    fixed = classes - free
    return Model(np.pad(weights, ((fixed, 0), (0, 0))), np.pad(intercept, (fixed, 0)), iterations)


def _converged(gradient: np.ndarray, free: int, features: Features, tolerance: float) -> bool:
    """Whether no entry of the gradient, taken to the standardised features, exceeds `tolerance`."""
    on_weights, on_intercept = _unflatten(gradient, len(gradient) // free - 1)
    if np.abs(on_intercept).max() > tolerance:
        return False
    # The 2-norm is the same in both frames, and the largest of m entries is at least the norm / sqrt(m).
    entries = free * features.standardised.shape[1]
    if np.vdot(on_weights, on_weights) > tolerance**2 * entries:
        return False
    return all(
        np.abs(features.weights(on_weights, some)).max(initial=0) <= tolerance for some in (_SOME_FEATURES, slice(None))
    )
