"""The notebook's probe, by scikit-learn itself, so that protocol `signbridge` is its own to the last prediction.

`StandardScaler` and `LogisticRegression(C=C)`, L2 and L-BFGS with its default tolerance, on float64. With more
features than rows that stops short of the optimum, and where it stops depends on the path; so nothing else will do.
"""

import numpy as np
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from signbridge.probing.probes import Probe

MAX_ITERATIONS = 1000  # the notebook's


def fit_notebook_probe(
    vectors: Float[np.ndarray, "images width"], labels: np.ndarray, train: Bool[np.ndarray, "images"], C: float
) -> Probe:
    """Fit the training images as the notebook does."""
    rows = vectors.astype(np.float64)
    scaler = StandardScaler().fit(rows[train])
    model = LogisticRegression(C=C, max_iter=MAX_ITERATIONS).fit(scaler.transform(rows[train]), labels[train])
    coef, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # one row that speaks for the second class
        coef, intercept = np.vstack([0 * coef, coef]), np.append(0, intercept)
    return Probe(list(model.classes_), coef, intercept, scaler.mean_, scaler.scale_)
