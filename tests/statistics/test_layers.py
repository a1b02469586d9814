"""Whether a layer stands out: one that truly does, several that do not, and too few to ask."""

import numpy as np
import pandas as pd
import pytest

from signbridge.statistics.curves import curves, layer_comparison, peak_table
from signbridge.statistics.intervals import StatisticsParams, holm
from tests.probing.made_up import (
    choices,
    first,
    photo_of,
    predictions,
    sample,
)

SAMPLE = sample(photos_a_letter=25)
PARAMS = StatisticsParams(confidence=0.95, resamples=1000)
COMPARISON = ["position", "site_a", "site_b", "difference", "low", "high", "p_value", "p_holm"]
PEAKS = ["position", "site", "depth", "accuracy", "peak_probability", "share_chosen", "tied_with_best"]


def measured(layers: dict[str, np.ndarray], *others: pd.DataFrame):
    rows = [predictions(SAMPLE, "pixels", "flat", first(SAMPLE, 1.0))]
    rows += [predictions(SAMPLE, site, "prompt_last", right) for site, right in layers.items()]
    everything = pd.concat([*rows, *others], ignore_index=True)
    return curves(everything, photo_of(SAMPLE), PARAMS, np.random.default_rng(0))


def guesses(share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(100) < share


def peaks(layers: dict[str, np.ndarray], inner: dict[str, float] | None = None) -> pd.DataFrame:
    found = measured(layers)
    chosen = choices({(site, "prompt_last"): (inner or {}).get(site, 0.5) for site in layers})
    return peak_table(found, layer_comparison(found), chosen)


def test_a_layer_that_is_truly_better_stands_alone():
    table = peaks({"layer_00": guesses(0.3, 0), "layer_01": guesses(0.9, 1), "layer_02": guesses(0.4, 2)})
    assert table.columns.tolist() == PEAKS
    assert table["tied_with_best"].tolist() == [False, True, False]
    assert table["peak_probability"].tolist() == pytest.approx([0, 1, 0], abs=0.01)
    assert table["depth"].tolist() == [1, 2, 3]  # pixels are the first


def test_layers_that_are_truly_alike_are_all_tied():
    table = peaks({f"layer_{block:02d}": guesses(0.6, block) for block in range(6)})
    assert table["tied_with_best"].all()
    assert table["peak_probability"].max() < 0.95
    assert table["peak_probability"].sum() == pytest.approx(1)


def test_pixels_are_no_layer_however_well_they_read():
    assert peaks({"layer_00": guesses(0.3, 0), "layer_01": guesses(0.3, 1)})["site"].tolist() == [
        "layer_00",
        "layer_01",
    ]


def test_every_pair_of_layers_of_a_position_is_compared_once_and_corrected_together():
    other = [predictions(SAMPLE, site, "answer_last", guesses(0.5, 9)) for site in ("layer_00", "layer_01")]
    layers = {"layer_00": guesses(0.3, 0), "layer_01": guesses(0.5, 1), "layer_02": guesses(0.4, 2)}
    found = measured(layers, *other)
    table = layer_comparison(found)
    assert table.columns.tolist() == COMPARISON
    assert list(zip(table["position"], table["site_a"], table["site_b"], strict=True)) == [
        ("prompt_last", "layer_00", "layer_01"),
        ("prompt_last", "layer_00", "layer_02"),
        ("prompt_last", "layer_01", "layer_02"),
        ("answer_last", "layer_00", "layer_01"),
    ]
    assert table["difference"].iloc[0] == pytest.approx(layers["layer_00"].mean() - layers["layer_01"].mean())
    np.testing.assert_allclose(table["p_holm"].iloc[:3], holm(table["p_value"].iloc[:3].to_numpy()))
    assert table["p_holm"].iloc[3] == table["p_value"].iloc[3] == 1  # equal guesses


def test_a_layer_that_is_worse_at_one_position_may_be_tied_at_another():
    other = [predictions(SAMPLE, site, "answer_last", guesses(0.6, 9)) for site in ("layer_00", "layer_01")]
    found = measured({"layer_00": guesses(0.3, 0), "layer_01": guesses(0.9, 1)}, *other)
    table = peak_table(found, layer_comparison(found), choices({("layer_00", "prompt_last"): 0.5}))
    tied = table.set_index(["position", "site"])["tied_with_best"]
    assert not tied["prompt_last", "layer_00"]
    assert tied["answer_last"].all()


def test_neither_controls_nor_the_notebooks_protocol_are_compared():
    right = guesses(0.5, 0)
    others = [
        predictions(SAMPLE, "layer_00", "prompt_last", right, series="untrained_twin"),
        predictions(SAMPLE, "layer_00", "prompt_last", right, protocol="signbridge"),
        predictions(SAMPLE, "best", "prompt_last", right),
    ]
    found = measured({"layer_00": right, "layer_01": right}, *others)
    assert len(layer_comparison(found)) == 1


def test_the_share_of_folds_that_chose_a_layer_is_told_beside_it():
    layers = {"layer_00": guesses(0.5, 0), "layer_01": guesses(0.5, 1), "layer_02": guesses(0.5, 2)}
    table = peaks(layers, {"layer_01": 0.9})
    assert table["share_chosen"].tolist() == [0, 1, 0]
    found = measured(layers)
    varied = choices(
        {
            ("layer_00", "prompt_last"): lambda repeat, fold: 0.9 if fold == 0 else 0.1,
            ("layer_01", "prompt_last"): 0.5,
            ("layer_02", "prompt_last"): 0.5,  # of equals the first
        }
    )
    assert peak_table(found, layer_comparison(found), varied)["share_chosen"].tolist() == [0.25, 0.75, 0]


def test_one_layer_has_nothing_to_be_compared_with():
    found = measured({"layer_07": guesses(0.5, 0)})
    comparison = layer_comparison(found)
    assert comparison.columns.tolist() == COMPARISON
    assert comparison.empty
    table = peak_table(found, comparison, choices({("layer_07", "prompt_last"): 0.5}))
    assert table[["peak_probability", "tied_with_best"]].iloc[0].tolist() == [1, True]


def test_without_layers_the_tables_are_empty_and_keep_their_columns():
    found = measured({})
    comparison = layer_comparison(found)
    assert comparison.columns.tolist() == COMPARISON
    assert comparison.empty
    table = peak_table(found, comparison, choices({}))
    assert table.columns.tolist() == PEAKS
    assert table.empty
