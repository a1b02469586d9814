"""The softmax loss of many probes as differences from where each starts, in variables that look alike to a minimiser.

The weights of a task are W = W_0 + V A with A (Z' D Z + P) A' = 1, where P is the penalty and D the curvature of the
loss along the training rows Z. At the start loss and gradient are known in float64. What V adds is computed from the
change of the logits, so that float32 rounds a share of the change. With A Z' D Z A' = 1 - A P A' the penalty needs no
product of its own.

D is (K - 1) / K^2 over n, its value at weights of zero, which bounds the Hessian (Boehning 1992, "Multinomial logistic
regression algorithm"), and A is then diagonal in coordinates along principal directions (`coordinates.py`). Or D is the
curvature where the task starts, the mean over the classes of p (1 - p) / n: dearer, and better near the optimum.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cholesky, solve_triangular
from scipy.special import softmax

from signbridge.probing.coordinates import Coordinates
from signbridge.probing.descent import Points

Weights = Float[np.ndarray, "_classes _rank_and_one"]  # the last column is the intercept; each task has its own shape
_INTERCEPT = 1e-9  # of the curvature at zero: keeps that of an intercept above zero


class Task(NamedTuple):
    """What to fit."""

    coordinates: Coordinates
    labels: Int[np.ndarray, "train"]  # 0 to `classes` - 1, each present
    classes: int
    C: float

    @property
    def penalty(self) -> float:
        """1 / (C n)."""
        return 1 / (self.C * len(self.labels))

    @property
    def curvature_at_zero(self) -> float:
        """Of the loss of one row; of one letter alone any will do."""
        return max(self.classes - 1, 1) / self.classes**2

    @property
    def low_rank(self) -> bool:
        """Whether many rows are alike, so that letters may tie."""
        rows, rank = self.coordinates.train.shape
        return 4 * rank < rows

    @property
    def size(self) -> int:
        """How many numbers its largest array has: coordinates, weights or logits."""
        rows, rank = self.coordinates.train.shape
        return max(rows * rank, self.classes * rank, self.classes * rows)


class Frame(NamedTuple):
    """The variables of one task in one round, and what is known where it starts, with V = 0."""

    rows: Float[np.ndarray, "_train _rank_and_one"]  # Z A', float32: logits change by V times these
    curvature: Float[np.ndarray, "_train"]  # D
    scale: Float[np.ndarray, "_rank_and_one"] | None  # A where it is diagonal
    factor: Float[np.ndarray, "_rank_and_one _rank_and_one"] | None  # the inverse of A, lower triangular, elsewhere
    chances: Float[np.ndarray, "_classes _train"]
    gradient: Weights  # with respect to V

    def step(self, moved: Weights) -> Weights:
        """The change of the weights that V stands for."""
        if self.factor is None:
            return moved * self.scale
        return solve_triangular(self.factor, moved.T, lower=True, trans="T", check_finite=False).T


def frames_of(tasks: Sequence[Task], weights: Sequence[Weights], adapted: Sequence[bool]) -> list[Frame]:
    """The variables of each task, from the curvature where it starts if `adapted`.

    Otherwise tasks that differ in their labels alone share them.
    """
    shared: dict[tuple[int, float, int], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    frames = []
    for task, at, adapt in zip(tasks, weights, adapted, strict=True):
        count, rank = task.coordinates.train.shape
        penalty, bound = task.penalty, task.curvature_at_zero / count
        extended = np.column_stack([task.coordinates.train, np.ones(count)])
        chances = softmax(at @ extended.T, axis=0)
        error = chances / count
        error[task.labels, np.arange(count)] -= 1 / count
        gradient = error @ extended
        gradient[:, :rank] += penalty * at[:, :rank]
        if task.classes == 2:
            gradient[0] = 0
        if adapt:
            curvature = (chances * (1 - chances)).mean(axis=0) / count
            hessian = (extended * curvature[:, None]).T @ extended
            hessian[np.diag_indices(rank)] += penalty
            hessian[rank, rank] += _INTERCEPT * bound * count
            factor = cholesky(hessian, lower=True, overwrite_a=True, check_finite=False)
            rows, gradient = (
                solve_triangular(factor, part.T, lower=True, check_finite=False).T for part in (extended, gradient)
            )
            frames.append(Frame(rows.astype(np.float32), curvature, None, factor, chances, gradient))
            continue
        key = (id(task.coordinates), penalty, task.classes)
        if key not in shared:
            scale = 1 / np.sqrt(np.append(bound * task.coordinates.spread + penalty, bound * count))
            shared[key] = (extended * scale).astype(np.float32), np.full(count, bound), scale
        rows, curvature, scale = shared[key]
        frames.append(Frame(rows, curvature, scale, None, chances, gradient * scale))
    return frames


class RelativeLoss:
    """Loss and gradient of many tasks, each less what it has at the start of the round; padded with zeros."""

    def __init__(self, tasks: Sequence[Task], frames: Sequence[Frame]):
        classes = max(len(frame.chances) for frame in frames)
        count, self.width = np.max([frame.rows.shape for frame in frames], axis=0)
        self.chances = np.zeros((len(frames), classes, count), np.float32)
        self.curvature = np.zeros((len(frames), 1, count), np.float32)
        self.gradient = np.zeros((len(frames), classes, self.width), np.float32)
        self.counts = np.array([[[len(frame.rows)]] for frame in frames], np.float32)
        self.binary = np.array([task.classes == 2 for task in tasks])
        for number, frame in enumerate(frames):
            rows, rank = frame.rows.shape
            self.chances[number, : len(frame.chances), :rows] = frame.chances / rows
            self.curvature[number, 0, :rows] = frame.curvature
            self.gradient[number, : len(frame.chances), :rank] = frame.gradient
        padded: dict[int, np.ndarray] = {}
        for frame in frames:
            if id(frame.rows) not in padded:
                rows, rank = frame.rows.shape
                padded[id(frame.rows)] = np.zeros((count, self.width), np.float32)
                padded[id(frame.rows)][:rows, :rank] = frame.rows
        self.rows = [padded[id(frame.rows)] for frame in frames]
        self.shape = self.gradient.shape
        self.narrowed = np.arange(len(frames))
        self.runs = self._runs()
        self.buffers: np.ndarray | None = None

    def __call__(self, flat: Points, which: Int[np.ndarray, "functions"]) -> tuple[np.ndarray, Points]:
        """Loss and gradient of the tasks with the numbers `which`, which is never more than before."""
        if len(which) < len(self.narrowed):
            self._narrow(np.isin(self.narrowed, which))
        if len(which) == 1:
            loss, gradient = self._of_one(flat.reshape(-1, self.width))
            return loss, gradient.reshape(flat.shape)
        moved = flat.reshape(len(which), -1, self.width)
        change = np.empty(self.chances.shape, np.float32)  # of the logits
        for first, last in self.runs:
            into = change[first:last].reshape(-1, change.shape[2])
            np.matmul(moved[first:last].reshape(-1, self.width), self.rows[first].T, out=into)
        # Less its mean, exp(change) is 1 or more on average, so that nothing cancels.
        centred = change - self.counts * (self.chances * change).sum(axis=1, keepdims=True)
        growth = np.expm1(centred, out=centred)
        total = self.counts * (self.chances * growth).sum(axis=1, keepdims=True)
        loss = np.log1p(total[:, 0]).sum(axis=1, dtype=float) / self.counts[:, 0, 0]
        growth -= total
        growth *= self.chances
        growth /= 1 + total
        curved = change * self.curvature
        loss -= np.vecdot(change.reshape(len(which), -1), curved.reshape(len(which), -1)) / 2
        growth -= curved
        gradient = np.empty_like(moved)
        for first, last in self.runs:
            into = gradient[first:last].reshape(-1, self.width)
            np.matmul(growth[first:last].reshape(-1, change.shape[2]), self.rows[first], out=into)
        gradient += moved
        gradient += self.gradient
        if self.binary.any():
            gradient[self.binary, 0] = 0
        loss += np.vecdot(flat, self.gradient.reshape(flat.shape)) + np.vecdot(flat, flat) / 2
        return loss, gradient.reshape(flat.shape)

    def _of_one(
        self, moved: Float[np.ndarray, "classes width"]
    ) -> tuple[np.ndarray, Float[np.ndarray, "classes width"]]:
        """The same of one task, to the bit: calls cost as much as the arithmetic, so there are as few as can be."""
        chances, curvature, count, rows = self.chances[0], self.curvature[0], self.counts[0], self.rows[0]
        if self.buffers is None or self.buffers[0].shape != chances.shape:
            self.buffers = np.empty((3, *chances.shape), np.float32)
        change, growth, spare = self.buffers
        np.matmul(moved, rows.T, out=change)
        np.multiply(chances, change, out=spare)
        mean = np.add.reduce(spare, axis=0, keepdims=True)
        mean *= count
        np.subtract(change, mean, out=growth)
        np.expm1(growth, out=growth)
        np.multiply(chances, growth, out=spare)
        total = np.add.reduce(spare, axis=0, keepdims=True)
        total *= count
        loss = np.add.reduce(np.log1p(total), axis=1, dtype=float) / self.counts[0, 0]
        growth -= total
        growth *= chances
        total += 1
        growth /= total
        np.multiply(change, curvature, out=spare)
        loss -= np.vdot(change, spare) / np.float32(2)
        growth -= spare
        gradient = growth @ rows
        gradient += moved
        gradient += self.gradient[0]
        if self.binary[0]:
            gradient[0] = 0
        loss += np.vdot(moved, self.gradient[0]) + np.vdot(moved, moved) / np.float32(2)
        return loss, gradient

    def _runs(self) -> list[tuple[int, int]]:
        """Tasks that follow each other and share their rows: one product serves them."""
        ends = [number for number in range(1, len(self.rows)) if self.rows[number] is not self.rows[number - 1]]
        return list(zip([0, *ends], [*ends, len(self.rows)], strict=True))

    def _narrow(self, these: np.ndarray) -> None:
        """Leave out the tasks that are done."""
        for name in ("chances", "curvature", "gradient", "counts", "binary", "narrowed"):
            setattr(self, name, getattr(self, name)[these])
        self.rows = [rows for rows, stays in zip(self.rows, these, strict=True) if stays]
        self.runs = self._runs()
