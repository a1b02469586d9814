"""Rows in blocks, in each of which all rows train and test the same probes: one product then serves all of these.

All rows are moved and scaled once, by their overall mean and scale. The rest of each fold's own `StandardScaler` is
left to `softmax_loss.py`, which applies it to weights and gradients: no fold needs a standardised copy of the rows.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from signbridge.core.activations import let_go
from signbridge.core.errors import SignBridgeError

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
