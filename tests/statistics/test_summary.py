"""The headline: nested, marked where it leaks, and silent on what was not measured."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from signbridge.probing import protocols
from signbridge.probing.peak import headline_position, headline_predictions
from signbridge.probing.predictions import choices_table, predictions_table
from signbridge.probing.sweep import Cell, Penalties, score
from signbridge.statistics.curves import BEST, controls_table, curves, layer_comparison, peak_table
from signbridge.statistics.description_length import CodeLengths
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.summary import Findings, summary
from tests.probing.made_up import (
    choices,
    first,
    photo_of,
    predictions,
    sample,
)

SAMPLE = sample(photos_a_letter=25)
PARAMS = StatisticsParams(confidence=0.95, resamples=400)
NO_DRAWS = pd.DataFrame(columns=["site", "position", "draw", "accuracy"])
LAYERS = ("layer_00", "layer_08", "layer_16")
Inner = dict[tuple[str, str], float | Callable[[int, int], float]]


def guesses(share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(100) < share


def study(**right: np.ndarray) -> list[pd.DataFrame]:
    """Predictions under `grouped`: pixels, the tower and the answer, and layers at `prompt_last`."""
    places = {"pixels": "flat", "vision": "image_mean", "answer": "text"}
    return [predictions(SAMPLE, site, places.get(site, "prompt_last"), known) for site, known in right.items()]


def findings(
    measured: list[pd.DataFrame], inner: Inner, draws: pd.DataFrame = NO_DRAWS, images: pd.DataFrame = SAMPLE
) -> Findings:
    """What the stage `statistics` would make of these predictions."""
    chosen = choices(inner)
    everything = pd.concat(measured, ignore_index=True)
    position = headline_position(chosen)
    for series in everything["series"].unique() if position else []:
        best = headline_predictions(everything[everything["series"] == series], chosen, position)
        measured = [*measured, best.assign(series=series, site=BEST)]
    found = curves(pd.concat(measured, ignore_index=True), photo_of(images), PARAMS, np.random.default_rng(0))
    peaks = peak_table(found, layer_comparison(found), chosen)
    cells = found.table[["site", "position"]].drop_duplicates()
    bits = 100 / (1 + np.arange(len(cells)) / 10)
    codes = CodeLengths(cells.assign(bits=bits, compression=100 / bits), np.tile(bits, (10, 1)), 0.95)
    return Findings(found, chosen, peaks, controls_table(found, draws), draws, codes, chance=0.25)


ONE_BETTER = study(
    pixels=first(SAMPLE, 0.4), vision=first(SAMPLE, 0.6), answer=first(SAMPLE, 0.32),
    layer_00=guesses(0.3, 0), layer_08=guesses(0.9, 1), layer_16=guesses(0.5, 2),
)  # fmt: skip
CHOSE_IT: Inner = {(site, "prompt_last"): 0.9 if site == "layer_08" else 0.4 for site in LAYERS}


def test_a_layer_that_is_truly_better_is_named_and_stands_out():
    numbers = summary(findings(ONE_BETTER, CHOSE_IT), {"grouped": 0.0})
    assert numbers["grouped_peak_site"] == "layer_08"
    assert numbers["grouped_position"] == "prompt_last"
    assert numbers["grouped_peak_share_of_folds"] == 1
    assert numbers["grouped_peak_accuracy"] == guesses(0.9, 1).mean()
    assert numbers["grouped_peak_low"] < numbers["grouped_peak_accuracy"] < numbers["grouped_peak_high"]
    assert numbers["grouped_stands_out"] is True
    assert numbers["grouped_tied_layers"] == 1
    assert numbers["grouped_largest_peak_probability"] > 0.99
    assert (numbers["chance"], numbers["confidence"]) == (0.25, 0.95)


def test_the_headline_is_held_against_what_it_must_beat():
    numbers = summary(findings(ONE_BETTER, CHOSE_IT), {"grouped": 0.0})
    peak = numbers["grouped_peak_accuracy"]
    assert numbers["grouped_gain_over_chance"] == pytest.approx(peak - 0.25)
    for name, accuracy in {"pixels": 0.4, "vision": 0.6, "answer": 0.32}.items():
        assert numbers[f"grouped_{name}"] == accuracy
        assert numbers[f"grouped_over_{name}"] == pytest.approx(peak - accuracy)
        assert numbers[f"grouped_over_{name}_low"] < peak - accuracy < numbers[f"grouped_over_{name}_high"]
    assert numbers["grouped_compression"] == pytest.approx(1.4)  # the made-up one of the fifth cell, layer_08


def test_layers_that_are_alike_do_not_stand_out():
    alike = study(**{site: guesses(0.6, seed) for seed, site in enumerate(LAYERS)})
    numbers = summary(findings(alike, CHOSE_IT), {"grouped": 0.0})
    assert numbers["grouped_stands_out"] is False
    assert numbers["grouped_tied_layers"] == 3


def test_a_layer_that_is_probed_alone_does_not_stand_out_from_anything():
    numbers = summary(findings(study(layer_05=guesses(0.9, 0)), {("layer_05", "prompt_last"): 0.9}), {"grouped": 0.0})
    assert numbers["grouped_peak_site"] == "layer_05"
    assert numbers["grouped_stands_out"] is False


def test_each_fold_is_read_by_the_layer_that_it_chose_itself():
    everything, nothing = first(SAMPLE, 1.0), first(SAMPLE, 0.0)
    inner: Inner = {
        ("layer_00", "prompt_last"): 0.5,
        ("layer_08", "prompt_last"): lambda repeat, fold: 0.9 if fold == 0 else 0.1,
    }
    numbers = summary(findings(study(layer_00=nothing, layer_08=everything), inner), {"grouped": 0.0})
    assert numbers["grouped_peak_accuracy"] == 0.25  # of the fourth of the photos that is fold 0
    assert numbers["grouped_peak_site"] == "layer_00"
    assert numbers["grouped_peak_share_of_folds"] == 0.75


def test_the_best_of_many_layers_of_noise_is_above_chance_and_the_headline_is_not():
    """Winner's curse: the same vectors, letters and folds, and only the choice is made elsewhere."""
    generator = np.random.default_rng(0)
    images = sample(photos_a_letter=15)
    labels, photos = images["label"].to_numpy(), images["photo"].to_numpy()
    splits = protocols.grouped(labels, photos, folds=4, repeats=2, inner_folds=2, seed=0)
    cells = [Cell(f"layer_{block:02d}", "prompt_last", generator.normal(size=(60, 10))) for block in range(40)]
    scored = [score(cell, labels, splits, Penalties(1.0, [0.01])) for cell in cells]
    table = predictions_table(scored, splits, images["image_id"].to_numpy(), labels)
    right = table["label"] == table["predicted"]
    best = headline_predictions(table, choices_table(scored, splits), "prompt_last")
    nested = (best["label"] == best["predicted"]).mean()
    assert right.groupby(table["site"]).mean().max() > 0.35
    assert nested == pytest.approx(0.25, abs=0.06)


def test_numbers_of_the_notebooks_protocol_say_in_their_names_that_they_leak():
    notebook = [table.assign(protocol="signbridge") for table in ONE_BETTER]
    both = findings([*notebook, *ONE_BETTER], CHOSE_IT)
    leaking = summary(both, {"signbridge": 0.6, "grouped": 0.0})
    assert leaking["signbridge_leaking_copies_in_train"] == 0.6
    assert leaking["signbridge_leaking_peak_site"] == "layer_08"
    assert leaking["signbridge_leaking_peak_position"] == "prompt_last"
    assert leaking["signbridge_leaking_peak_accuracy"] == guesses(0.9, 1).mean()
    assert leaking["signbridge_leaking_pixels"] == 0.4
    others = [name for name in leaking if name.startswith("signbridge") and "leaking" not in name]
    assert not others
    clean = summary(both, {"signbridge": 0.0, "grouped": 0.0})
    assert clean["signbridge_peak_site"] == "layer_08"
    assert not [name for name in clean if "leaking" in name]


def test_the_notebooks_own_layers_are_quoted_at_its_own_position():
    rows = [predictions(SAMPLE, site, "answer_last", guesses(0.5, 0), protocol="signbridge") for site in LAYERS]
    numbers = summary(findings(rows, {}), {"signbridge": 0.6})
    assert "signbridge_leaking_layer_08_answer_last" in numbers
    assert "signbridge_leaking_layer_16_answer_last" in numbers
    assert "signbridge_leaking_layer_00_answer_last" not in numbers  # not one of the four
    assert "signbridge_leaking_layer_31_answer_last" not in numbers  # this model has none


def test_controls_stand_beside_the_headline_at_the_layer_that_most_folds_chose():
    twin = [
        table.assign(series="untrained_twin")
        for table in study(layer_00=first(SAMPLE, 0.2), layer_08=first(SAMPLE, 0.4), layer_16=first(SAMPLE, 0.2))
    ]
    grey = [
        table.assign(series="no_image")
        for table in study(layer_00=first(SAMPLE, 0.0), layer_08=first(SAMPLE, 0.24), layer_16=first(SAMPLE, 0.0))
    ]
    draws = pd.DataFrame(
        [(site, "prompt_last", draw, 0.2 + draw / 100) for site in LAYERS for draw in range(19)],
        columns=["site", "position", "draw", "accuracy"],
    )
    numbers = summary(findings([*ONE_BETTER, *twin, *grey], CHOSE_IT, draws), {"grouped": 0.0})
    peak = numbers["grouped_peak_accuracy"]
    assert numbers["grouped_untrained_twin"] == pytest.approx(0.4)
    assert numbers["grouped_over_untrained_twin"] == pytest.approx(peak - 0.4)
    assert numbers["grouped_no_image"] == pytest.approx(0.24)
    assert numbers["grouped_shuffled_labels"] == pytest.approx(0.29)
    assert numbers["grouped_accuracy_over_chance"] == pytest.approx(peak - 0.29)
    assert numbers["grouped_p_value"] == 1 / 20


def test_the_headline_is_tested_against_the_draws_of_the_layer_that_most_folds_chose():
    as_good = guesses(0.9, 1).mean()
    draws = pd.DataFrame(
        [("layer_08", "prompt_last", draw, as_good if draw < 2 else 0.2) for draw in range(9)]
        + [("layer_00", "prompt_last", 0, 0.2), ("pixels", "flat", 0, 1.0)],
        columns=["site", "position", "draw", "accuracy"],
    )
    numbers = summary(findings(ONE_BETTER, CHOSE_IT, draws), {"grouped": 0.0})
    assert (numbers["grouped_p_value"], numbers["grouped_shuffled_draws"]) == (3 / 10, 9)


def test_what_was_not_measured_is_left_out():
    no_layers = summary(findings(study(pixels=first(SAMPLE, 0.4)), {("pixels", "flat"): 0.4}), {"grouped": 0.0})
    assert no_layers == {"chance": 0.25, "confidence": 0.95, "grouped_pixels": 0.4}
    only_layers = summary(
        findings(study(layer_00=guesses(0.5, 0)), {("layer_00", "prompt_last"): 0.5}), {"grouped": 0.0}
    )
    assert not [
        name for name in only_layers if "over_pixels" in name or "p_value" in name or "accuracy_over_chance" in name
    ]
    notebook = [table.assign(protocol="signbridge") for table in study(pixels=first(SAMPLE, 0.4))]
    one_protocol = summary(findings(notebook, {}), {"signbridge": 0.6})
    assert one_protocol == {
        **{"chance": 0.25, "confidence": 0.95},
        **{"signbridge_leaking_pixels": 0.4, "signbridge_leaking_copies_in_train": 0.6},
    }


def test_every_number_can_be_written_as_a_metric():
    twin = [table.assign(series="untrained_twin") for table in ONE_BETTER]
    numbers = summary(findings([*ONE_BETTER, *twin], CHOSE_IT), {"grouped": 0.0})
    assert {type(value) for value in numbers.values()} <= {str, int, float, bool}
