"""Measures with intervals, on items of which all is known."""

import numpy as np
import pandas as pd
import pytest
import torch

from signbridge.sae.features import deviations
from signbridge.statistics.autoencoders import Items, judged
from signbridge.statistics.intervals import StatisticsParams
from tests.sae.hand_made import hand_made

STATISTICS = StatisticsParams(confidence=0.95, resamples=300)
SITES = ["layer_02", "layer_05"]
COUNT, BOUNDS = 12, (0.1, 0.9)
MASS = {"image": [4.0, 1.0, 0.0, 0.0], "text": [0.0, 1.0, 3.0, 0.0]}  # a token: of images, of both, of text, of none


def items(kind: str, **columns) -> Items:
    """Alike at both sites: an autoencoder that gives all back and changes nothing."""
    of_item = {"tokens": 10, "deviation": 50.0, "error": 0.0, "active": 20, "nll": 0.5, "nll_sae": 0.5, "nll_zero": 2.5,
               "nll_sae_all": 1.0, "nll_zero_all": 4.5}  # fmt: skip
    table = pd.DataFrame({"item": [f"{kind} {row}" for row in range(COUNT)], **of_item, **columns})
    masses = np.tile(10 * np.array(MASS[kind]), (COUNT, 1))
    return Items(pd.concat([table.assign(site=site) for site in SITES]), dict.fromkeys(SITES, masses))


def features() -> pd.DataFrame:
    one = {"image_fires": [0.5, 0.1, 0, 0], "text_fires": [0, 0.1, 0.2, 0], "modality": [1, 0.5, 0, np.nan]}
    return pd.concat([pd.DataFrame({"site": site, **one}) for site in SITES], ignore_index=True)


def judge(**of_image):
    both = {"image": items("image", **of_image), "text": items("text")}
    table, metrics = judged(both, features(), BOUNDS, STATISTICS, np.random.default_rng(0))
    return table.set_index(["site", "modality", "measure"]), metrics


def test_an_autoencoder_that_changes_nothing_has_all_the_variance_and_fidelity():
    table, metrics = judge()
    for site in SITES:
        for kind in ("image", "text"):
            expected = {"variance_explained": 1, "fidelity": 1, "l0": 2, "zeros_cost": 2, "nll": 0.5}
            expected |= {"fidelity_all": 1 - 0.5 / 4, "zeros_cost_all": 4}
            for measure, value in expected.items():
                assert table.loc[(site, kind, measure)].tolist() == pytest.approx([value] * 3), measure
    assert metrics["fidelity_image_last"] == 1
    assert metrics["fidelity_image_last_minus_first_low"] == 0
    assert not any(name.startswith("nll") for name in metrics)


def test_zeros_have_no_fidelity_and_half_way_is_half():
    table, _ = judge(nll_sae=2.5, error=50.0)
    assert table.loc[("layer_02", "image", "fidelity"), "value"] == 0
    assert table.loc[("layer_02", "image", "variance_explained"), "value"] == 0
    assert table.loc[("layer_02", "text", "fidelity"), "value"] == 1
    assert judge(nll_sae=1.5)[1]["fidelity_image_first"] == pytest.approx(0.5)


def test_where_zeros_cost_nothing_for_sure_there_is_no_fidelity():
    noise = np.random.default_rng(0).normal(scale=0.01, size=COUNT)
    table, metrics = judge(nll_zero=0.5 + noise - noise.mean())
    assert table.loc[("layer_02", "image", "fidelity")].isna().all()
    assert not any(name.startswith("fidelity_image") for name in metrics)
    assert "fidelity_text_first" in metrics


def test_each_feature_is_counted_by_what_it_fires_on():
    table, metrics = judge()
    for measure in ("shared", "image_only", "text_only"):
        assert table.loc[("layer_05", "both", measure)].tolist() == pytest.approx([1 / 3] * 3)
    assert table.loc[("layer_05", "both", "dead"), "value"] == 1 / 4
    assert table.loc[("layer_05", "image", "fires"), "value"] == 1 / 2
    assert metrics["shared_first"] == metrics["shared_last"] == pytest.approx(1 / 3)


def test_a_share_is_weighted_by_how_much_features_fire():
    table, metrics = judge()
    mean = {kind: np.array(MASS[kind]) for kind in MASS}
    shared, every = mean["image"][1] + mean["text"][1], mean["image"].sum() + mean["text"].sum()
    assert table.loc[("layer_05", "both", "shared_mass")].tolist() == pytest.approx([shared / every] * 3)
    assert metrics["shared_mass_last"] == pytest.approx(shared / every)
    assert "shared_untrained_twin_last" not in metrics


def test_what_the_twin_shares_stands_beside_on_the_same_resamples():
    both = {"image": items("image"), "text": items("text")}
    for masses in {id(of): of for of in both["text"].masses.values()}.values():
        masses[0, 1] = masses[:, 1].sum()
        masses[1:, 1] = 0  # so that resamples differ
    table, metrics = judged(both, features(), BOUNDS, STATISTICS, np.random.default_rng(0), both)
    table = table.set_index(["site", "modality", "measure"])
    assert table.loc[("layer_02", "both", "shared"), "low"] < table.loc[("layer_02", "both", "shared"), "high"]
    for name in ("shared", "shared_mass"):
        np.testing.assert_array_equal(table.loc[("layer_02", "both", f"{name}_over_untrained_twin")], [0, 0, 0])
        assert metrics[f"{name}_untrained_twin_first"] == metrics[f"{name}_first"]
    apart = {
        kind: Items(of.table, {site: of.masses[site] * [1, 0, 1, 1] for site in SITES}) for kind, of in both.items()
    }
    _, metrics = judged(both, features(), BOUNDS, STATISTICS, np.random.default_rng(0), apart)
    assert metrics["shared_untrained_twin_last"] == 0
    assert metrics["shared_over_untrained_twin_last"] == metrics["shared_last"]


def test_as_many_components_as_features_fire_stand_beside_the_variance_explained():
    explained = np.tile([20.0, 10.0, 7.0, 3.0], (COUNT, 1))  # L0 is 2
    both = {kind: items(kind, off_centre=60.0)._replace(explained=dict.fromkeys(SITES, explained)) for kind in MASS}
    table, metrics = judged(both, features(), BOUNDS, STATISTICS, np.random.default_rng(0))
    expected = 1 - (60 - 30) / 50  # of the squared distance from the mean of the items
    found = table.set_index(["site", "modality", "measure"]).loc[("layer_02", "text", "pca_variance_explained")]
    assert found.tolist() == pytest.approx([expected] * 3)
    assert metrics["pca_variance_explained_image_last"] == pytest.approx(expected)
    few = {kind: of._replace(explained=dict.fromkeys(SITES, explained[:, :1])) for kind, of in both.items()}
    _, metrics = judged(few, features(), BOUNDS, STATISTICS, np.random.default_rng(0))
    assert "pca_variance_explained_image_last" not in metrics


def test_intervals_are_over_items_and_a_feature_of_one_phrase_is_not_sure():
    both = {"image": items("image", active=np.arange(COUNT)), "text": items("text")}
    for masses in {id(of): of for of in both["text"].masses.values()}.values():
        masses[0, 1] = masses[:, 1].sum()
        masses[1:, 1] = 0  # the shared feature fires in the first phrase alone
    table, _ = judged(both, features(), BOUNDS, STATISTICS, np.random.default_rng(0))
    table = table.set_index(["site", "modality", "measure"])
    l0, shared = (table.loc[("layer_02", *of)] for of in (("image", "l0"), ("both", "shared")))
    assert l0["low"] < l0["value"] < l0["high"]
    assert shared["value"] == pytest.approx(1 / 3)
    assert shared["low"] == 0
    fidelity = table.loc[("layer_02", "text", "fidelity")]
    assert fidelity["low"] == fidelity["high"] == 1


def test_the_interval_of_a_share_is_not_pulled_from_it_by_features_that_few_items_light():
    """Features that fire in one image each, which a third of all resamples have not, beside others of every phrase."""
    of_text = np.zeros((COUNT, 2 * COUNT))
    of_text[:, COUNT:] = 1.0  # features of every phrase
    of_images = np.hstack([np.eye(COUNT), np.zeros((COUNT, COUNT))])
    both = {
        kind: Items(items(kind).table, dict.fromkeys(SITES, masses))
        for kind, masses in (("image", of_images), ("text", of_text))
    }
    table, _ = judged(both, features(), BOUNDS, STATISTICS, np.random.default_rng(0))
    for _, row in table[table["measure"].isin(["image_only", "text_only"])].iterrows():
        assert row["value"] == 0.5
        assert row["low"] <= 0.5 <= row["high"]


def test_planted_directions_are_explained_whole():
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(8, 8, generator=generator))[0][:5]
    weights = torch.rand(40, 5, generator=generator) * (torch.rand(40, 5, generator=generator) < 0.4)
    vectors = weights @ directions
    back = hand_made(directions.T, directions)(vectors).detach()
    tokens = np.full(COUNT, 10)
    by_item = [vectors[start % 4 * 10 : start % 4 * 10 + 10].double() for start in range(COUNT)]
    of_item = {
        "deviation": deviations(
            tokens, np.array([of.square().sum() for of in by_item]), np.array([of.sum(0).numpy() for of in by_item])
        ),
        "error": [float((vectors - back).double().square().sum()) / 4] * COUNT,
    }
    assert judge(**of_item)[1]["variance_explained_image_first"] == pytest.approx(1, abs=1e-6)


def test_one_site_alone_has_no_difference():
    both = {
        kind: Items(of.table[of.table["site"] == SITES[0]], {SITES[0]: of.masses[SITES[0]]})
        for kind, of in (("image", items("image")), ("text", items("text")))
    }
    of_site = features().query("site == @SITES[0]")
    _, metrics = judged(both, of_site, BOUNDS, STATISTICS, np.random.default_rng(0))
    assert metrics["shared_first"] == metrics["shared_last"]
    assert not any("last_minus_first" in name for name in metrics)
