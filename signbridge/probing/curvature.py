"""Coordinates in which the Hessian of softmax probes is near the identity: few steps then lead to the minimum.

The Hessian is sum_i (diag(p_i) - p_i p_i') x z_i z_i' / n + 1 / (C n), with p_i the probabilities of row i: a square as
wide as classes times features. Two approximations of it, one on top of the other:

1. The same for all classes: W = W_0 + Y L^-1 with L L' = w G + 1 / (C n). G is the mean of z_i z_i', and w that of
   p (1 - p) over rows and classes. G depends on rows alone. One matrix serves all probes, every C and early stages; a
   factor is made for each. Late stages take a G in which each row counts by its own p (1 - p), and this factor alone.
2. Along the leading directions of G, where the data say most, the Hessian itself, from all pairs of classes. With few
   strong directions it takes about half the passes of the first alone.

Of several probes that share coordinates the mean probabilities count. Coordinates change the path, never the minimum.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import blas, lapack, solve_triangular

from signbridge.probing.softmax_loss import Point, SoftmaxLoss

LEADING = 64  # directions, where classes are few
FEATURES_EACH = 32  # features a direction: with more directions the Hessian costs more than the passes it saves
FEWEST_LEADING = 16
MOST_TOGETHER = 2048  # classes times directions: the Hessian on them is a square of so many rows
ROUNDS = 3  # of subspace iteration: rough directions do
SAME_WEIGHT = 0.3  # of the logarithms of two weights that one factor serves
_RIDGE = 1e-3  # on intercepts, which nothing else holds when all of them move


def leading_of(width: int, classes: int) -> int:
    """How many directions are leading ones."""
    return max(min(LEADING, max(width // FEATURES_EACH, FEWEST_LEADING), width, MOST_TOGETHER // classes - 1), 1)


def bytes_of(width: int, classes: int, groups: int) -> int:
    """What a Gram matrix and coordinates of so many groups of probes take."""
    together = classes * (leading_of(width, classes) + 1)
    return 4 * width**2 * (2 + groups) + 4 * (5 * width * LEADING * groups) + 8 * together**2 * (5 + groups)


class Gram:
    """Second moments of the rows that train any of `probes`, and their leading directions.

    With a `point` no directions are sought, and rows count by their p (1 - p) there: near the minimum of a weak penalty
    most rows are in no doubt and say nothing of the curvature.
    """

    def __init__(self, objective: SoftmaxLoss, probes: Int[np.ndarray, "some"], point: Point | None = None):
        """One pass over the rows."""
        self.matrix, self.weight = objective.second_moments(probes, point)  # lower triangle; mean of p (1 - p)
        self.directions: np.ndarray | None = None
        self._factors: dict[float, tuple[float, np.ndarray]] = {}  # by penalty: a weight, and its factor
        if point is not None:
            return
        width, classes = len(self.matrix), objective.free.shape[1]
        leading = leading_of(width, classes)
        self.directions = np.random.default_rng(0).standard_normal((width, leading)).astype(np.float32)
        for _ in range(ROUNDS):
            self.directions = np.linalg.qr(blas.ssymm(1.0, self.matrix, self.directions, lower=1))[0]

    def forget(self) -> None:
        """Free all factors."""
        self._factors = {}

    def factor(self, weight: float, penalty: float) -> tuple[Float[np.ndarray, "width width"], float]:
        """L of L L' = weight x matrix + penalty, with the penalty raised if float32 would lose it.

        The last one of this penalty serves again where its weight was much the same.
        """
        # Float32 rounds at eps times the largest eigenvalue, which the trace bounds.
        least = 16 * np.finfo(np.float32).eps * weight * float(np.trace(self.matrix))
        known, factor = self._factors.pop(penalty, (weight, None))
        if factor is None or abs(np.log(weight / known)) > SAME_WEIGHT:
            known, factor = weight, None  # the old one is freed first
            factor = self._factored(weight, max(penalty, least))
        self._factors[penalty] = known, factor
        return factor, max(penalty, least)

    def _factored(self, weight: float, penalty: float) -> Float[np.ndarray, "width width"]:
        while True:
            scaled = self.matrix * np.float32(weight)
            scaled[np.diag_indices(len(scaled))] += np.float32(penalty)
            factor, failed = lapack.spotrf(scaled, lower=1, overwrite_a=1)
            if not failed:
                return factor
            penalty *= 10


class Coordinates:
    """Steps from `start` in coordinates in which the Hessian of `probes` is near the identity there."""

    def __init__(self, objective: SoftmaxLoss, start: Point, probes: Int[np.ndarray, "some"], gram: Gram):
        """One pass over some of the rows, and two Cholesky factors."""
        self.start, self.probes = start, probes
        self.varies = objective.inverse_scale[probes] > 0  # a constant feature has no weight
        known = gram.directions is None
        hessian, weight = (None, gram.weight) if known else objective.hessian(start, probes, gram.directions)
        weight = max(weight, np.finfo(np.float32).eps)
        self.factor, penalty = gram.factor(weight, float(objective.penalty[probes].mean()))
        self.intercept_scale, self.of_classes = 1 / np.sqrt(weight), None
        if known:
            return
        # Whitened, the leading directions U span L' U = V T. A step V c moves W by U T^-1 c.
        self.leading, triangle = np.linalg.qr(blas.strmm(1.0, self.factor, gram.directions, lower=1, trans_a=1))
        self.of_classes = self._of_classes(hessian, triangle, penalty, objective.free[probes].all(axis=0))

    def _of_classes(
        self, hessian: np.ndarray, triangle: np.ndarray, penalty: float, free: np.ndarray
    ) -> Float[np.ndarray, "together together"]:
        """The Cholesky factor of the Hessian along V, and in the intercepts."""
        classes, size = hessian.shape[:2]
        inverse = np.zeros((size, size))
        inverse[:-1, :-1] = np.linalg.inv(triangle.astype(np.float64))
        inverse[-1, -1] = self.intercept_scale
        for number in range(classes):
            hessian[number, :-1, number, :-1] += penalty * np.eye(size - 1)
        hessian = np.einsum("kalb,bd->kald", hessian, inverse, optimize=True)
        hessian = np.einsum("ac,kald->kcld", inverse, hessian, optimize=True)
        for number in range(classes):
            hessian[number, -1, number, -1] += _RIDGE
        for number in np.flatnonzero(~free):  # no weight of theirs may move
            hessian[number] = hessian[:, :, number] = 0
            hessian[number, :, number] = np.eye(size)
        hessian, ridge = hessian.reshape(classes * size, -1), _RIDGE
        while True:
            try:
                return np.linalg.cholesky(hessian).astype(np.float32)
            except np.linalg.LinAlgError:  # float32 sums, where the penalty is too weak to hide it
                hessian[np.diag_indices(len(hessian))] += ridge
                ridge *= 10

    def place(self, flat: Float[np.ndarray, "some size"], into: Point) -> None:
        """Write the points that `flat` stands for, one a probe, into those of `probes`."""
        weights, intercept = self._couple(flat.reshape(*self.start.intercept[self.probes].shape, -1), trans=1)
        weights = self.start.weights[self.probes] + self._solve(weights, trans=1)
        into.weights[self.probes] = weights * self.varies
        into.intercept[self.probes] = self.start.intercept[self.probes] + self.intercept_scale * intercept

    def gradient(self, gradient: Point) -> Float[np.ndarray, "some size"]:
        """The gradient of `probes` on these coordinates."""
        on_weights = self._solve(gradient.weights[self.probes], trans=0)
        on_intercept = self.intercept_scale * gradient.intercept[self.probes, :, None]
        steps = self._couple(np.concatenate([on_weights, on_intercept], axis=2), trans=0)
        return np.concatenate([steps[0], steps[1][..., None]], axis=2).reshape(len(self.probes), -1)

    def _solve(self, weights: np.ndarray, trans: int) -> Float[np.ndarray, "some classes width"]:
        """Each row of weights times the inverse of the factor (`trans` 1) or of its transpose (0)."""
        columns = np.array(weights, np.float32).reshape(-1, weights.shape[-1]).T
        return blas.strsm(1.0, self.factor, columns, lower=1, trans_a=trans, overwrite_b=1).T.reshape(weights.shape)

    def _couple(self, steps: np.ndarray, trans: int) -> tuple[np.ndarray, np.ndarray]:
        """Steps on weights and on intercepts, those along V times the inverse of the classes' factor."""
        weights = steps[..., :-1].astype(np.float32)
        if self.of_classes is None:
            return weights, steps[..., -1]
        along = np.concatenate([weights @ self.leading, steps[..., -1:].astype(np.float32)], axis=2)
        moved = solve_triangular(self.of_classes, along.reshape(len(along), -1).T, lower=True, trans=trans)
        moved = moved.T.reshape(along.shape)
        weights += (moved - along)[..., :-1] @ self.leading.T
        return weights, moved[..., -1]
