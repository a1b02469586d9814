"""Fewer coordinates for the same rows: exact where there are fewer training rows than features.

With an L2 penalty the optimal weights lie in the span of the training rows (representer theorem: Kimeldorf and
Wahba 1971; Schoelkopf et al. 2001), and so does every iterate of a gradient method that starts at zero. Coordinates
R of the rows Z within that span, with R R' = Z Z', keep every inner product: a fit on R (n x rank) is the fit on Z
(n x d) seen in a rotated frame (Hastie and Tibshirani 2004, "Efficient quadratic regularization for expression
arrays"). R is the pivoted Cholesky factor of the Gram matrix, which stops at the numerical rank: standardised rows
sum to zero, and an image may be there twice.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import lapack, solve_triangular

from signbridge.probing.standardising import Centred


class Features(NamedTuple):
    """How weights on the coordinates become weights on the standardised features."""

    standardised: Float[np.ndarray, "rows features"]  # training and test rows, in table order
    pivots: Int[np.ndarray, "rank"] | None  # the rows that span the training rows; None: coordinates are features
    factor: Float[np.ndarray, "rank rank"] | None  # lower Cholesky factor of the pivots' Gram matrix

    def weights(
        self, on_coordinates: Float[np.ndarray, "classes rank"], some: slice = slice(None)
    ) -> Float[np.ndarray, "classes some"]:
        """Weights on the standardised features, or on `some` of them, that `on_coordinates` stands for."""
        if self.factor is None:
            return on_coordinates[:, some]
        on_pivots = solve_triangular(self.factor, on_coordinates.T, lower=True, trans=1, check_finite=False)
        on_rows = np.zeros((len(on_coordinates), len(self.standardised)))
        on_rows[:, self.pivots] = on_pivots.T
        return on_rows @ self.standardised[:, some]


class Reduced(NamedTuple):
    """The rows of one fold in `rank` coordinates, and the way back to features."""

    train: Float[np.ndarray, "train rank"]
    test: Float[np.ndarray, "test rank"]
    features: Features


def reduce(
    centred: Centred,
    shift: Float[np.ndarray, "features"],
    scale: Float[np.ndarray, "features"],
    train: Bool[np.ndarray, "rows"],
    test: Bool[np.ndarray, "rows"],
) -> Reduced:
    """Standardise the rows and give them the fewest coordinates: at most one a training row or one a feature."""
    standardised = centred.rows - shift
    standardised /= scale
    if train.sum() > len(scale):
        return Reduced(standardised[train], standardised[test], Features(standardised, None, None))
    gram = standardised @ standardised.T
    order, coordinates = _pivoted_cholesky(gram[np.ix_(train, train)])
    factor = coordinates[order]
    pivots = np.flatnonzero(train)[order]
    tested = solve_triangular(factor, gram[np.ix_(pivots, test)], lower=True, check_finite=False)
    return Reduced(coordinates, tested.T, Features(standardised, pivots, factor))


def _pivoted_cholesky(
    gram: Float[np.ndarray, "train train"],
) -> tuple[Int[np.ndarray, "rank"], Float[np.ndarray, "train rank"]]:
    """`coordinates @ coordinates.T == gram` to rounding, and the rows at which they are lower triangular."""
    factor, order, rank, _ = lapack.dpstrf(gram, lower=1)
    order -= 1
    coordinates = np.empty((len(gram), rank))
    coordinates[order] = np.tril(factor)[:, :rank]
    return order[:rank], coordinates
