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

from signbridge.core.activations import let_go
from signbridge.core.errors import SignBridgeError

# The Gram matrix is of half as many rows as there are features, at least one of so many: of 12,288 x 4,096 neither all
# rows nor 4,096 of them saved a pass (measured).
MOST_LEFT_OUT = 8
# From about so many the Hessian along the leading directions. From 3,000 of 12,288 the passes were half as many again.
HESSIAN_ROWS = 12_000
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

    def training(self, probes: Int[np.ndarray, "some"]) -> int:
        """How many rows train any of `probes`."""
        trains = self._kinds[0][probes].any(axis=0)
        return sum(len(rows) for rows, kind in zip(self._order, self._kind_of, strict=True) if trains[kind])

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
        taken = np.take(self._vectors, rows, axis=0, out=self._raw[: len(rows)], mode="clip")  # clip: no buffer
        let_go(self._vectors)
        return taken

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

    def second_moments(self, probes: Int[np.ndarray, "some"], point: Point | None = None) -> tuple[np.ndarray, float]:
        """The mean of z_i z_i' over rows that train any of `probes` (lower triangle, float32), and their mean weight.

        A row's weight is its p (1 - p) at `point`, 1 without one. From some rows: coordinates need no more.
        """
        width = self.shift.shape[2]
        gram, rows, total = np.zeros((width, width), np.float32, order="F"), 0, float(np.finfo(np.float32).tiny)
        on_rows = None if point is None else self.on_rows(point)
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
            gram = blas.ssyrk(1.0, vectors.T, beta=1.0, c=gram, lower=1, overwrite_c=1)
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
