"""Measures of alignment: known values, published formulas written out, and planted directions."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from signbridge.statistics.alignment import (
    MEASURES,
    NEIGHBOURS,
    PROBES,
    alignment,
    alignment_metrics,
    auc,
    linear_cka,
    measured_items,
    pseudo_values,
)
from signbridge.statistics.intervals import StatisticsParams, wilson

STATISTICS = StatisticsParams(confidence=0.95, resamples=500)
WIDTH = 40
PLANTED = ("up", "bent", "hooked")
IMAGES, PHRASES = 60, 90


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def biased_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Kornblith et al. 2019, equation 3 with HSIC as they estimate it."""
    x, y = x - x.mean(0), y - y.mean(0)
    return np.linalg.norm(x.T @ y) ** 2 / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y)


def hsic_over_quadruples(k: np.ndarray, other: np.ndarray) -> float:
    """Song et al. 2012, the U-statistic behind equation 5: a mean over all quadruples of different items."""
    terms = [k[i, j] * (other[i, j] + other[q, r] - 2 * other[i, q]) for i, j, q, r in permutations(range(len(k)), 4)]
    return float(np.mean(terms))


def test_cka_of_a_turned_stretched_and_shifted_copy_is_one():
    x = normal(0, 20, 8)
    turn = np.linalg.qr(normal(1, 8, 8))[0]
    assert linear_cka(x, 3 * x @ turn + 5) == pytest.approx(1)


def test_cka_of_unrelated_wide_vectors_is_nought_on_average_where_the_biased_estimate_is_near_one():
    pairs = [(normal(2 * draw, 30, 500), normal(2 * draw + 1, 30, 500)) for draw in range(60)]
    assert np.mean([linear_cka(x, y) for x, y in pairs]) == pytest.approx(0, abs=0.02)
    assert np.mean([biased_cka(x, y) for x, y in pairs]) > 0.8


def test_cka_of_many_items_is_that_of_the_biased_estimate():
    x = normal(0, 3000, 5)
    y = x[:, :4] + normal(1, 3000, 4)
    assert linear_cka(x, y) == pytest.approx(biased_cka(x, y), abs=0.01)


def test_cka_is_the_published_statistic_written_out():
    x, y = normal(0, 7, 3), normal(1, 7, 2) + normal(0, 7, 3)[:, :2]
    k, other = x @ x.T, y @ y.T
    scale = hsic_over_quadruples(k, k) * hsic_over_quadruples(other, other)
    assert linear_cka(x, y) == pytest.approx(hsic_over_quadruples(k, other) / np.sqrt(scale))


@pytest.mark.parametrize("items", [8, 25, 60])
@pytest.mark.parametrize("offset", [0.0, 1.0, 1e3])
def test_cka_with_vectors_that_do_not_vary_is_not_a_number(offset, items):
    same = np.tile(normal(1, 1, 64) + offset, (items, 1))
    assert np.isnan(linear_cka(normal(0, items, 6), same))
    assert np.isnan(linear_cka(same, same))


def test_cka_of_three_items_is_not_a_number():
    assert np.isnan(linear_cka(normal(0, 3, 4), normal(1, 3, 4)))


def test_auc_is_that_of_scikit_learn_ties_and_all():
    generator = np.random.default_rng(0)
    for _ in range(20):
        scores = generator.integers(0, 6, 30).astype(float)
        true = generator.random(30) < 0.4
        assert auc(scores, true) == pytest.approx(roc_auc_score(true, scores))


def test_auc_of_one_kind_alone_is_not_a_number():
    assert np.isnan(auc(np.arange(3.0), np.ones(3, bool)))
    assert np.isnan(auc(np.arange(3.0), np.zeros(3, bool)))


def test_pseudo_values_of_a_mean_are_the_values():
    values = normal(0, 15)
    np.testing.assert_allclose(pseudo_values(15, lambda kept: float(values[kept].mean())), values)


def test_pseudo_values_of_a_variance_have_the_jackknife_s_mean_without_bias():
    values = normal(0, 15)
    found = pseudo_values(15, lambda kept: float(values[kept].var()))
    assert found.mean() == pytest.approx(values.var(ddof=1))


def test_pseudo_values_of_an_auc_have_it_as_their_mean():
    scores, true = normal(0, 20), np.arange(20) % 3 == 0
    assert pseudo_values(20, lambda kept: auc(scores[kept], true[kept])).mean() == pytest.approx(auc(scores, true))


def planted(
    shared: float, words_of_images: dict[str, frozenset[str]], offset: float = 0.0, site: str = "layer_00"
) -> pd.DataFrame:
    """Items whose means have a direction for each word that holds, plus noise: the same for both kinds, or not.

    Of the images' directions a part `shared` is that of the phrases, the rest one of their own.
    """
    generator = np.random.default_rng(3)
    text_ways = np.linalg.qr(normal(9, WIDTH, 2 * len(PLANTED)))[0].T
    ways = {
        "text": text_ways[: len(PLANTED)],
        "image": shared * text_ways[: len(PLANTED)] + (1 - shared) * text_ways[len(PLANTED) :],
    }
    phrases = [
        " ".join([f"Phrase {number}", *(word for place, word in enumerate(PLANTED) if number >> place & 1)])
        for number in range(PHRASES)
    ]
    holds = {
        "text": [[word in phrase for word in PLANTED] for phrase in phrases],
        "image": [[word in of_image for word in PLANTED] for of_image in words_of_images.values()],
    }
    rows = []
    for kind, items in (("image", list(words_of_images)), ("text", phrases)):
        vectors = 6 * np.array(holds[kind], float) @ ways[kind] + generator.normal(size=(len(items), WIDTH))
        vectors = (vectors + (offset if kind == "image" else -offset)).astype(np.float32)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        rows.append(
            pd.DataFrame({"site": site, "kind": kind, "item": items, "mean": list(vectors), "unit_mean": list(unit)})
        )
    return pd.concat(rows, ignore_index=True)


@pytest.fixture(scope="module")
def hands() -> dict[str, frozenset[str]]:
    generator = np.random.default_rng(0)
    return {
        f"image-{number}": frozenset(word for word in PLANTED if generator.random() < 0.5) for number in range(IMAGES)
    }


def probes(table: pd.DataFrame, hands: dict[str, frozenset[str]], draws: int = 30) -> pd.DataFrame:
    items = measured_items(table, hands, draws, np.random.default_rng(0))
    return items.groupby("measure")[["value", "null", "beaten"]].mean()


def test_a_probe_trained_on_text_reads_a_direction_that_images_share(hands):
    found = probes(planted(1.0, hands), hands)
    assert (found.loc[list(PROBES), "value"] > 0.95).all()
    assert found.loc["text_probe_on_image", "null"] == pytest.approx(0.5, abs=0.1)
    assert found.loc["text_probe_on_image", "beaten"] == 1
    assert found.loc[["text_probe_on_text", "image_probe_on_image"], "null"].isna().all()


def test_a_probe_trained_on_text_reads_no_direction_that_only_images_have(hands):
    found = probes(planted(0.0, hands), hands)
    assert found.loc["text_probe_on_image", "value"] == pytest.approx(0.5, abs=0.12)
    assert 0 < found.loc["text_probe_on_image", "beaten"] < 1
    assert found.loc["image_probe_on_image", "value"] > 0.95
    assert found.loc["text_probe_on_text", "value"] > 0.95


def test_neither_an_offset_nor_a_wider_spread_of_one_kind_hides_what_they_share(hands):
    table = planted(1.0, hands, offset=30.0)
    wider = np.where(np.arange(WIDTH) % 4 == 0, 50, 1)  # in a quarter of the entries the images vary more
    table["mean"] = [
        mean * wider if kind == "image" else mean for kind, mean in zip(table["kind"], table["mean"], strict=True)
    ]
    assert probes(table, hands).loc["text_probe_on_image", "value"] > 0.95


def test_how_many_nulls_are_drawn_does_not_change_what_is_measured(hands):
    few, many = (
        measured_items(planted(0.3, hands), hands, draws, np.random.default_rng(0))["value"] for draws in (1, 40)
    )
    np.testing.assert_allclose(few, many)


def test_words_that_hardly_any_image_has_get_no_probe(hands):
    table = planted(1.0, hands)
    rarely = {image: frozenset(["up"]) if place < 4 else frozenset() for place, image in enumerate(hands)}
    assert set(measured_items(table, rarely, 2, np.random.default_rng(0))["measure"]).isdisjoint(PROBES)
    often = {image: frozenset(["up", "crossed"]) if place % 2 else frozenset() for place, image in enumerate(hands)}
    assert set(PROBES) <= set(measured_items(table, often, 2, np.random.default_rng(0))["measure"])


def test_probes_are_held_to_the_images_whose_words_are_known(hands):
    known = dict(list(hands.items())[:40])
    items = measured_items(planted(1.0, hands), known, 2, np.random.default_rng(0))
    of_probe = items[items["measure"] == "text_probe_on_image"]
    assert list(of_probe["item"]) == list(known)
    assert len(items[items["measure"] == "text_probe_on_text"]) == PHRASES
    nobody = measured_items(planted(1.0, hands), {}, 2, np.random.default_rng(0))
    assert set(nobody["measure"]) == {"cosine_between", "cosine_within_image", "cosine_within_text"}


def test_cosines_are_the_means_over_all_pairs_of_tokens():
    generator = np.random.default_rng(0)
    tokens = {kind: [normal(number + 10 * place, 3 + number, 5) for number in range(4)]
              for place, kind in enumerate(("image", "text"))}  # fmt: skip
    unit = {kind: [of / np.linalg.norm(of, axis=1, keepdims=True) for of in items] for kind, items in tokens.items()}
    table = pd.DataFrame(
        {"site": "layer_00", "kind": kind, "item": f"{kind} {number}", "mean": of.mean(0), "unit_mean": of.mean(0)}
        for kind, items in unit.items() for number, of in enumerate(items)
    )  # fmt: skip
    found = measured_items(table, {}, 1, generator).set_index(["measure", "item"])["value"]
    image, text = unit["image"], unit["text"]
    between = np.mean([(image[0] @ other.T).mean() for other in text])
    assert found["cosine_between", "image 0"] == pytest.approx(between)
    within = np.mean([(image[1] @ image[other].T).mean() for other in (0, 2, 3)])
    assert found["cosine_within_image", "image 1"] == pytest.approx(within)
    within = np.mean([(text[2] @ text[other].T).mean() for other in (0, 1, 3)])
    assert found["cosine_within_text", "text 2"] == pytest.approx(within)


def captioned(table: pd.DataFrame, captions: np.ndarray) -> pd.DataFrame:
    images = table[table["kind"] == "image"]
    of_images = images.assign(kind="caption", mean=list(captions.astype(np.float32)))
    return pd.concat([table, of_images], ignore_index=True)


def test_cka_of_captions_that_vary_as_their_images_do_beats_captions_dealt_at_random(hands):
    table = planted(1.0, hands)
    means = np.stack(table.loc[table["kind"] == "image", "mean"])
    turn = np.linalg.qr(normal(5, WIDTH, WIDTH))[0]
    found = probes(captioned(table, means @ turn + normal(6, *means.shape)), hands).loc["cka"]
    assert found["value"] > 0.5
    assert found["null"] == pytest.approx(0, abs=0.1)
    assert found["beaten"] == 1
    unrelated = probes(captioned(table, normal(6, *means.shape)), hands).loc["cka"]
    assert unrelated["value"] == pytest.approx(0, abs=0.15)


def test_captions_that_are_all_the_same_have_no_cka(hands):
    table = captioned(planted(1.0, hands), np.ones((IMAGES, WIDTH)))
    items = measured_items(table, hands, 2, np.random.default_rng(0))
    assert items.loc[items["measure"] == "cka", "value"].isna().all()
    assert "cka" not in set(alignment(items, STATISTICS, np.random.default_rng(0))["measure"])
    assert not any(key.startswith("cka") for key in metrics_of(items, ["layer_00"]))


def metrics_of(items: pd.DataFrame, sites: list[str]) -> dict[str, float | str]:
    return alignment_metrics(items, sites, STATISTICS, np.random.default_rng(0))


def made_up(measure: str, values: dict[str, list[float]]) -> pd.DataFrame:
    """The items of a measure, by site."""
    return pd.concat(
        pd.DataFrame(
            {"measure": measure, "site": site, "item": [f"i{place}" for place in range(len(of_site))],
             "value": of_site, "null": np.nan, "beaten": np.nan}
        )
        for site, of_site in values.items()
    )  # fmt: skip


def test_every_measure_has_its_mean_and_interval_at_every_site_in_order(hands):
    table = pd.concat([planted(0.2, hands, site="embedding"), planted(1.0, hands, site="layer_04")])
    items = measured_items(table, hands, 5, np.random.default_rng(0))
    neighbours = made_up("text_near_image", {"embedding": [0.0] * 30, "layer_04": [0.2, 0.4, np.nan] * 10})
    found = alignment(
        pd.concat([neighbours.drop(columns=["null", "beaten"]), items]), STATISTICS, np.random.default_rng(0)
    )
    assert list(found.columns) == ["measure", "site", "value", "low", "high", "null", "beaten"]
    there = [measure for measure in MEASURES if measure in set(found["measure"])]
    assert list(found["measure"]) == list(np.repeat(there, 2))
    assert list(found["site"]) == ["embedding", "layer_04"] * len(there)
    assert (found["low"] <= found["value"]).all()
    assert (found["value"] <= found["high"]).all()
    shares = found[found["measure"] == "text_near_image"]
    assert list(shares["value"]) == pytest.approx([0, 0.3])
    assert shares["high"].iloc[0] == pytest.approx(wilson(np.array([0]), np.array([30]), 0.95)[1][0])
    assert shares[["null", "beaten"]].isna().all(axis=None)
    read = found[found["measure"] == "text_probe_on_image"].set_index("site")
    assert read.loc["layer_04", "value"] > read.loc["embedding", "value"]
    assert read["null"].between(0.3, 0.7).all()
    assert found.loc[found["measure"].isin(PROBES), "high"].max() <= 1


def test_nothing_measured_is_an_empty_table_of_the_same_columns():
    nothing = pd.DataFrame(columns=["measure", "site", "item", "value", "null", "beaten"])
    found = alignment(nothing, STATISTICS, np.random.default_rng(0))
    assert list(found.columns) == ["measure", "site", "value", "low", "high", "null", "beaten"]
    assert metrics_of(nothing, ["layer_00"]) == {}


def test_metrics_compare_the_last_site_with_the_first_on_the_same_items():
    low, gain = normal(0, 40), 0.1 + 0.001 * normal(1, 40)
    values = {"embedding": [*low, 100.0], "layer_04": [*low + 9, 0.0], "layer_08": [*low + gain, np.nan]}
    found = metrics_of(made_up("cosine_between", values), ["embedding", "layer_04", "layer_08"])
    assert found["cosine_between_first"] == pytest.approx(low.mean())
    assert found["cosine_between_last"] == pytest.approx((low + gain).mean())
    assert found["cosine_between_last_minus_first"] == pytest.approx(gain.mean())
    width = found["cosine_between_last_minus_first_high"] - found["cosine_between_last_minus_first_low"]
    assert width < 0.002, "the items' own spread falls out"


def test_a_measure_without_items_at_one_of_the_ends_has_no_metric():
    values = {"embedding": [0.5, 0.4], "layer_08": [np.nan, np.nan]}
    assert metrics_of(made_up(NEIGHBOURS[0], values), ["embedding", "layer_08"]) == {}
