"""One split of one cell: choose the penalty inside its training images, fit them all, test the rest.

The rows are standardised by all training images of the split, and the inner folds use the same scale: it depends on no
label and on no test image. So a split is reduced once, and each inner fold costs only its own small fits.

Where rows outnumber wide features (a whole dataset), reducing them costs more than fitting them; there
`many_rows.py` fits the rows as they are. Everywhere else the rows are reduced first (`coordinates.py`).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from signbridge.probing.coordinates import Coordinates, centre, reduce, reduce_products, scalers
from signbridge.probing.logistic_regression import (
    TOLERANCE,
    decision,
    fit,
    probabilities,
)
from signbridge.probing.many_rows import fit_and_test
from signbridge.probing.protocols import InnerFold, Split

# Where no single prediction counts: a choice has only to be made without the test images, and shuffled labels are at
# chance at any tolerance. Measured on 240 x 4096, it saves half of the time.
LOOSE_TOLERANCE = 1e-3
# Tight enough where only the likeliest letter counts, not how likely: none differed from the optimum's, C up to 0.01.
TOLERANCE_FOR_PREDICTIONS = 1e-4


class Choice(NamedTuple):
    """The penalty that read the inner folds best."""

    C: float  # of equals the smallest: the stronger penalty
    inner_accuracy: float  # share of the training images read right when they were left out


def choose(
    train: Float[np.ndarray, "train rank"],
    targets: Int[np.ndarray, "train"],
    inner: Sequence[InnerFold],
    Cs: Sequence[float],
) -> Choice:
    """Try every C on every inner fold. The masks of `inner` are over the rows of `train`."""
    ascending = sorted(Cs)
    right = np.zeros(len(ascending))
    tested = 0
    for fold in inner:
        coordinates = reduce(train[fold.train], train[fold.test])
        present, known = np.unique(targets[fold.train], return_inverse=True)
        tested += int(fold.test.sum())
        model = None
        for index, C in enumerate(ascending):
            model = fit(coordinates, known, len(present), C, model, LOOSE_TOLERANCE)
            predicted = present[decision(model, coordinates.test).argmax(axis=1)]
            right[index] += (predicted == targets[fold.test]).sum()
    return best_of(ascending, right, tested)


def best_of(ascending: Sequence[float], right: Shaped[np.ndarray, "penalties"], tested: int) -> Choice:
    """The C that read most of the `tested` images right, of equals the first."""
    best = int(right.argmax())
    return Choice(float(ascending[best]), float(right[best] / tested))


def within(inner: Sequence[InnerFold], train: Bool[np.ndarray, "images"]) -> list[InnerFold]:
    """Inner folds as masks over the training images alone."""
    return [InnerFold(fold.train[train], fold.test[train]) for fold in inner]


def read_letters(
    coordinates: Coordinates,
    targets: Int[np.ndarray, "train"],
    letters: int,
    C: float,
    tolerance: float = TOLERANCE,
) -> Float[np.ndarray, "test letters"]:
    """Fit the training rows; the probability of each letter for each test row, 0 for a letter not trained on."""
    present, known = np.unique(targets, return_inverse=True)
    model = fit(coordinates, known, len(present), C, tolerance=tolerance)
    probability = np.zeros((len(coordinates.test), letters))
    probability[:, present] = probabilities(decision(model, coordinates.test))
    return probability


# Measured on 2 cores: reducing 27,700 x 4096 takes minutes a split, 27,700 x 1024 seconds.
WIDE = 1024


class Read(NamedTuple):
    """What a probe said of the tested images of a split, in table order."""

    predicted: Int[np.ndarray, "tested"]
    probability: Float[np.ndarray, "tested"]  # of the true letter; 0 if no training image shows it


def likeliest(chances: Float[np.ndarray, "tested letters"], targets: Int[np.ndarray, "tested"]) -> Read:
    """The likeliest letter of each image, and the probability of the true one."""
    return Read(chances.argmax(axis=1), chances[np.arange(len(chances)), targets])


class FewRows(NamedTuple):
    """A split whose rows were standardised and reduced."""

    split: Split
    coordinates: Coordinates

    def choose(self, targets: Int[np.ndarray, "images"], Cs: Sequence[float]) -> Choice:
        """The C that reads the inner folds best."""
        train = self.split.train
        return choose(self.coordinates.train, targets[train], within(self.split.inner, train), Cs)

    def read(self, targets: Int[np.ndarray, "images"], C: float, tolerance: float) -> Read:
        """Fit the training images and test the others; `targets` are 0 to letters - 1."""
        letters = int(targets.max()) + 1
        chances = read_letters(self.coordinates, targets[self.split.train], letters, C, tolerance)
        return likeliest(chances, targets[self.split.test])


class ManyRows(NamedTuple):
    """A split whose rows stay as they are."""

    split: Split
    vectors: Float[np.ndarray, "images width"]
    memory_bytes: int

    def choose(self, targets: Int[np.ndarray, "images"], Cs: Sequence[float]) -> Choice:
        """The C that reads the inner folds best, of equals the smallest; all are fitted in the same passes."""
        ascending, inner = sorted(Cs), self.split.inner
        probes = self._fit(targets, list(inner) * len(ascending), [C for C in ascending for _ in inner])
        tested = [targets[fold.test] for fold in inner]
        right = [(read.predicted == true).sum() for read, true in zip(probes, tested * len(ascending), strict=True)]
        return best_of(ascending, np.reshape(right, (len(ascending), -1)).sum(axis=1), sum(map(len, tested)))

    def read(self, targets: Int[np.ndarray, "images"], C: float, tolerance: float) -> Read:
        """Fit the training images and test the others. The solver has a `tolerance` of its own, on the weights."""
        return self._fit(targets, [self.split], [C])[0]

    def _fit(self, targets: np.ndarray, splits: Sequence, Cs: Sequence[float]) -> list[Read]:
        train, test = (np.stack([getattr(split, side) for split in splits]) for side in ("train", "test"))
        probes = fit_and_test(
            self.vectors, targets, train, test, int(targets.max()) + 1, list(Cs), self.memory_bytes, progress=True
        )
        return [Read(probe.predicted, probe.probability) for probe in probes]


def has_many_rows(vectors: Float[np.ndarray, "images width"]) -> bool:
    """Whether rows outnumber features that are too many to be reduced to."""
    images, width = vectors.shape
    return images > width > WIDE


def folds_of(
    vectors: Float[np.ndarray, "images width"], splits: Sequence[Split], memory_bytes: int
) -> Iterator[FewRows | ManyRows]:
    """Every split, ready to be fitted. `memory_bytes` bounds what many rows take beside `vectors`."""
    if has_many_rows(vectors):
        yield from (ManyRows(split, vectors, memory_bytes) for split in splits)
        return
    if not splits:
        return
    centred = centre(vectors[:, np.ptp(vectors, axis=0) > 0])  # what never varies says nothing
    shift, scale = scalers(centred, np.stack([split.train for split in splits]))
    for number, split in enumerate(splits):
        rows = centred.rows / scale[number]
        if split.train.sum() > rows.shape[1]:
            rows -= shift[number] / scale[number]
            yield FewRows(split, reduce(rows[split.train], rows[split.test]))
        else:  # the shift is the training rows' mean, which is taken off the products
            yield FewRows(split, reduce_products(rows @ rows.T, split.train, split.test))
