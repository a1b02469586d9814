"""L-BFGS that asks for its gradients, so that several minimisations can share each pass over the data.

`minimum_near` is a generator: it yields a point and is sent the loss and the gradient there. Whoever drives several of
them evaluates all their points at once, and stops each when it has what it wants.

Liu and Nocedal 1989, "On the limited memory BFGS method for large scale optimization"; steps are accepted by the
approximate Wolfe conditions of Hager and Zhang 2005, "A new conjugate gradient method with guaranteed descent", which
judge by slopes where the loss has no digits left: float32 products lose them long before the minimum is reached.
"""

from collections import deque
from collections.abc import Generator

import numpy as np
from jaxtyping import Float

HISTORY = 10  # steps remembered; 30 and 80 took no fewer gradients on a whole dataset's activations (measured)
_SUFFICIENT, _CURVATURE = 0.1, 0.9  # delta and sigma of Hager and Zhang

Vector = Float[np.ndarray, "size"]
Pair = tuple[Vector, Vector, float]  # step, change of the gradient, and their product


def minimum_near(
    start: Vector, history: int = HISTORY, noise: float = np.finfo(np.float32).eps
) -> Generator[Vector, tuple[float, Vector], None]:
    """Yield points that lead to the minimum of a convex function, for ever; send `(loss, gradient)` of each.

    `history` is how many steps are remembered. `noise` is how far two losses may differ by rounding, as a share of the
    larger of the loss and 1. All vectors keep the precision of `start` if the gradients sent have it.
    """
    point = start
    loss, gradient = yield point
    pairs: deque[Pair] = deque(maxlen=history)
    while True:
        direction = -_times_inverse_hessian(pairs, gradient)
        slope = float(gradient @ direction)
        length = 1.0 if pairs else 1 / max(1.0, float(np.linalg.norm(gradient)))
        low, high = 0.0, np.inf
        while True:
            trial = point + length * direction
            trial_loss, trial_gradient = yield trial
            trial_slope = float(trial_gradient @ direction)
            descends = trial_loss <= loss + _SUFFICIENT * length * slope or (
                trial_slope <= (2 * _SUFFICIENT - 1) * slope and trial_loss <= loss + noise * max(1.0, loss)
            )
            if not descends:
                high = length
            elif trial_slope < _CURVATURE * slope:
                low = length
            else:
                break
            length = (low + high) / 2 if np.isfinite(high) else 2 * low
        step, change = trial - point, trial_gradient - gradient
        product = float(step @ change)
        if product > 0:  # not when rounding has taken the curvature, or at the minimum itself
            pairs.append((step, change, product))
        point, loss, gradient = trial, trial_loss, trial_gradient


def _times_inverse_hessian(pairs: deque[Pair], gradient: Vector) -> Vector:
    """The two-loop recursion: `gradient` times the inverse Hessian that `pairs` of step and gradient change suggest."""
    result = gradient.copy()
    shares = []
    for step, change, product in reversed(pairs):
        share = float(step @ result) / product
        result -= share * change
        shares.append(share)
    if pairs:
        _, change, product = pairs[-1]
        result *= product / float(change @ change)
    for (step, change, product), share in zip(pairs, reversed(shares), strict=True):
        result += (share - float(change @ result) / product) * step
    return result
