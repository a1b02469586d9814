"""Means over resampled clusters: held to loops, and to what a cluster is."""

import numpy as np
import pandas as pd
import pytest

from signbridge.statistics.effects import effects, site_interval
from signbridge.statistics.intervals import StatisticsParams, draw_nested, wilson

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


def nested(pairs: int, images: int, draws: int, spread: dict, seed: int = 0) -> pd.DataFrame:
    """A direction and a null with draws; each pair, image, draw and cell of these adds noise of its own `spread`."""
    generator = np.random.default_rng(seed)
    of_pair, of_draw = (generator.normal(size=count) * spread.get(what, 0)
                        for what, count in (("pair", pairs), ("draw", draws)))  # fmt: skip
    rows = []
    for pair in range(pairs):
        for image in range(images):
            of_image = generator.normal() * spread.get("image", 0)
            rows.append((pair, image, "direction", 0, 5 + of_pair[pair] + of_image))
            rows += [(pair, image, "null", draw, of_draw[draw]) for draw in range(draws)]
    return pd.DataFrame(rows, columns=["pair", "image", "direction", "draw", "value"])


def nested_effects(table, cluster=("pair", "image"), nulls="direction"):
    statistics = StatisticsParams(confidence=0.95, resamples=2000)
    return effects(table, ["direction"], cluster, "value", statistics, np.random.default_rng(0), nulls=nulls)


def test_images_that_share_a_pair_do_not_count_as_independent():
    """Only pairs differ: the interval is that of the pairs' means, however many images each has."""
    table = nested(5, 40, 1, {"pair": 1.0})
    means = table[table["direction"] == "direction"].groupby("pair")["value"].mean()
    assert nested_effects(table).resampled[:, 0].std() == pytest.approx(means.std(ddof=0) / np.sqrt(5), rel=0.05)
    alone = nested_effects(table.assign(image=range(len(table))), "image")
    assert alone.resampled[:, 0].std() < nested_effects(table).resampled[:, 0].std() / 5


def test_images_within_pairs_are_resampled_too():
    table = nested(2, 10, 1, {"image": 1.0})
    within = table[table["direction"] == "direction"].groupby("pair")["value"].std(ddof=0)
    assert nested_effects(table).resampled[:, 0].std() > 0.9 * within.mean() / np.sqrt(20)


def test_draws_of_a_null_are_resampled_alike_for_all_that_share_them():
    """Only draws differ: more pairs and images make the null no surer."""
    table = nested(20, 20, 3, {"draw": 1.0})
    draws = table[table["direction"] == "null"].groupby("draw")["value"].mean()
    found = nested_effects(table)
    assert found.resampled[:, 1].std() == pytest.approx(draws.std(ddof=0) / np.sqrt(3), rel=0.05)
    assert found.resampled[:, 0].std() == 0
    assert nested_effects(table, nulls=None).resampled[:, 1].std() < draws.std() / 10


def test_a_single_draw_is_in_every_resample():
    found = nested_effects(nested(4, 3, 1, {"pair": 1.0}))
    assert found.resampled.std(axis=0)[1] == 0
    assert not np.isnan(found.resampled).any()


def test_a_difference_is_taken_on_the_same_resamples():
    table = nested(6, 2, 2, {"pair": 1.0, "image": 0.5, "draw": 0.5})
    found = nested_effects(table)
    over = found.over("direction", "null")
    np.testing.assert_allclose(over.resampled[:, 0], found.resampled[:, 0] - found.resampled[:, 1])
    assert not over.resampled[:, 1].any()
    wanted = over.table("gap", 0.95).iloc[0][["gap", "gap_low", "gap_high"]].tolist()
    assert list(over.metrics("gap", 0, 0.95).values()) == pytest.approx(wanted)


def test_a_null_is_that_of_the_same_place():
    table = nested(3, 2, 2, {"pair": 1.0})
    places = pd.concat([table.assign(site="p"), table.assign(site="q", value=table["value"] * 3)])
    statistics = StatisticsParams(confidence=0.95, resamples=20)
    found = effects(places, ["site", "direction"], "pair", "value", statistics, np.random.default_rng(0))
    over = found.over("direction", "null")
    gaps = over.keys.assign(gap=over.overall).set_index(["site", "direction"])["gap"]
    assert gaps["q", "direction"] == pytest.approx(3 * gaps["p", "direction"])
    assert gaps["q", "null"] == gaps["p", "null"] == 0


def test_parts_of_a_cluster_are_drawn_as_often_as_it_has_parts_each_time_it_is_drawn():
    levels = np.array([[0, 0], [0, 1], [0, 2], [1, 0], [2, 0], [2, 1]])
    drawn = draw_nested(levels, 4000, np.random.default_rng(0))
    sizes = np.array([3, 1, 2])
    times = np.stack([drawn[:, levels[:, 0] == cluster].sum(axis=1) for cluster in range(3)], axis=1) / sizes
    assert (times == times.round()).all()
    assert (times.sum(axis=1) == 3).all()
    np.testing.assert_allclose(drawn.mean(axis=0), 1, atol=0.06)
