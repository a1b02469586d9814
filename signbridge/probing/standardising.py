"""The mean and scale of every feature in every fold: `StandardScaler`'s, for all folds at the price of one pass."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from sklearn.preprocessing import StandardScaler

# Below this share of the second moment a variance has lost digits to the subtraction that gave it.
_DIGITS_LOST = 1e-3


class Centred(NamedTuple):
    """Vectors moved once, so that what each fold still has to take off is small against the spread."""

    rows: Float[np.ndarray, "rows features"]  # vectors - origin, float64
    origin: Float[np.ndarray, "features"]  # mean over all rows


class Scalers(NamedTuple):
    """One `StandardScaler` a fold: a row is standardised as `(rows - shift) / scale`."""

    shift: Float[np.ndarray, "folds features"]  # mean over the fold's training rows, minus the origin
    scale: Float[np.ndarray, "folds features"]  # their standard deviation; 1 where the feature is constant


def centre(vectors: Float[np.ndarray, "rows features"]) -> Centred:
    """Take the mean over all rows off, in float64."""
    rows = vectors.astype(np.float64)
    origin = rows.mean(axis=0)
    rows -= origin
    return Centred(rows, origin)


def scalers(centred: Centred, train: Bool[np.ndarray, "folds rows"]) -> Scalers:
    """Mean and scale of each feature over the training rows of each fold.

    From two matrix products over all folds at once. Features that vary much less within a fold than over it all (a
    pixel that is lit in the test rows alone) are left to scikit-learn, whose rule also says which are constant.
    """
    counts = train.sum(axis=1, keepdims=True)
    weights = train / counts
    shift = weights @ centred.rows
    second_moment = weights @ np.square(centred.rows)
    variance = second_moment - shift**2
    unsure = variance <= _DIGITS_LOST * second_moment
    scale = np.sqrt(np.where(unsure, 1.0, variance))
    for fold in np.flatnonzero(unsure.any(axis=1)):
        features = np.flatnonzero(unsure[fold])
        careful = StandardScaler().fit(centred.rows[np.ix_(train[fold], features)] + centred.origin[features])
        shift[fold, features] = careful.mean_ - centred.origin[features]
        scale[fold, features] = careful.scale_
    return Scalers(shift, scale)
