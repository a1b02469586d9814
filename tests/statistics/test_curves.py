"""All accuracies on the same resamples of the photos."""

import numpy as np
import pandas as pd
import pytest

from signbridge.probing import protocols
from signbridge.statistics.curves import copies_in_train, curves
from signbridge.statistics.intervals import StatisticsParams
from tests.probing.made_up import (
    first,
    photo_of,
    predictions,
    sample,
)

SAMPLE = sample(photos_a_letter=10, copies=2)
PARAMS = StatisticsParams(confidence=0.9, resamples=500)


def measured(*tables: pd.DataFrame, images: pd.DataFrame = SAMPLE, seed: int = 0):
    return curves(pd.concat(tables, ignore_index=True), photo_of(images), PARAMS, np.random.default_rng(seed))


def test_an_accuracy_is_the_share_of_right_predictions_over_all_repeats():
    half, all_but_one = first(SAMPLE, 0.5), np.arange(80) > 0
    found = measured(
        predictions(SAMPLE, "pixels", "flat", half),
        predictions(SAMPLE, "layer_00", "prompt_last", all_but_one),
        predictions(SAMPLE, "layer_00", "prompt_last", half, series="no_image"),
    )
    assert found.table["accuracy"].tolist() == [0.5, 79 / 80, 0.5]
    assert found.table["images_tested"].tolist() == [80, 80, 80]
    assert found.table["series"].tolist() == ["model", "model", "no_image"]
    assert ((found.table["low"] <= found.table["accuracy"]) & (found.table["accuracy"] <= found.table["high"])).all()


def test_only_images_that_were_tested_count_and_each_once():
    tested = SAMPLE.iloc[::4]
    found = measured(predictions(tested, "pixels", "flat", first(tested, 1.0), protocol="signbridge"))
    assert found.table.loc[0, ["images_tested", "accuracy"]].tolist() == [20, 1.0]
    assert found.table.loc[0, "low"] < 1


def test_a_curve_is_found_by_its_name_and_one_that_was_not_measured_is_none():
    table = predictions(SAMPLE, "layer_00", "prompt_last", first(SAMPLE, 0.5))
    found = measured(predictions(SAMPLE, "pixels", "flat", first(SAMPLE, 0.2)), table)
    assert found.column("model", "grouped", "layer_00", "prompt_last") == 1
    assert found.column("model", "grouped", "layer_00", "answer_last") is None
    assert found.column("untrained_twin", "grouped", "layer_00", "prompt_last") is None


def test_differences_are_of_the_same_resamples():
    right = np.random.default_rng(0).random(80) < 0.6
    found = measured(
        predictions(SAMPLE, "layer_00", "prompt_last", right),
        predictions(SAMPLE, "layer_01", "prompt_last", right),
        predictions(SAMPLE, "layer_02", "prompt_last", np.zeros(80, dtype=bool)),
    )
    same, other = found.minus(0, 1), found.minus(0, 2)
    assert (same.difference[0], same.low[0], same.high[0], same.p_value[0]) == (0, 0, 0, 1)
    assert other.difference[0] == pytest.approx(right.mean())
    assert (other.low[0], other.high[0]) == pytest.approx(tuple(np.quantile(found.resampled[:, 0], [0.05, 0.95])))


def test_the_interval_of_a_curve_does_not_depend_on_what_stands_beside_it():
    one = predictions(SAMPLE, "layer_00", "prompt_last", first(SAMPLE, 0.5))
    other = predictions(SAMPLE, "layer_01", "prompt_last", first(SAMPLE, 0.3))
    alone, beside = measured(one), measured(other, one)
    assert alone.table.loc[0, ["low", "high"]].tolist() == beside.table.loc[1, ["low", "high"]].tolist()


def test_copies_and_repeats_do_not_make_an_accuracy_surer():
    single = sample(photos_a_letter=10, copies=1)
    right = np.random.default_rng(1).random(40) < 0.5
    alone = measured(predictions(single, "pixels", "flat", right).query("repeat == 0"), images=single)
    copied = measured(predictions(SAMPLE, "pixels", "flat", right.repeat(2)))
    np.testing.assert_allclose(alone.table[["low", "high"]], copied.table[["low", "high"]])


def test_copies_in_training_are_counted_as_the_splits_themselves_count_them():
    photos = np.array([f"{label}{index // 3}" for label in "AB" for index in range(12)])
    labels, ids = np.repeat(list("AB"), 12), np.array([f"image-{index}" for index in range(24)])
    splits = protocols.signbridge(labels, 0.2, 42) + protocols.grouped(labels, photos, 3, 2, 2, 42)
    rows = [
        {"protocol": split.protocol, "repeat": split.repeat, "fold": split.fold, "site": site, "image_id": image_id}
        for split in splits
        for site in ("pixels", "layer_00")
        for image_id in ids[split.test]
    ]
    found = copies_in_train(pd.DataFrame(rows), pd.Series(photos, index=ids))
    for protocol in ("signbridge", "grouped"):
        of_protocol = [split for split in splits if split.protocol == protocol]
        assert found[protocol] == protocols.share_seen_in_train(of_protocol, photos)
    assert found["signbridge"] > found["grouped"] == 0
