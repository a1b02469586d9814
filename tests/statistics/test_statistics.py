"""Intervals, comparisons and corrections against references, by hand and by simulation."""

import numpy as np
import pytest
from scipy.stats import binomtest, kstest

from signbridge.statistics.intervals import (
    compare,
    draw_groups,
    group_bootstrap,
    holm,
    interval,
    peak_probability,
    permutation_p_value,
    resampled_accuracy,
    wilson,
)


def test_wilson_is_scipys_at_every_count_the_extremes_included():
    right = np.arange(61)
    low, high = wilson(right, np.full(61, 60), 0.95)
    for count in right:
        expected = binomtest(int(count), 60).proportion_ci(0.95, method="wilson")
        np.testing.assert_allclose([low[count], high[count]], [expected.low, expected.high], atol=1e-12)


def test_every_resample_draws_as_many_photos_as_there_are_each_as_often():
    drawn = draw_groups(20, 4000, np.random.default_rng(0))
    assert (drawn.sum(axis=1) == 20).all()
    np.testing.assert_allclose(drawn.mean(axis=0), 1, atol=0.06)


def test_a_resample_reads_a_photo_as_often_as_it_was_drawn():
    right, tested = np.array([[2.0, 0.0], [1.0, 3.0]]), np.array([[4.0, 1.0], [2.0, 3.0]])
    drawn = np.array([[1, 1], [2, 0], [0, 2]])
    expected = [[3 / 6, 3 / 4], [2 / 4, 0], [1 / 2, 1]]
    np.testing.assert_allclose(resampled_accuracy(drawn, right, tested), expected)


def test_a_resample_without_a_photo_that_a_curve_was_tested_on_leaves_its_accuracy():
    right, tested = np.array([[1.0, 3.0], [1.0, 0.0]]), np.array([[2.0, 4.0], [2.0, 0.0]])
    np.testing.assert_allclose(resampled_accuracy(np.array([[0, 2]]), right, tested), [[1 / 2, 3 / 4]])


def test_the_bootstrap_resamples_photos_as_a_plain_loop_does():
    generator = np.random.default_rng(0)
    tested = generator.integers(1, 20, size=30).astype(float)
    right = np.floor(tested[:, None] * generator.random((30, 2)))
    low, high = group_bootstrap(right, tested, 0.9, 4000, np.random.default_rng(1))
    accuracies = []
    for _ in range(4000):
        drawn = generator.integers(0, 30, size=30)
        accuracies.append(right[drawn].sum(axis=0) / tested[drawn].sum())
    expected = np.quantile(accuracies, [0.05, 0.95], axis=0)
    np.testing.assert_allclose([low, high], expected, atol=0.012)


def test_an_interval_holds_the_truth_as_often_as_it_says_where_photos_stand_or_fall_whole():
    generator = np.random.default_rng(0)
    held = []
    for _ in range(200):
        right = 10.0 * (generator.random((60, 1)) < 0.7)
        low, high = group_bootstrap(right, np.full(60, 10.0), 0.9, 400, generator)
        held.append(low[0] <= 0.7 <= high[0])
    assert 0.84 <= np.mean(held) <= 0.96


def test_copies_of_a_photo_do_not_narrow_the_interval():
    right = (np.arange(40) % 2).astype(float)[:, None]
    one = group_bootstrap(right, np.ones(40), 0.95, 2000, np.random.default_rng(0))
    many = group_bootstrap(21 * right, np.full(40, 21.0), 0.95, 2000, np.random.default_rng(0))
    np.testing.assert_array_equal(one, many)


def test_equal_columns_have_equal_intervals_because_they_share_the_resamples():
    right = np.random.default_rng(0).random((25, 1)).repeat(2, axis=1)
    low, high = group_bootstrap(right, np.ones(25), 0.95, 100, np.random.default_rng(0))
    assert low[0] == low[1]
    assert high[0] == high[1]


def test_an_accuracy_of_0_or_1_keeps_the_doubt_that_so_many_photos_leave():
    right = np.tile([0.0, 5.0], (30, 1))  # thirty photos of five images
    low, high = group_bootstrap(right, np.full(30, 5.0), 0.95, 100, np.random.default_rng(0))
    none, every = (binomtest(count, 30).proportion_ci(0.95, method="wilson") for count in (0, 30))
    np.testing.assert_allclose([low[0], high[0]], [0, none.high], atol=1e-12)
    np.testing.assert_allclose([low[1], high[1]], [every.low, 1], atol=1e-12)


def test_only_the_photos_that_were_tested_count_at_the_edge():
    tested = np.repeat([[5.0], [0.0]], [10, 20], axis=0)
    low, _ = group_bootstrap(tested, tested, 0.95, 100, np.random.default_rng(0))
    assert low[0] == pytest.approx(binomtest(10, 10).proportion_ci(0.95, method="wilson").low)


def compared(right: np.ndarray, resamples: int, generator: np.random.Generator):
    """The first column against the second; each row of `right` is a photo of one image."""
    values = resampled_accuracy(draw_groups(len(right), resamples, generator), right, np.ones_like(right))
    return compare(values, right.mean(axis=0), np.array([0]), np.array([1]), 0.95)


def test_the_p_value_of_curves_that_are_truly_alike_is_uniform():
    generator = np.random.default_rng(0)
    p_values = []
    for _ in range(300):
        share = generator.random((100, 1))  # photos differ in how hard they are, for both curves alike
        right = (generator.random((100, 2)) < share).astype(float)
        p_values.append(compared(right, 300, generator).p_value[0])
    assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.09
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_a_curve_that_is_better_by_a_lot_is_told_apart():
    generator = np.random.default_rng(1)
    right = (generator.random((100, 2)) < [0.8, 0.5]).astype(float)
    difference = compared(right, 2000, generator)
    assert difference.difference[0] == pytest.approx(right[:, 0].mean() - right[:, 1].mean())
    assert 0 < difference.low[0] < difference.difference[0] < difference.high[0]
    assert difference.p_value[0] < 1e-3


def test_what_is_compared_is_the_difference_photo_by_photo():
    generator = np.random.default_rng(2)
    hard = np.repeat([0.0, 1.0], 50)  # both curves fail on the same photos
    better = hard.copy()
    better[:8] = 1
    paired = compared(np.stack([better, hard], axis=1), 2000, generator)
    apart = compared(np.stack([better, hard[::-1]], axis=1), 2000, generator)
    assert paired.difference[0] == pytest.approx(apart.difference[0])
    assert paired.p_value[0] < 0.01 < apart.p_value[0]


def test_curves_that_never_differ_are_not_told_apart_and_curves_that_always_do_are():
    right = np.tile([1.0, 1.0, 0.0], (20, 1))
    values = resampled_accuracy(draw_groups(20, 50, np.random.default_rng(0)), right, np.ones_like(right))
    difference = compare(values, right.mean(axis=0), np.array([0, 0]), np.array([1, 2]), 0.95)
    assert difference.p_value.tolist() == [1.0, 0.0]
    assert difference.difference.tolist() == [0.0, 1.0]


def test_swapping_two_curves_turns_the_sign_and_leaves_the_p_value():
    values = np.random.default_rng(3).random((500, 2))
    one = compare(values, values.mean(axis=0), np.array([0]), np.array([1]), 0.9)
    two = compare(values, values.mean(axis=0), np.array([1]), np.array([0]), 0.9)
    np.testing.assert_allclose([two.difference, two.low, two.high], [-one.difference, -one.high, -one.low])
    np.testing.assert_allclose(one.p_value, two.p_value)


def test_holm_is_holms_rule_restated():
    p_values = np.random.default_rng(4).random(12) ** 3
    expected = np.empty(12)
    largest = 0.0
    for rank, index in enumerate(np.argsort(p_values)):
        largest = max(largest, min(1.0, (12 - rank) * p_values[index]))
        expected[index] = largest
    np.testing.assert_allclose(holm(p_values), expected)
    assert holm(np.array([0.04])) == [0.04]
    assert holm(np.zeros(0)).shape == (0,)


def test_the_chances_of_being_the_peak_sum_to_one_and_ties_share():
    values = np.array([[0.9, 0.5, 0.1], [0.5, 0.5, 0.1], [0.2, 0.3, 0.1], [0.4, 0.4, 0.4]])
    chances = peak_probability(values)
    np.testing.assert_allclose(chances, [(1 + 1 / 2 + 1 / 3) / 4, (1 / 2 + 1 + 1 / 3) / 4, (1 / 3) / 4])
    assert chances.sum() == pytest.approx(1)


def test_a_permutation_p_value_counts_draws_as_good_and_the_observed_one():
    draws = np.array([0.1, 0.2, 0.3, 0.4])
    assert permutation_p_value(0.5, draws) == 1 / 5
    assert permutation_p_value(0.3, draws) == 3 / 5
    assert permutation_p_value(0.1 + 0.2, draws) == 3 / 5  # 0.30000000000000004 is no better than 0.3
    assert permutation_p_value(0.0, draws) == 1
    assert permutation_p_value(1.0, np.zeros(0)) == 1


def test_percentile_intervals_leave_half_of_the_doubt_on_each_side():
    low, high = interval(np.arange(1001.0)[:, None] / 1000, 0.9)
    np.testing.assert_allclose([low[0], high[0]], [0.05, 0.95])
