"""The reduced rows are the rows, seen in a rotated frame."""

import numpy as np
import pytest

from signbridge.probing.coordinates import reduce, reduce_products, weights_on_features


def rows(count: int, features: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, features))


@pytest.mark.parametrize(("count", "features"), [(30, 200), (200, 30), (40, 40), (41, 40), (1, 5)], ids=str)
def test_every_inner_product_is_kept(count, features):
    train, test = rows(count, features) + 3, rows(7, features, seed=1) + 3
    reduced = reduce(train, test)
    train, test = train - train.mean(axis=0), test - reduced.centre
    np.testing.assert_allclose(reduced.train @ reduced.train.T, train @ train.T, atol=1e-9)
    np.testing.assert_allclose(reduced.test @ reduced.train.T, test @ train.T, atol=1e-9)


@pytest.mark.parametrize(("count", "features"), [(30, 200), (200, 30)], ids=str)
def test_the_spread_along_each_direction_is_its_own_and_the_directions_say_nothing_of_each_other(count, features):
    reduced = reduce(rows(count, features), rows(0, features))
    np.testing.assert_allclose(reduced.train.T @ reduced.train, np.diag(reduced.spread), atol=1e-9)
    np.testing.assert_allclose(reduced.train.sum(axis=0), 0, atol=1e-9)
    assert reduced.train.shape[1] == min(count - 1, features)  # rows that sum to zero span one direction less
    assert reduced.test.shape == (0, len(reduced.spread))


def test_doubled_rows_and_columns_cost_no_coordinate():
    once = rows(20, 12)
    assert reduce(np.tile(once, (3, 5)), once[:0].repeat(5, axis=1)).train.shape == (60, 12)
    assert reduce(np.tile(once, (1, 5)), once[:0].repeat(5, axis=1)).train.shape == (20, 12)


@pytest.mark.parametrize(("count", "features"), [(30, 60), (60, 30)], ids=str)
def test_rows_that_are_all_alike_have_no_coordinates(count, features):
    reduced = reduce(np.ones((count, features)), rows(4, features))
    assert reduced.train.shape == (count, 0)
    assert reduced.test.shape == (4, 0)


@pytest.mark.parametrize(("count", "features"), [(30, 200), (200, 30)], ids=str)
def test_weights_on_the_coordinates_read_the_features_as_they_read_the_coordinates(count, features):
    train, test = rows(count, features), rows(9, features, seed=1)
    reduced = reduce(train, test)
    weights = rows(3, len(reduced.spread), seed=2)
    on_features = weights_on_features(reduced, train, weights)
    np.testing.assert_allclose((test - reduced.centre) @ on_features.T, reduced.test @ weights.T, atol=1e-9)


@pytest.mark.parametrize("width", [5, 30, 200])
def test_products_alone_give_the_same_rows_as_the_rows_do(width):
    generator = np.random.default_rng(width)
    rows = generator.normal(size=(40, width)) + 3
    train = generator.permutation(40) < 30
    direct, by_products = reduce(rows[train], rows[~train]), reduce_products(rows @ rows.T, train, ~train)
    np.testing.assert_allclose(by_products.spread, direct.spread, rtol=1e-8)
    for one, other in ((direct.train, by_products.train), (direct.test, by_products.test)):
        np.testing.assert_allclose(other @ by_products.train.T, one @ direct.train.T, atol=1e-8 * direct.spread.max())
