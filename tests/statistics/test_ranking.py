"""Areas under the ROC curve, held to scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from signbridge.statistics import ranking
from signbridge.statistics.ranking import aucs, weighted_aucs

IMAGES = 120
TRUE = np.arange(IMAGES) % 3 == 0


def noise(columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(IMAGES, columns))


def test_areas_are_scikit_learns_with_ties(monkeypatch):
    monkeypatch.setattr(ranking, "_FEATURES_AT_ONCE", 5)  # fewer than there are columns
    columns = np.hstack([noise(4), noise(4, 1).round(), np.maximum(noise(3, 2), 0), np.zeros((IMAGES, 1))])
    expected = [roc_auc_score(TRUE, column) for column in columns.T]
    np.testing.assert_allclose(aucs(columns, TRUE, [True])[0], expected)
    assert aucs(columns, TRUE, [True])[0][-1] == 0.5


@pytest.mark.filterwarnings("error")
def test_a_class_of_no_image_or_of_all_has_no_area_and_warns_of_nothing():
    labels = np.where(TRUE, "A", "B")
    assert np.isnan(aucs(noise(4), labels, ["A", "B", "C"])).tolist() == [[False] * 4, [False] * 4, [True] * 4]
    assert np.isnan(aucs(noise(4), np.full(IMAGES, "A"), ["A"])).all()


def test_weighted_areas_are_scikit_learns_with_ties():
    weights = np.random.default_rng(0).integers(0, 4, (6, IMAGES)).astype(np.float64)
    for scores in (noise(1)[:, 0], noise(1).round()[:, 0]):
        expected = [roc_auc_score(TRUE, scores, sample_weight=of_draw) for of_draw in weights]
        np.testing.assert_allclose(weighted_aucs(scores, TRUE, weights), expected)


def test_where_a_draw_has_one_kind_of_image_alone_nothing_is_told():
    weights = np.stack([TRUE, ~TRUE, np.ones(IMAGES)]).astype(np.float64)
    found = weighted_aucs(TRUE.astype(float), TRUE, weights)
    assert found.tolist() == [0.5, 0.5, 1]
