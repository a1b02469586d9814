"""The table of accuracies: what is in it, in which order, and what it marks as leaking."""

import numpy as np
import pandas as pd

from signbridge.statistics.curves import ACCURACY_COLUMNS, BEST, accuracy_table, curves
from signbridge.statistics.intervals import StatisticsParams
from tests.probing.made_up import (
    choices,
    first,
    photo_of,
    predictions,
    sample,
)

SAMPLE = sample(photos_a_letter=8)
PLACES = [("pixels", "flat"), ("layer_00", "prompt_last"), ("layer_00", "answer_last"), ("answer", "text")]


CHOICES = choices({("pixels", "flat"): 0.5, ("layer_00", "prompt_last"): 0.5})
CHOICES["at_edge"] = (CHOICES["site"] == "pixels") & (CHOICES["fold"] == 0)


def table(copies_in_train: dict[str, float]) -> pd.DataFrame:
    rows = [
        predictions(SAMPLE, *place, first(SAMPLE, 0.5), protocol=protocol)
        for protocol in reversed(copies_in_train)
        for place in PLACES
    ]
    rows.append(predictions(SAMPLE, BEST, "prompt_last", first(SAMPLE, 0.5)))
    rows.append(predictions(SAMPLE, "layer_00", "prompt_last", first(SAMPLE, 0.25), series="no_image"))
    params = StatisticsParams(confidence=0.95, resamples=50)
    measured = curves(pd.concat(rows, ignore_index=True), photo_of(SAMPLE), params, np.random.default_rng(0))
    return accuracy_table(measured, copies_in_train, CHOICES)


def test_the_notebooks_protocol_comes_first_and_sites_in_order_of_depth_the_answer_last():
    found = table({"signbridge": 0.6, "grouped": 0.0})
    assert found.columns.tolist() == ACCURACY_COLUMNS
    assert found["protocol"].tolist() == ["signbridge"] * 4 + ["grouped"] * 4
    assert list(zip(found["site"], found["position"], strict=True)) == PLACES * 2
    assert found["depth"].tolist() == [0, 1, 1, 2] * 2


def test_a_protocol_leaks_if_any_tested_image_has_a_copy_in_training():
    assert table({"signbridge": 0.6, "grouped": 0.0})["leaking"].tolist() == [True] * 4 + [False] * 4
    assert not table({"signbridge": 0.0, "grouped": 0.0})["leaking"].any()


def test_neither_controls_nor_the_headline_are_a_site_of_the_model():
    found = table({"grouped": 0.0})
    assert BEST not in set(found["site"])
    assert len(found) == 4
    assert found["accuracy"].tolist() == [0.5] * 4


def test_each_cell_says_how_many_folds_chose_an_end_of_the_list_of_penalties():
    found = table({"signbridge": 0.6, "grouped": 0.0})
    repeats = CHOICES["repeat"].nunique()
    assert found["folds_at_edge"].tolist() == [0] * 4 + [repeats, 0, 0, 0]
