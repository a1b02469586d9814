"""Intervals against references and by their coverage."""

import numpy as np
from scipy.stats import binomtest

from signbridge.probing.statistics import photo_bootstrap, wilson


def test_wilson_is_scipys_at_every_count_the_extremes_included():
    right = np.arange(61)
    low, high = wilson(right, np.full(61, 60), 0.95)
    for count in right:
        expected = binomtest(int(count), 60).proportion_ci(0.95, method="wilson")
        np.testing.assert_allclose([low[count], high[count]], [expected.low, expected.high], atol=1e-12)


def test_the_published_peak_is_not_told_apart_from_layer_8():
    low, high = wilson(np.array([43, 49]), np.array([60, 60]), 0.95)
    np.testing.assert_allclose([low, high], [[0.592, 0.701], [0.815, 0.894]], atol=1e-3)


def test_the_bootstrap_resamples_photos_as_a_plain_loop_does():
    generator = np.random.default_rng(0)
    tested = generator.integers(1, 20, size=30).astype(float)
    right = np.floor(tested[:, None] * generator.random((30, 2)))
    low, high = photo_bootstrap(right, tested, 0.9, 4000, np.random.default_rng(1))
    accuracies = []
    for _ in range(4000):
        drawn = generator.integers(0, 30, size=30)
        accuracies.append(right[drawn].sum(axis=0) / tested[drawn].sum())
    expected = np.quantile(accuracies, [0.05, 0.95], axis=0)
    np.testing.assert_allclose([low, high], expected, atol=0.012)


def test_copies_of_a_photo_do_not_narrow_the_interval():
    right = (np.arange(40) % 2).astype(float)[:, None]
    one = photo_bootstrap(right, np.ones(40), 0.95, 2000, np.random.default_rng(0))
    many = photo_bootstrap(21 * right, np.full(40, 21.0), 0.95, 2000, np.random.default_rng(0))
    np.testing.assert_array_equal(one, many)


def test_equal_columns_have_equal_intervals_because_they_share_the_resamples():
    right = np.random.default_rng(0).random((25, 1)).repeat(2, axis=1)
    low, high = photo_bootstrap(right, np.ones(25), 0.95, 100, np.random.default_rng(0))
    assert low[0] == low[1]
    assert high[0] == high[1]
