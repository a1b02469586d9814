"""Letter by letter, in a confusion small enough to count."""

import numpy as np
import pandas as pd
import pytest

from signbridge.statistics.curves import confused_pairs, letter_accuracy
from signbridge.statistics.intervals import StatisticsParams
from tests.probing.made_up import (
    first,
    photo_of,
    predictions,
    sample,
)

PARAMS = StatisticsParams(confidence=0.95, resamples=400)
TESTS = [
    *[("M", "M")] * 5, *[("M", "N")] * 4, ("M", "T"),
    *[("N", "N")] * 2, *[("N", "M")] * 3,
    *[("T", "T")] * 4, ("T", "M"),
]  # fmt: skip
CONFUSED = pd.DataFrame(TESTS, columns=["label", "predicted"])


def test_pairs_add_both_directions_and_are_shared_among_the_tests_of_both():
    pairs = confused_pairs(CONFUSED)
    assert pairs.columns.tolist() == ["letter_a", "letter_b", "count", "share"]
    assert pairs.to_numpy().tolist() == [["M", "N", 7, 7 / 15], ["M", "T", 2, 2 / 15]]


def test_pairs_as_confused_as_each_other_stand_in_the_order_of_the_alphabet():
    tests = pd.DataFrame([("B", "C"), ("C", "B"), ("A", "D"), ("D", "A")], columns=["label", "predicted"])
    assert confused_pairs(tests)["letter_a"].tolist() == ["A", "B"]


def test_a_probe_that_makes_no_mistake_confuses_no_pair():
    pairs = confused_pairs(CONFUSED[CONFUSED["label"] == CONFUSED["predicted"]])
    assert pairs.columns.tolist() == ["letter_a", "letter_b", "count", "share"]
    assert pairs.empty


def test_each_letter_has_the_share_of_its_own_images():
    images = sample(photos_a_letter=10, copies=2, letters="ABC")
    right = first(images, 0.5)
    right[images["label"] == "B"] = True
    right[images["label"] == "C"] = False
    table = letter_accuracy(
        predictions(images, "best", "prompt_last", right), photo_of(images), PARAMS, np.random.default_rng(0)
    )
    assert table.columns.tolist() == ["letter", "images", "accuracy", "low", "high"]
    assert table["letter"].tolist() == list("ABC")
    assert table["images"].tolist() == [20, 20, 20]
    assert table["accuracy"].tolist() == [0.5, 1, 0]
    low, high = table["low"].tolist(), table["high"].tolist()
    assert low[0] < 0.5 < high[0]
    assert 0.5 < low[1] < high[1] == 1  # ten photos leave doubt, however often all are read
    assert 0 == low[2] < high[2] < 0.5


def test_a_letter_with_fewer_photos_is_less_sure():
    images = pd.concat([sample(40, 1, "A"), sample(8, 5, "B")], ignore_index=True)
    right = images.groupby("label").cumcount().to_numpy() % 10 < 5
    table = letter_accuracy(
        predictions(images, "best", "prompt_last", right), photo_of(images), PARAMS, np.random.default_rng(0)
    )
    width = (table["high"] - table["low"]).tolist()
    assert table["accuracy"].tolist() == pytest.approx([0.5, 0.5])
    assert width[1] > 1.5 * width[0]
