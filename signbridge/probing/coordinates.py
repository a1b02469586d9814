"""Standardise and rotate the rows of each fold: few coordinates, in which a fit is exact and cheap.

`scalers` gives the `StandardScaler` of every fold at the price of one pass over the rows.

`reduce` gives the rows as few coordinates as keep all their inner products. With an L2 penalty the optimal weights lie
in the span of the training rows (representer theorem: Kimeldorf and Wahba 1971; Schoelkopf et al. 2001). With
Z = U S V' (n rows, d features, at most min(n, d) singular values) the coordinates U S keep every inner product, so a
fit on them is the fit on Z in a rotated frame (Hastie and Tibshirani 2004, "Efficient quadratic regularization for
expression arrays"). They come from the eigenvectors of Z Z' or Z' Z, whichever is smaller. Directions along which the
rows spread less than a millionth of their widest are dropped.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import eigh
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


# Of eigenvalues, which are squares: what rounding leaves of a direction that is not there.
_NOTHING = 1e-12


class Coordinates(NamedTuple):
    """Rows along the principal directions of the training rows."""

    train: Float[np.ndarray, "train rank"]  # each column sums to zero
    test: Float[np.ndarray, "test rank"]
    spread: Float[np.ndarray, "rank"]  # sum of squares of each column of `train`
    centre: Float[np.ndarray, "features"] | None  # mean of the training rows, which was taken off; None: not known


def reduce(train: Float[np.ndarray, "train features"], test: Float[np.ndarray, "test features"]) -> Coordinates:
    """Give the rows the fewest coordinates that keep all inner products: at most one a training row or a feature."""
    centre = train.mean(axis=0)
    train, test = train - centre, test - centre
    if len(train) > train.shape[1]:
        spread, vectors = _principal(train.T @ train)
        return Coordinates(train @ vectors, test @ vectors, spread, centre)
    return Coordinates(*_from_products(train @ train.T, test @ train.T), centre)


def reduce_products(
    products: Float[np.ndarray, "rows rows"], train: Bool[np.ndarray, "rows"], test: Bool[np.ndarray, "rows"]
) -> Coordinates:
    """`reduce` from the inner products of all rows alone: for many ways to split them, and wide rows, much cheaper."""
    within, across = products[np.ix_(train, train)], products[np.ix_(test, train)]
    with_mean = within.mean(axis=0)  # each training row times their mean
    mean_squared = with_mean.mean()
    trained = within - with_mean[:, None] - with_mean + mean_squared
    tested = across - across.mean(axis=1, keepdims=True) - with_mean + mean_squared
    return Coordinates(*_from_products(trained, tested), None)


def weights_on_features(
    coordinates: Coordinates,
    train: Float[np.ndarray, "train features"],
    weights: Float[np.ndarray, "classes rank"],
) -> Float[np.ndarray, "classes features"]:
    """What weights on the coordinates are on the features of the rows that were reduced, less `centre`."""
    on_rows = (weights / coordinates.spread) @ coordinates.train.T
    return on_rows @ (train - coordinates.centre)


def _from_products(
    within: Float[np.ndarray, "train train"], across: Float[np.ndarray, "test train"]
) -> tuple[Float[np.ndarray, "train rank"], Float[np.ndarray, "test rank"], Float[np.ndarray, "rank"]]:
    """Training and test rows along the principal directions, and the spread, from the products with training rows."""
    spread, vectors = _principal(within)
    length = np.sqrt(spread)
    return vectors * length, across @ (vectors / length), spread


def _principal(
    products: Float[np.ndarray, "side side"],
) -> tuple[Float[np.ndarray, "rank"], Float[np.ndarray, "side rank"]]:
    """Eigenvalues that are not rounding, the largest last, and their eigenvectors."""
    if not products.size:
        return np.zeros(0), products
    values, vectors = eigh(products, driver="evd", check_finite=False)
    there = values > _NOTHING * values.max(initial=1.0)
    return values[there], vectors[:, there]
