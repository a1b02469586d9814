"""Coordinates in which the Hessian of softmax probes is near the identity: few steps then lead to the minimum.

The Hessian is sum_i (diag(p_i) - p_i p_i') x z_i z_i' / n + 1 / (C n), with p_i the probabilities of row i: a square as
wide as classes times features. Two approximations of it, one on top of the other:

1. The same for all classes: w G + 1 / (C n). G is the mean of z_i z_i', and w that of p (1 - p) over rows and classes.
   Early stages take the `DIRECTIONS` strongest eigenvectors of G, and the mean of its other eigenvalues for the rest.
   They depend on rows alone and serve all probes and every C. Late stages take a G in which each row counts by its own
   p (1 - p), the whole of it, and this approximation alone. (In early stages a Cholesky factor of the whole G took
   longer than the few passes it saved, measured on 4,096 features; in late ones 146 passes were 205 without it.)
2. Along the leading eigenvectors, where the data say most, the Hessian itself, from all pairs of classes. With few
   strong directions it takes about half the passes of the first alone.

Of several probes that share coordinates the mean probabilities count. Coordinates change the path, never the minimum.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import blas, lapack, solve_triangular

from signbridge.probing.softmax_loss import Point, SoftmaxLoss

DIRECTIONS = 256  # eigenvectors of G
LEADING = 64  # of them, along which pairs of classes count, where classes are few
FEATURES_EACH = 32  # features a leading one: with more the Hessian costs more than the passes it saves
FEWEST_LEADING = 16
MOST_TOGETHER = 2048  # classes times leading ones: the Hessian on them is a square of so many rows
ROUNDS = 3  # of subspace iteration: rough directions do
_RIDGE = 1e-3  # on intercepts, which nothing else holds when all of them move


def leading_of(width: int, classes: int) -> int:
    """How many directions are leading ones."""
    return max(min(LEADING, max(width // FEATURES_EACH, FEWEST_LEADING), width, MOST_TOGETHER // classes - 1), 1)


def bytes_of(width: int, classes: int, groups: int) -> int:
    """What a Gram matrix and coordinates of so many groups of probes take."""
    together, directions = classes * (leading_of(width, classes) + 1), min(DIRECTIONS, width)
    return 4 * width**2 * (2 + groups) + 4 * width * directions * 4 + 8 * together**2 * (5 + groups)


class Gram:
    """The mean of z_i z_i' over rows that train any of `probes`: its strongest eigenvectors, or all of it.

    With a `point` it is whole, and rows count by their p (1 - p) there: near the minimum of a weak penalty most rows
    are in no doubt and say nothing of the curvature. Then no pair of classes counts.
    """

    def __init__(self, objective: SoftmaxLoss, probes: Int[np.ndarray, "some"], point: Point | None = None):
        """One pass over some of the rows."""
        matrix, self.weight = objective.second_moments(probes, point)  # lower triangle; mean of p (1 - p)
        width, classes = len(matrix), objective.free.shape[1]
        self.trace = float(np.trace(matrix, dtype=np.float64))
        self.whole = None if point is None else matrix
        if self.whole is not None:
            return
        found = np.random.default_rng(0).standard_normal((width, min(DIRECTIONS, width))).astype(np.float32)
        for _ in range(ROUNDS):
            found = np.linalg.qr(blas.ssymm(1.0, matrix, found, lower=1))[0]
        values, turned = np.linalg.eigh(found.T @ blas.ssymm(1.0, matrix, found, lower=1))
        self.values = np.maximum(values[::-1], 0.0).astype(np.float64)
        self.directions = found @ turned[:, ::-1]
        self.rest = max(self.trace - self.values.sum(), 0.0) / max(width - len(values), 1)  # mean of the others
        self.leading = leading_of(width, classes)
        self._of_classes: tuple[np.ndarray, float] | None = None  # found last

    def of_classes(
        self, objective: SoftmaxLoss, start: Point, probes: Int[np.ndarray, "some"], anew: bool
    ) -> tuple[np.ndarray | None, float]:
        """The Hessian along the leading directions at `start` and the mean of p (1 - p), or those of the last start.

        No Hessian where all weights are 0: pairs of classes are alike.
        """
        if not start.weights[probes].any():
            classes = (objective.absent[probes] == 0).sum(axis=1).mean()
            return None, float((classes - 1) / classes**2)
        if anew or self._of_classes is None:
            self._of_classes = None  # freed first
            self._of_classes = objective.hessian(start, probes, self.directions[:, : self.leading])
        return self._of_classes

    def factor(self, weight: float, penalty: float) -> Float[np.ndarray, "width width"]:
        """L of L L' = weight x the whole + penalty."""
        while True:
            scaled = self.whole * np.float32(weight)
            scaled[np.diag_indices(len(scaled))] += np.float32(penalty)
            factor, failed = lapack.spotrf(scaled, lower=1, overwrite_a=1)
            if not failed:
                return factor
            penalty *= 10


class Coordinates:
    """Steps from `start` in coordinates in which the Hessian of `probes` is near the identity there."""

    def __init__(
        self, objective: SoftmaxLoss, start: Point, probes: Int[np.ndarray, "some"], gram: Gram, anew: bool = True
    ):
        """One pass over some of the rows, unless the Hessian need not be made `anew`."""
        self.start, self.probes = start, probes
        self.varies = objective.inverse_scale[probes] > 0  # a constant feature has no weight
        hessian, weight = None, gram.weight
        if gram.whole is None:
            hessian, weight = gram.of_classes(objective, start, probes, anew)
        weight = max(weight, np.finfo(np.float32).eps)
        # Float32 rounds at eps times the largest eigenvalue, which the trace bounds.
        least = 16 * np.finfo(np.float32).eps * weight * gram.trace
        penalty = max(float(objective.penalty[probes].mean()), least)
        self.intercept_scale, self.of_classes, self.factor = 1 / np.sqrt(weight), None, None
        if gram.whole is not None:
            self.factor = gram.factor(weight, penalty)
            return
        scales = 1 / np.sqrt(weight * gram.values + penalty)
        self.directions, self.rest = gram.directions, np.float32(1 / np.sqrt(weight * gram.rest + penalty))
        self.beyond = (scales - self.rest).astype(np.float32)  # the scale along each direction, less that of the rest
        if hessian is None:
            return
        self.leading = gram.directions[:, : gram.leading]
        scale = np.append(scales[: gram.leading], self.intercept_scale)
        self.of_classes = self._of_classes(hessian, scale, penalty, objective.free[probes].all(axis=0))

    def _of_classes(
        self, hessian: np.ndarray, scale: Float[np.ndarray, "size"], penalty: float, free: np.ndarray
    ) -> Float[np.ndarray, "together together"]:
        """The Cholesky factor of the Hessian in scaled steps along the leading directions, and in the intercepts."""
        classes, size = hessian.shape[:2]
        hessian = hessian * (scale[:, None, None] * scale)
        for number in range(classes):
            hessian[number, :, number] += np.diag(np.append(penalty * scale[:-1] ** 2, _RIDGE))
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
        weights = self.start.weights[self.probes] + self._scaled(weights, trans=1)
        into.weights[self.probes] = weights * self.varies
        into.intercept[self.probes] = self.start.intercept[self.probes] + self.intercept_scale * intercept

    def gradient(self, gradient: Point) -> Float[np.ndarray, "some size"]:
        """The gradient of `probes` on these coordinates."""
        on_weights = self._scaled(gradient.weights[self.probes], trans=0)
        on_intercept = self.intercept_scale * gradient.intercept[self.probes, :, None]
        steps = self._couple(np.concatenate([on_weights, on_intercept], axis=2), trans=0)
        return np.concatenate([steps[0], steps[1][..., None]], axis=2).reshape(len(self.probes), -1)

    def _scaled(self, weights: np.ndarray, trans: int) -> Float[np.ndarray, "some classes width"]:
        """Each row of weights times a root of the inverse of w G + 1 / (C n) (`trans` 1) or its transpose (0)."""
        rows = np.array(weights, np.float32).reshape(-1, weights.shape[-1])
        if self.factor is not None:
            rows = blas.strsm(1.0, self.factor, rows.T, lower=1, trans_a=trans, overwrite_b=1).T
        else:  # a symmetric root
            along = rows @ self.directions * self.beyond
            rows *= self.rest
            rows += along @ self.directions.T
        return rows.reshape(weights.shape)

    def _couple(self, steps: np.ndarray, trans: int) -> tuple[np.ndarray, np.ndarray]:
        """Steps on weights and on intercepts, those along the leading directions by the classes' factor."""
        weights = steps[..., :-1].astype(np.float32)
        if self.of_classes is None:
            return weights, steps[..., -1]
        along = np.concatenate([weights @ self.leading, steps[..., -1:].astype(np.float32)], axis=2)
        moved = solve_triangular(self.of_classes, along.reshape(len(along), -1).T, lower=True, trans=trans)
        moved = moved.T.reshape(along.shape)
        weights += (moved - along)[..., :-1] @ self.leading.T
        return weights, moved[..., -1]
