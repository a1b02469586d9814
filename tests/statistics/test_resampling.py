"""Means over resampled clusters: held to loops, and to what a cluster is."""

import numpy as np
import pandas as pd
import pytest

from signbridge.statistics.effects import effects, site_interval
from signbridge.statistics.intervals import StatisticsParams, wilson

STATISTICS = StatisticsParams(confidence=0.9, resamples=300)
KEYS = ["site", "position"]


def made_up(clusters: int = 12) -> pd.DataFrame:
    """Curves b.x and a.y, in that order; clusters of one to three rows; weights of their own."""
    generator = np.random.default_rng(0)
    rows = [
        (site, position, f"photo-{cluster}", value, weight)
        for site, position in (("b", "x"), ("a", "y"))
        for cluster in range(clusters)
        for value, weight in generator.uniform(1, 3, size=(1 + cluster % 3, 2))
    ]
    return pd.DataFrame(rows, columns=[*KEYS, "photo", "value", "weight"])


def found(table, weight=None, seed=0, statistics=STATISTICS):
    return effects(table, KEYS, "photo", "value", statistics, np.random.default_rng(seed), weight)


@pytest.mark.parametrize("weight", [None, "weight"])
def test_a_curves_value_is_its_mean_or_ratio_in_order_of_appearance(weight):
    table = made_up()
    result = found(table, weight)
    assert result.keys.to_numpy().tolist() == [["b", "x"], ["a", "y"]]
    for (site, position), value in zip(result.keys.to_numpy(), result.overall, strict=True):
        mine = table[(table["site"] == site) & (table["position"] == position)]
        expected = mine["value"].mean() if weight is None else mine["value"].sum() / mine["weight"].sum()
        assert value == pytest.approx(expected)


@pytest.mark.parametrize("weight", [None, "weight"])
def test_a_resample_is_the_value_of_a_table_with_its_clusters_repeated(weight):
    table = made_up()
    result = found(table, weight)
    clusters = sorted(table["photo"].unique())
    for drawn, values in zip(result.drawn[:5], result.resampled[:5], strict=True):
        times = table["photo"].map(dict(zip(clusters, drawn, strict=True)))
        repeated = table.loc[table.index.repeat(times)]
        np.testing.assert_allclose(values, found(repeated, weight).overall)


def test_more_rows_of_the_same_clusters_make_an_interval_no_narrower():
    table = made_up()
    tenfold = pd.concat([table] * 10)
    once, often = (found(rows).table("effect", STATISTICS.confidence) for rows in (table, tenfold))
    pd.testing.assert_frame_equal(once, often)


def test_more_clusters_do_make_an_interval_narrower():
    few, many = (found(made_up(clusters)).table("effect", 0.9) for clusters in (8, 200))
    width = [(rows["effect_high"] - rows["effect_low"]).mean() for rows in (few, many)]
    assert width[1] < width[0] / 2


def test_a_curve_that_a_resample_holds_nothing_of_keeps_its_value():
    table = pd.concat([made_up(3), pd.DataFrame([("c", "z", "photo-0", 2.0, 1.0)], columns=made_up().columns)])
    result = found(table)
    without = result.drawn[:, 0] == 0
    assert without.any()
    assert not np.isnan(result.resampled).any()
    np.testing.assert_allclose(result.resampled[without, 2], 2.0)


def test_a_share_of_none_or_all_is_not_quoted_as_certain():
    table = pd.DataFrame({"site": ["a"] * 6 + ["b"] * 6, "position": "x", "photo": list("uuvvww") * 2,
                          "value": [0.0] * 6 + [1.0] * 6})  # fmt: skip
    rows = found(table).table("share", 0.9, share=True).set_index("site")
    low, high = wilson(np.array([0, 3]), np.array([3, 3]), 0.9)
    assert rows.loc["a", ["share_low", "share_high"]].tolist() == pytest.approx([0, high[0]])
    assert rows.loc["b", ["share_low", "share_high"]].tolist() == pytest.approx([low[1], 1])


def test_the_interval_of_a_place_is_of_sites():
    places = np.repeat([0, 1, 2, 3], [2, 48, 48, 2])
    assert site_interval(places, ["p", "q", "r", "s"], 0.9) == ("q", "r")
    assert site_interval(places, ["p", "q", "r", "s"], 0.999) == ("p", "s")
