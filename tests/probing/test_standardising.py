"""Scalers of all folds at once against `StandardScaler` fitted fold by fold."""

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from signbridge.probing.coordinates import centre, scalers

FOLDS = np.random.default_rng(0).random((6, 50)) < 0.8
ROWS = np.random.default_rng(1).normal(size=(50, 12))


def lit_in_one_row(rows: np.ndarray) -> np.ndarray:
    """Constant in the folds that leave row 7 out, and not in the others."""
    rows = rows.copy()
    rows[:, 3] = 0.1
    rows[7, 3] = 1e6
    return rows


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "rows",
    [ROWS, ROWS + 1e6, ROWS * np.logspace(-12, 12, 12), np.full_like(ROWS, 0.1), lit_in_one_row(ROWS)],
    ids=["plain", "far from zero", "widely scaled", "constant", "lit in one row"],
)
def test_every_fold_is_standardised_as_scikit_learn_does(rows, dtype):
    rows = rows.astype(dtype)
    assert {True, False} == set(FOLDS[:, 7])
    centred = centre(rows)
    shift, scale = scalers(centred, FOLDS)
    for fold, train in enumerate(FOLDS):
        expected = StandardScaler().fit(rows[train].astype(np.float64))
        np.testing.assert_allclose(scale[fold], expected.scale_, rtol=1e-7)
        ours = (centred.rows - shift[fold]) / scale[fold]
        np.testing.assert_allclose(ours, expected.transform(rows.astype(np.float64)), rtol=1e-7, atol=1e-7)
