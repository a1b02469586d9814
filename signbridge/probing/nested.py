"""Choose the penalty inside the training images of a split, then fit them all and test the rest.

The rows are standardised by the training images of the split, and the inner folds take them as they are: that scale
has seen no label and no test image. So a split is reduced once, and an inner fold costs only its own small fits.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from signbridge.probing.logistic_regression import TOLERANCE, decision, fit, probabilities
from signbridge.probing.protocols import InnerFold
from signbridge.probing.reduction import Coordinates, reduce

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
