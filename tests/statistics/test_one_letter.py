"""One letter against the rest from k columns: fits, ranks, areas and their intervals."""

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from signbridge.core.names import AUTOENCODER, COMPONENTS, STREAM, TWIN
from signbridge.probing.one_letter import OneLetterCell, components, fit_and_score, ranked, score_letters
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.one_letter import areas, one_letter_metrics, one_letter_table
from tests.statistics.test_sparse_probes import LABELS, PHOTOS, TARGETS, coded, noise, splits

LETTERS = np.eye(3, dtype=bool)[:, TARGETS]
FOLDS = splits()[1:]
TESTED_IN = np.zeros((1, len(LABELS)), int)
for split in FOLDS:
    TESTED_IN[0, split.test] = split.fold
KS, CS = [1, 3], [0.01, 1.0]


PERFECT = 8 * np.eye(3, dtype=np.float32)[TARGETS]  # each column fires for one letter


def told(vectors: np.ndarray, reads: str = AUTOENCODER, ks=KS) -> dict[int, np.ndarray]:
    return score_letters(OneLetterCell(reads, vectors), TARGETS, FOLDS, ks, CS)


def auc(scores: np.ndarray) -> float:
    everywhere = np.ones((1, len(LABELS)), np.float32)
    return float(areas(scores[None], TESTED_IN, TARGETS, everywhere).mean())


def test_a_feature_that_fires_for_one_letter_tells_it_though_it_tells_no_other():
    """A probe of all letters from one such feature can tell one of them at best."""
    found = told(np.hstack([PERFECT, np.full((len(LABELS), 2), 7.0)]))
    assert set(found) == set(KS)
    assert auc(found[1]) == auc(found[3]) == 1
    assert auc(told(np.maximum(coded(), 0))[3]) > 0.95, "beside noise"


def test_columns_are_chosen_without_the_tested_photos():
    vectors = noise(3000)
    assert abs(auc(told(vectors, STREAM, ks=[5])[5]) - 0.5) < 0.15
    best = np.unique(ranked(vectors, LETTERS, True)[:, :5])
    assert auc(told(vectors[:, best], STREAM, ks=[5])[5]) > 0.75, "else this tests nothing"


def test_a_k_above_the_width_is_left_out():
    assert set(told(coded(12)[:, :4], ks=[1, 4, 5])) == {1, 4}


def test_features_are_ranked_by_their_means_over_the_mean_where_they_fire_and_others_by_the_deviation():
    vectors = np.zeros((len(LABELS), 4))
    vectors[:, 0] = 100 + 10 * LETTERS[0]  # the largest gap, and little beside its mean
    vectors[:, 1] = 1 * LETTERS[0]
    vectors[::2, 2] = 1.0
    vectors[:, 3] = 7.0  # never varies
    assert ranked(vectors, LETTERS[:1], has_sign=False)[0].tolist() == [1, 0, 2, 3]
    assert ranked(-vectors, LETTERS[:1], has_sign=True)[0].tolist()[-2:] == [2, 3]


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_probes_are_those_of_scikit_learn(C):
    vectors = noise(8)[:, :5].astype(np.float64) + 0.5 * LETTERS[:, :, None].sum(0)
    train = FOLDS[0].train
    chosen = np.tile(vectors, (3, 1, 1))
    scores = fit_and_score(chosen, LETTERS, train, C)
    scaled = (vectors - vectors[train].mean(0)) / vectors[train].std(0)
    for letter in range(3):
        reference = LogisticRegression(C=C, tol=1e-10, max_iter=10_000).fit(scaled[train], LETTERS[letter, train])
        np.testing.assert_allclose(scores[letter], reference.decision_function(scaled), rtol=1e-4, atol=1e-5)


def test_components_are_of_the_training_images_alone():
    train, vectors = FOLDS[0].train, noise(6).astype(np.float64)
    expected = PCA().fit(vectors[train]).transform(vectors)
    found = components(vectors, train)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-6)
    flat = np.hstack([vectors, vectors])  # half of its components have no variance
    assert not components(flat, train)[:, 6:].any()
    assert auc(told(np.hstack([PERFECT, PERFECT]), COMPONENTS)[3]) == 1


def test_areas_are_over_images_that_the_same_probe_scored():
    scores = np.random.default_rng(0).normal(size=(2, 1, 3, len(LABELS)))
    shifted = scores + 100 * TESTED_IN  # a fold's scores are on a scale of their own
    weights = np.ones((1, len(LABELS)), np.float32)
    found = areas(scores, TESTED_IN, TARGETS, weights)
    np.testing.assert_array_equal(found, areas(shifted, TESTED_IN, TARGETS, weights))
    one_fold = areas(scores, np.zeros_like(TESTED_IN), TARGETS, weights)[0]
    expected = [[roc_auc_score(LETTERS[letter], of[0, letter]) for of in scores] for letter in range(3)]
    np.testing.assert_allclose(one_fold, expected, rtol=1e-6)


def test_weights_count_images_as_copies_do():
    scores = np.random.default_rng(1).normal(size=(1, 1, 3, len(LABELS)))
    weights = np.random.default_rng(2).integers(0, 3, (1, len(LABELS)))
    rows = np.repeat(np.arange(len(LABELS)), weights[0])
    found = areas(scores, TESTED_IN, TARGETS, weights.astype(np.float32))
    copied = areas(scores[..., rows], TESTED_IN[:, rows], TARGETS[rows], np.ones((1, len(rows)), np.float32))
    np.testing.assert_allclose(found, copied, rtol=1e-5)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Features that tell every letter, dimensions that tell nothing, and at another place nothing but features."""
    scores = {("layer_00", "image_mean", reads, k): of_k
              for reads, vectors in ((AUTOENCODER, PERFECT), (STREAM, noise(20)), (TWIN, noise(20)))
              for k, of_k in told(vectors, reads).items()}  # fmt: skip
    scores |= {("layer_03", "image_mean", AUTOENCODER, 1): told(noise(20))[1]}
    return one_letter_table(scores, TESTED_IN, LABELS, PHOTOS, StatisticsParams(confidence=0.95, resamples=300), 0)


def test_features_stand_beside_each_baseline_of_the_same_k(table):
    keys = table.set_index(["site", "reads", "k"])
    mine, stream = keys.loc[("layer_00", AUTOENCODER, 3)], keys.loc[("layer_00", STREAM, 3)]
    assert mine["auc"] == mine["low"] == mine["high"] == 1
    assert stream["low"] < stream["auc"] < stream["high"]
    assert mine["over_stream"] == pytest.approx(1 - stream["auc"])
    assert mine["over_stream_low"] == pytest.approx(1 - stream["high"])
    assert mine["over_untrained_twin"] == pytest.approx(1 - keys.loc[("layer_00", TWIN, 3), "auc"])
    assert mine[["over_pca", "over_pca_low"]].isna().all(), "components were not read"
    assert stream.filter(like="over_").isna().all()
    assert keys.loc[("layer_03", AUTOENCODER, 1)].filter(like="over_").isna().all()


def test_letters_are_resampled_too(table):
    """Two letters that are told and one that is not: which letters there are is most of the uncertainty."""
    scores = told(PERFECT)[3].copy()
    scores[:, 0] = -scores[:, 0]
    of_one = one_letter_table({("s", "p", AUTOENCODER, 3): scores}, TESTED_IN, LABELS, PHOTOS,
                              StatisticsParams(confidence=0.95, resamples=500), 0).iloc[0]  # fmt: skip
    assert of_one["auc"] == pytest.approx(2 / 3)
    assert (of_one["low"], of_one["high"]) == (0, 1)


def test_the_metrics_name_site_position_and_k(table):
    metrics = one_letter_metrics(table)
    assert metrics["one_letter_sae_3_image_mean_first"] == 1
    assert metrics["one_letter_sae_3_image_mean_first_over_stream"] > 0.2
    assert "one_letter_sae_3_image_mean_first_over_pca" not in metrics
    assert 0 < metrics["one_letter_sae_1_image_mean_last_low"] < 1


def test_without_scores_there_is_an_empty_table():
    empty = one_letter_table({}, TESTED_IN[:0], LABELS, PHOTOS, StatisticsParams(confidence=0.95, resamples=3), 0)
    assert empty.empty
    assert one_letter_metrics(empty) == {}
