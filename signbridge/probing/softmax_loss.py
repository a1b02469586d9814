"""Loss, gradient and curvature of many softmax probes from one pass over the rows that they share.

Every block of rows is multiplied by the weights of all probes that train on it at once. Each probe standardises the
rows in its own way, and no row is touched for it: its scale divides the weights and its mean moves the intercepts, and
the gradient is put right after the sums. Products are in float32, sums over blocks in float64.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import blas

from signbridge.probing.row_blocks import RowBlocks


class Point(NamedTuple):
    """Weights on standardised features, and intercepts, of all probes."""

    weights: Float[np.ndarray, "probes classes width"]
    intercept: Float[np.ndarray, "probes classes"]


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

    def curvature(self, point: Point, probes: Int[np.ndarray, "some"]) -> tuple[np.ndarray, float]:
        """sum_i w_i z_i z_i' (lower triangle, float32) and sum_i w_i, both the mean over `probes`."""
        width = point.weights.shape[2]
        gram, total = np.zeros((width, width), np.float32, order="F"), 0.0
        on_rows = self.on_rows(point)
        for block in self.blocks:
            these = np.intersect1d(block.trains, probes)
            if not len(these):
                continue
            chance = probabilities_of(logits_of(block.vectors, on_rows, these))
            chance *= 1 - chance
            weight = chance.mean(axis=2) @ (1 / (len(probes) * self.count[these]))
            total += weight.sum()
            scaled = block.vectors * np.sqrt(weight).astype(np.float32)[:, None]
            gram = blas.ssyrk(1.0, scaled.T, beta=1.0, c=gram, lower=1, overwrite_c=1)
        return gram, total


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
