"""Loss, gradient and curvature of many softmax probes from one pass over the rows that they share.

All rows are moved and scaled once, by their overall mean and scale. The rest of each fold's own `StandardScaler` is
applied to the weights (divided by `scale`) and the intercepts (less `shift`), and the gradient is corrected after the
sums, so that no fold needs a standardised copy of the rows. Rows are sorted by the probes that they train and test:
in each block, of bounded size, all rows serve the same probes, and one product with the weights of all of them is
enough. Products are in float32, sums over blocks in float64.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import blas

from signbridge.core.errors import SignBridgeError

# One row of so many at least gives the curvature. On 4,000 x 500 activations probes took 16 to 27 passes with all rows,
# 17 to 34 with every fourth (measured, five penalties). Of 28,000 x 4,096 all rows cost as much as 43 passes.
MOST_LEFT_OUT = 4
MOMENT_ROWS = 256  # float64 at a time while means and scales are taken: a few MiB, which stay in the cache


class Block(NamedTuple):
    """Rows that train and test the same probes."""

    rows: Int[np.ndarray, "block"]  # their numbers in the table
    vectors: Float[np.ndarray, "block width"]  # float32, moved and scaled; overwritten by the next block if streamed
    trains: Int[np.ndarray, "trained"]  # the probes
    tests: Int[np.ndarray, "tested"]


class Scaling(NamedTuple):
    """One `StandardScaler` a probe: a row is standardised as `(row - mean) / scale`."""

    mean: Float[np.ndarray, "probes width"]  # over the probe's training rows
    scale: Float[np.ndarray, "probes width"]  # their standard deviation; 1 where the feature is constant
    constant: Bool[np.ndarray, "probes width"]


class RowBlocks:
    """Iterate as often as needed; every row that trains or tests a probe comes once each time.

    `held` keeps the moved and scaled rows in memory, 4 bytes a number; otherwise each round makes them anew from
    `vectors`, which may then be a `numpy.memmap`. Rows that serve the same probes should be many: give the folds of
    one repeat, whose rows are of as many kinds as there are folds.

    Raises `SignBridgeError` if a vector is not finite.
    """

    def __init__(
        self,
        vectors: Float[np.ndarray, "rows width"],
        train: Bool[np.ndarray, "probes rows"],
        test: Bool[np.ndarray, "probes rows"],
        block_rows: int,
        held: bool,
    ):
        self._vectors = vectors
        kinds, kind = np.unique(np.concatenate([train, test]), axis=1, return_inverse=True)
        self._kinds = np.split(kinds, 2)
        self._order = [np.flatnonzero(kind == number) for number in range(kinds.shape[1]) if kinds[:, number].any()]
        self._kind_of = [number for number in range(kinds.shape[1]) if kinds[:, number].any()]
        self._block_rows = block_rows
        self._raw = np.empty((block_rows, vectors.shape[1]), vectors.dtype)
        self._moved = None if held else np.empty((block_rows, vectors.shape[1]), np.float32)
        whole, self.scaling = self._moments(len(train))
        # A difference of two floats is rounded once, so float32 suffices for rows of float16 or float32.
        self._origin = whole.mean[0].astype(np.float64 if vectors.dtype == np.float64 else np.float32)
        self._unit = whole.scale[0].astype(np.float32)
        self._held: list[np.ndarray] | None = None
        if held:
            self._held = [
                self._move(rows, np.empty((len(rows), vectors.shape[1]), np.float32)) for rows, _ in self._cut()
            ]

    @property
    def shift(self) -> Float[np.ndarray, "probes width"]:
        """The mean of each probe's training rows, among the moved and scaled ones."""
        return (self.scaling.mean - self._origin) / self._unit

    @property
    def inverse_scale(self) -> Float[np.ndarray, "probes width"]:
        """One over their standard deviation there; 0 where constant: such a feature can have no weight."""
        return np.where(self.scaling.constant, 0.0, self._unit / self.scaling.scale)

    def __iter__(self) -> Iterator[Block]:
        """Yield the blocks, always in the same order."""
        trains, tests = self._kinds
        for number, (rows, kind) in enumerate(self._cut()):
            vectors = self._held[number] if self._held else self._move(rows, self._moved[: len(rows)])
            yield Block(rows, vectors, np.flatnonzero(trains[:, kind]), np.flatnonzero(tests[:, kind]))

    def _cut(self) -> Iterator[tuple[Int[np.ndarray, "block"], int]]:
        """Numbers of the rows of each block, and their kind."""
        for rows, kind in zip(self._order, self._kind_of, strict=True):
            for start in range(0, len(rows), self._block_rows):
                yield rows[start : start + self._block_rows], kind

    def _take(self, rows: Int[np.ndarray, "block"]) -> Float[np.ndarray, "block width"]:
        return np.take(self._vectors, rows, axis=0, out=self._raw[: len(rows)], mode="clip")  # clip: no buffer

    def _move(
        self, rows: Int[np.ndarray, "block"], out: Float[np.ndarray, "block width"]
    ) -> Float[np.ndarray, "block width"]:
        np.subtract(self._take(rows), self._origin, out=out, casting="same_kind")
        out /= self._unit
        return out

    def _moments(self, probes: int) -> tuple[Scaling, Scaling]:
        """Scaling of all rows, and of each probe's training rows: in float64, part by part.

        Parts are merged by Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", so that a
        feature that varies in the test rows alone costs no digits.
        """
        width = self._vectors.shape[1]
        count, mean, squares = np.zeros((probes + 1, 1)), np.zeros((probes + 1, width)), np.zeros((probes + 1, width))
        for rows, kind in self._cut():
            into = np.append(np.flatnonzero(self._kinds[0][:, kind]), probes)  # the last is that of all rows
            raw = self._take(rows)
            for start in range(0, len(rows), MOMENT_ROWS):
                part = raw[start : start + MOMENT_ROWS].astype(np.float64)
                if not np.isfinite(part).all():
                    raise SignBridgeError("a vector to be probed holds NaN or infinity: extract its site in float32.")
                first = part[0].copy()
                part -= first  # so that the mean of a constant is not rounded
                part_mean = part.mean(axis=0)
                part -= part_mean
                part_mean += first
                before, total = count[into], count[into] + len(part)
                ahead = part_mean - mean[into]
                mean[into] += ahead * (len(part) / total)
                squares[into] += np.einsum("rw,rw->w", part, part) + ahead**2 * (before * len(part) / total)
                count[into] = total
        variance = squares / count
        # scikit-learn's rule: within the rounding of the two sums that it is the difference of.
        eps = np.finfo(np.float64).eps
        constant = variance <= count * eps * variance + (count * mean * eps) ** 2
        scale = np.where(constant, 1.0, np.sqrt(variance))
        both = Scaling(mean, scale, constant)
        return Scaling(*(array[-1:] for array in both)), Scaling(*(array[:-1] for array in both))


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

    def curvature(self, point: Point, probes: Int[np.ndarray, "some"]) -> tuple[np.ndarray, float]:
        """sum_i w_i z_i z_i' (lower triangle, float32) and sum_i w_i, both the mean over `probes`.

        From every fourth row, or fewer are left out where rows would be fewer than features: coordinates need no more.
        """
        width = point.weights.shape[2]
        gram, total = np.zeros((width, width), np.float32, order="F"), 0.0
        every = int(np.clip(self.count[probes].min() // width, 1, MOST_LEFT_OUT))
        on_rows = self.on_rows(point)
        for block in self.blocks:
            these = np.intersect1d(block.trains, probes)
            if not len(these):
                continue
            vectors = np.ascontiguousarray(block.vectors[::every])
            chance = probabilities_of(logits_of(vectors, on_rows, these))
            chance *= 1 - chance
            weight = every * chance.mean(axis=2) @ (1 / (len(probes) * self.count[these]))
            total += weight.sum()
            scaled = vectors * np.sqrt(weight).astype(np.float32)[:, None]
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
