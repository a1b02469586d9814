"""Minimise many convex functions at once: L-BFGS with one array operation for all of them.

Small fits cost more in calls than in arithmetic. Here each call serves every function that is not done yet. Each of
them walks as it would alone: it has a line search and a memory of its own.

Liu and Nocedal 1989, "On the limited memory BFGS method for large scale optimization"; the two loops run on inner
products, so that a step reads the remembered vectors twice: Chen, Wang and Zhou 2014, "Large-scale L-BFGS using
MapReduce". Steps are accepted by the approximate Wolfe conditions of Hager and Zhang 2005, "A new conjugate gradient
method with guaranteed descent", which compare slopes where float32 losses have no digits left.
"""

from collections import deque
from collections.abc import Callable, Generator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

SUFFICIENT, CURVATURE = 0.1, 0.9  # delta and sigma of Hager and Zhang
PATIENCE = 30  # evaluations without a smaller gradient than any before: float32 has no more to say
HISTORY = 5  # steps remembered; in variables that look alike more have little to say
Points = Float[np.ndarray, "functions size"]
# Loss, up to a constant of each function, and gradient of the functions with these numbers at these points.
Objective = Callable[[Points, Int[np.ndarray, "functions"]], tuple[Float[np.ndarray, "functions"], Points]]


VECTOR_PAIRS = 10  # steps remembered; 30 and 80 took no fewer gradients on a whole dataset's activations (measured)

Vector = Float[np.ndarray, "size"]
# Step, change of the gradient, their product, and that over the square of the change.
Pair = tuple[Vector, Vector, float, float]


def minimum_near(
    start: Vector, history: int = VECTOR_PAIRS, noise: float = np.finfo(np.float32).eps
) -> Generator[Vector, tuple[float, Vector], None]:
    """Yield points that lead to the minimum of a convex function, for ever; send `(loss, gradient)` of each.

    `history` is how many steps are remembered. `noise` is how far two losses may differ by rounding, as a share of the
    larger of the loss and 1. All vectors keep the precision of `start` if the gradients sent have it.
    """
    point = start
    loss, gradient = yield point
    pairs: deque[Pair] = deque(maxlen=history)
    while True:
        direction = _times_inverse_hessian(pairs, gradient)
        np.negative(direction, out=direction)
        slope = float(gradient @ direction)
        length = 1.0 if pairs else 1 / max(1.0, float(np.linalg.norm(gradient)))
        low, high = 0.0, np.inf
        while True:
            trial = point + (direction if length == 1 else length * direction)
            trial_loss, trial_gradient = yield trial
            trial_slope = float(trial_gradient @ direction)
            descends = trial_loss <= loss + SUFFICIENT * length * slope or (
                trial_slope <= (2 * SUFFICIENT - 1) * slope and trial_loss <= loss + noise * max(1.0, loss)
            )
            if not descends:
                high = length
            elif trial_slope < CURVATURE * slope:
                low = length
            else:
                break
            length = (low + high) / 2 if high < np.inf else 2 * low
        step, change = trial - point, trial_gradient - gradient
        product = float(step @ change)
        if product > 0:  # not when rounding has taken the curvature, or at the minimum itself
            pairs.append((step, change, product, product / float(change @ change)))
        point, loss, gradient = trial, trial_loss, trial_gradient


def _times_inverse_hessian(pairs: deque[Pair], gradient: Vector) -> Vector:
    """The two-loop recursion: `gradient` times the inverse Hessian that `pairs` of step and gradient change suggest."""
    result = gradient.copy()
    moved = np.empty_like(result)
    shares = []
    for step, change, product, _ in reversed(pairs):
        share = float(step @ result) / product
        np.multiply(change, share, out=moved)
        result -= moved
        shares.append(share)
    if pairs:
        result *= pairs[-1][3]
    for step, change, product, _ in pairs:
        np.multiply(step, shares.pop() - float(change @ result) / product, out=moved)
        result += moved
    return result


class Found(NamedTuple):
    """Where each function was left."""

    points: Points
    evaluations: Int[np.ndarray, "all"]
    done: np.ndarray  # whether no entry of the gradient is above the tolerance


def descend(
    objective: Objective, count: int, size: int, tolerance: Float[np.ndarray, "all"], most: int, history: int = HISTORY
) -> Found:
    """Minimise `count` functions of `size` variables from zero, in float32.

    A function is left where no entry of its gradient is above its tolerance, after `most` evaluations, or where
    rounding lets the gradient shrink no further.
    """
    if count == 1:
        return _alone(objective, size, float(tolerance[0]), most, history)
    found = Found(np.zeros((count, size), np.float32), np.full(count, most), np.zeros(count, dtype=bool))
    walks, which, point = None, np.arange(count), found.points.copy()
    least, best = np.full(count, np.inf), np.zeros(count, dtype=int)
    for evaluation in range(1, most + 1):
        loss, gradient = objective(point, which)
        if walks is None:
            walks = _Walks(point, loss, gradient, history)
        else:
            walks.judge(point, loss, gradient)
        largest = np.maximum(gradient.max(axis=1), -gradient.min(axis=1))
        better = which[largest < least[which]]
        best[better] = evaluation
        least[which] = np.fmin(largest, least[which])
        arrived = largest <= tolerance[which]
        ends = arrived | (evaluation == np.minimum(most, best[which] + PATIENCE))
        if ends.any():
            found.points[which[ends]] = point[ends]
            found.done[which[arrived]] = True
            found.evaluations[which[ends]] = evaluation
            which = which[~ends]
            walks.keep(~ends)
        if not len(which):
            break
        point = walks.trial()
    return found


def _alone(objective: Objective, size: int, tolerance: float, most: int, history: int) -> Found:
    """`descend` of one function."""
    walk = minimum_near(np.zeros(size, np.float32), history)
    point, which, least, best = next(walk), np.zeros(1, dtype=int), np.inf, 0
    for evaluation in range(1, most + 1):
        loss, gradient = objective(point[None], which)
        largest = np.maximum.reduce(np.abs(gradient), axis=None, initial=0)
        if largest < least:
            least, best = largest, evaluation
        if largest <= tolerance or evaluation == min(most, best + PATIENCE):
            break
        point = walk.send((float(loss[0]), gradient[0]))
    return Found(point[None], np.array([evaluation]), np.array([largest <= tolerance]))


class _Walks:
    """The state of every walk. `memory` holds steps, changes of the gradient, and last the gradient itself."""

    def __init__(self, point: Points, loss: Float[np.ndarray, "functions"], gradient: Points, history: int):
        count, size = point.shape
        self.history = history
        self.memory = np.zeros((count, 2 * history + 1, size), point.dtype)
        self.products = np.zeros((count, 2 * history + 1, 2 * history + 1))  # of `memory` with itself
        self.newest = np.full(count, -1)  # its place; -1 before the first
        self.point, self.loss = point, loss
        self.direction = np.empty_like(point)
        self.slope, self.length, self.low, self.high = np.empty((4, count))
        self.memory[:, -1] = gradient
        self.products[:, -1, -1] = np.vecdot(gradient, gradient)
        self._aim(np.ones(count, dtype=bool))

    def keep(self, these: np.ndarray) -> None:
        """Forget the other walks."""
        for name, array in vars(self).items():
            if isinstance(array, np.ndarray):
                setattr(self, name, array[these])

    def trial(self) -> Points:
        """The next point of each walk."""
        return self.point + self.length[:, None].astype(self.point.dtype) * self.direction

    def judge(self, trial: Points, loss: Float[np.ndarray, "functions"], gradient: Points) -> None:
        """Go to the trial point, or look for a better one along the same line."""
        slope = np.vecdot(gradient, self.direction).astype(float)
        noise = np.finfo(trial.dtype).eps * np.maximum(1.0, np.abs(self.loss))
        descends = (loss <= self.loss + SUFFICIENT * self.length * self.slope) | (
            (slope <= (2 * SUFFICIENT - 1) * self.slope) & (loss <= self.loss + noise)
        )
        steep = slope < CURVATURE * self.slope
        self.high = np.where(descends, self.high, self.length)
        self.low = np.where(descends & steep, self.length, self.low)
        accepted = descends & ~steep
        self.length = np.where(np.isfinite(self.high), (self.low + self.high) / 2, 2 * self.low)
        if accepted.all():
            self._learn(accepted, trial - self.point, gradient)
            self.point, self.loss = trial, loss
            self._aim(accepted)
        elif accepted.any():
            self._learn(accepted, trial[accepted] - self.point[accepted], gradient[accepted])
            self.point[accepted], self.loss[accepted] = trial[accepted], loss[accepted]
            self._aim(accepted)

    def _learn(self, accepted: np.ndarray, step: Points, gradient: Points) -> None:
        """Remember a step and the change of the gradient, unless rounding has taken the curvature."""
        every = accepted.all()
        memory = self.memory if every else self.memory[accepted]
        walks = np.flatnonzero(accepted)
        change = gradient - memory[:, -1]
        curved = np.vecdot(step, change) > 0
        place = np.where(curved, (self.newest[walks] + 1) % self.history, self.newest[walks])
        self.newest[walks] = place
        rows = np.arange(len(walks))
        if not curved.all():  # what is written over is what stands there
            step = np.where(curved[:, None], step, memory[rows, place])
            change = np.where(curved[:, None], change, memory[rows, self.history + place])
        memory[rows, place] = step
        memory[rows, self.history + place] = change
        memory[:, -1] = gradient
        new = [np.matmul(memory, vector[:, :, None])[:, :, 0] for vector in (step, change, gradient)]
        products = self.products if every else self.products[accepted]
        for at, product in zip((place, self.history + place, np.full_like(place, -1)), new, strict=True):
            products[rows, at] = products[rows, :, at] = product
        if not every:
            self.memory[accepted], self.products[accepted] = memory, products

    def _aim(self, these: np.ndarray) -> None:
        """A new direction: the gradient times the inverse Hessian that the remembered pairs suggest."""
        walks = np.flatnonzero(these)
        rows = np.arange(len(walks))
        products = self.products if len(walks) == len(these) else self.products[walks]
        newest = self.newest[walks]
        share = np.zeros((len(walks), 2 * self.history + 1))  # of each remembered vector in the result
        share[:, -1] = 1
        places = [(newest - age) % self.history for age in range(self.history)]
        curvatures = [products[rows, place, self.history + place] for place in places]
        taken = []
        for place, curvature in zip(places, curvatures, strict=True):
            along = np.vecdot(share, products[rows, place])
            taken.append(np.divide(along, curvature, out=np.zeros_like(along), where=curvature > 0))
            share[rows, self.history + place] -= taken[-1]
        change = self.history + places[0]
        squared = products[rows, change, change]
        share *= np.divide(curvatures[0], squared, out=np.ones_like(squared), where=squared > 0)[:, None]
        for place, curvature, part in zip(places[::-1], curvatures[::-1], taken[::-1], strict=True):
            along = np.vecdot(share, products[rows, self.history + place])
            back = np.divide(along, curvature, out=np.zeros_like(along), where=curvature > 0)
            share[rows, place] += part - back
        memory = self.memory if len(walks) == len(these) else self.memory[walks]
        self.direction[walks] = -np.matmul(share[:, None].astype(memory.dtype), memory)[:, 0]
        self.slope[walks] = -np.vecdot(share, products[:, -1])
        steepest = np.sqrt(products[rows, -1, -1])
        self.length[walks] = np.where(newest >= 0, 1.0, 1 / np.maximum(1.0, steepest))
        self.low[walks], self.high[walks] = 0.0, np.inf
