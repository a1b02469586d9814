"""Loss, gradient and curvature of many softmax probes from one pass over the rows that they share.

`row_blocks.py` hands out rows that are moved and scaled alike for all probes. The rest of each fold's own
`StandardScaler` is applied to the weights (divided by `scale`) and the intercepts (less `shift`), and the gradient is
corrected after the sums. Products are in float32, sums over blocks in float64.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import blas

from signbridge.probing.row_blocks import RowBlocks

# The Gram matrix is of half as many rows as there are features, at least one of so many: of 12,288 x 4,096 neither all
# rows nor 4,096 of them saved a pass (measured).
MOST_LEFT_OUT = 8
# From about so many the Hessian along the leading directions. From 3,000 of 12,288 the passes were half as many again.
HESSIAN_ROWS = 12_000
GRAM_ROWS = 1024  # added to a Gram matrix at once: few rows cost as much as reading the matrix


class Point(NamedTuple):
    """Weights on standardised features, and intercepts, of all probes."""

    weights: Float[np.ndarray, "probes classes width"]
    intercept: Float[np.ndarray, "probes classes"]


def at_zero(probes: int, classes: int, width: int) -> Point:
    """Weights of zero: a start for a strong penalty, near which the minimum lies."""
    return Point(np.zeros((probes, classes, width)), np.zeros((probes, classes)))


class SoftmaxLoss:
    """Loss and gradient of every probe from one pass over the rows."""

    def __init__(
        self,
        blocks: RowBlocks,
        targets: Int[np.ndarray, "rows"],
        present: Bool[np.ndarray, "probes classes"],
        count: Int[np.ndarray, "probes"],
        penalty: Float[np.ndarray, "probes"],
    ):
        """`present` says which classes a probe trains on, `count` on how many rows; `penalty` is 1 / (C count)."""
        self.blocks, self.targets, self.count, self.penalty = blocks, targets, count, penalty
        self.shift, self.inverse_scale = blocks.shift[:, None], blocks.inverse_scale[:, None]
        self.absent = np.where(present, 0.0, -np.inf)
        self.free = present.copy()  # of two classes the second alone has weights, as in scikit-learn
        first = present.argmax(axis=1)
        self.free[np.flatnonzero(present.sum(axis=1) == 2), first[present.sum(axis=1) == 2]] = False

    def __call__(self, point: Point, wanted: Bool[np.ndarray, "probes"]) -> tuple[Float[np.ndarray, "probes"], Point]:
        """Loss and gradient of the probes that are `wanted`; of the others 0."""
        loss = np.zeros(len(wanted))
        gradient = Point(np.zeros_like(point.weights), np.zeros_like(point.intercept))
        on_rows = self.on_rows(point)
        for block in self.blocks:
            probes = block.trains[wanted[block.trains]]
            if not len(probes):
                continue
            logits = logits_of(block.vectors, on_rows, probes)
            true = (np.arange(len(logits)), slice(None), self.targets[block.rows])
            logits -= logits.max(axis=2, keepdims=True)
            loss[probes] -= logits[true].sum(axis=0, dtype=np.float64)
            error = np.exp(logits, out=logits)
            total = error.sum(axis=2, keepdims=True)
            loss[probes] += np.log(total).sum(axis=(0, 2), dtype=np.float64)
            error /= total
            error[true] -= 1
            on_weights = error.reshape(len(error), -1).T @ block.vectors
            gradient.weights[probes] += on_weights.reshape(len(probes), -1, on_weights.shape[1])
            gradient.intercept[probes] += error.sum(axis=0, dtype=np.float64)
        return self._finished(point, wanted, loss, gradient)

    def _finished(
        self, point: Point, wanted: np.ndarray, loss: np.ndarray, gradient: Point
    ) -> tuple[np.ndarray, Point]:
        """From sums over moved rows to means over standardised ones, with the penalty."""
        for probe in np.flatnonzero(wanted):
            on_weights, on_intercept = gradient.weights[probe], gradient.intercept[probe]
            on_weights -= on_intercept[:, None] * self.shift[probe]
            on_weights *= self.inverse_scale[probe]
            on_weights /= self.count[probe]
            on_weights += self.penalty[probe] * point.weights[probe]
            on_intercept /= self.count[probe]
            on_weights[~self.free[probe]] = on_intercept[~self.free[probe]] = 0
            loss[probe] /= self.count[probe]
            loss[probe] += self.penalty[probe] / 2 * np.vdot(point.weights[probe], point.weights[probe])
        return loss, gradient

    def on_rows(self, point: Point) -> Point:
        """The same logits from moved rows as `point` gives from standardised ones, in float32."""
        weights, intercept = np.empty(point.weights.shape, np.float32), np.empty(point.intercept.shape, np.float32)
        for probe, (on_standardised, constant) in enumerate(zip(*point, strict=True)):
            exact = on_standardised * self.inverse_scale[probe]
            intercept[probe] = constant + self.absent[probe] - exact @ self.shift[probe, 0]
            weights[probe] = exact
        return Point(weights, intercept)

    def second_moments(self, probes: Int[np.ndarray, "some"], point: Point | None = None) -> tuple[np.ndarray, float]:
        """The mean of z_i z_i' over rows that train any of `probes` (lower triangle, float32), and their mean weight.

        A row's weight is its p (1 - p) at `point`, 1 without one. From some rows: coordinates need no more.
        """
        width = self.shift.shape[2]
        gram, rows, total = np.zeros((width, width), np.float32, order="F"), 0, float(np.finfo(np.float32).tiny)
        on_rows, waiting = None if point is None else self.on_rows(point), []
        every = int(np.clip(2 * self.blocks.training(probes) // width, 1, MOST_LEFT_OUT))
        for block in self.blocks:
            these = np.intersect1d(block.trains, probes)
            if not len(these):
                continue
            vectors = np.ascontiguousarray(block.vectors[::every])
            weight = np.ones(len(vectors), np.float32)
            if on_rows is not None:
                chance = probabilities_of(logits_of(vectors, on_rows, these))
                weight = (chance * (1 - chance)).mean(axis=(1, 2))
                vectors = vectors * np.sqrt(weight)[:, None]
            rows, total = rows + len(vectors), total + float(weight.sum(dtype=np.float64))
            waiting.append(vectors)
            if sum(map(len, waiting)) >= GRAM_ROWS:
                gram, waiting = _added(gram, waiting), []
        gram = _added(gram, waiting)
        gram /= np.float32(total)
        return gram, total / rows

    def hessian(
        self, point: Point, probes: Int[np.ndarray, "some"], directions: Float[np.ndarray, "width leading"]
    ) -> tuple[Float[np.ndarray, "classes leading+1 classes leading+1"], float]:
        """The Hessian on weights along `directions` and, last, intercepts; and the mean of p (1 - p).

        From `HESSIAN_ROWS` rows or so, each with the mean probabilities of the `probes` that it trains.
        """
        classes, size = point.intercept.shape[1], directions.shape[1] + 1
        hessian, same = np.zeros((classes * size,) * 2, np.float32, order="F"), np.zeros((classes, size, size))
        every = max(1, self.blocks.training(probes) // HESSIAN_ROWS)
        on_rows, rows, weight = self.on_rows(point), 0, 0.0
        for block in self.blocks:
            these = np.intersect1d(block.trains, probes)
            if not len(these):
                continue
            vectors = np.ascontiguousarray(block.vectors[::every])
            chance = probabilities_of(logits_of(vectors, on_rows, these)).mean(axis=1)
            along = np.pad(vectors @ directions, ((0, 0), (0, 1)), constant_values=1)
            each = (chance[:, :, None] * along[:, None]).reshape(len(along), -1)
            hessian = blas.ssyrk(-1.0, each.T, beta=1.0, c=hessian, lower=1, overwrite_c=1)
            same += (each.T @ along).reshape(same.shape)
            rows, weight = rows + len(along), weight + float((chance * (1 - chance)).sum())
        hessian = (hessian + np.tril(hessian, -1).T).astype(np.float64).reshape(classes, size, classes, size)
        for number in range(classes):
            hessian[number, :, number] += same[number]
        return hessian / rows, weight / (rows * classes)


def _added(gram: Float[np.ndarray, "width width"], rows: list[np.ndarray]) -> Float[np.ndarray, "width width"]:
    """The lower triangle of a matrix, in place, plus the sum of z_i z_i'."""
    return blas.ssyrk(1.0, np.concatenate(rows).T, beta=1.0, c=gram, lower=1, overwrite_c=1) if rows else gram


def logits_of(
    vectors: Float[np.ndarray, "block width"], on_rows: Point, probes: Int[np.ndarray, "some"]
) -> Float[np.ndarray, "block some classes"]:
    weights = on_rows.weights[probes]
    logits = (vectors @ weights.reshape(-1, weights.shape[2]).T).reshape(len(vectors), *weights.shape[:2])
    logits += on_rows.intercept[probes]
    return logits


def probabilities_of(logits: Float[np.ndarray, "block some classes"]) -> Float[np.ndarray, "block some classes"]:
    """The softmax, in place."""
    logits -= logits.max(axis=2, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=2, keepdims=True)
    return logits
