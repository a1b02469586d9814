"""Sweep: predictions of every cell and split are scikit-learn's, in one process or several."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from signbridge.probing import protocols
from signbridge.probing.accuracy import accuracy_table, confusion, predictions_table, summary
from signbridge.probing.settings import Intervals
from signbridge.probing.sweep import Cell, sweep

GENERATOR = np.random.default_rng(0)
LABELS = np.repeat(list("ABCDEF"), 12)
PHOTOS = np.array([f"{letter}-{copy % 5}" for letter in "ABCDEF" for copy in range(12)])
IDS = np.array([f"image-{index}" for index in range(len(LABELS))])
SAMPLE = pd.DataFrame({"image_id": IDS, "label": LABELS, "photo": PHOTOS})
SPLITS = [*protocols.signbridge(LABELS, 0.2, 42), *protocols.grouped(LABELS, PHOTOS, 4, 2, 42)]
NUMBER = np.unique(LABELS, return_inverse=True)[1]
CELLS = [
    Cell(site, position, (GENERATOR.normal(size=(72, 90)) + strength * NUMBER[:, None]).astype(np.float32))
    for site, position, strength in [
        ("pixels", "flat", 0.05),
        ("layer_00", "prompt_last", 0.2),
        ("layer_00", "answer_last", 0.4),
        ("layer_08", "prompt_last", 0.6),
        ("layer_08", "answer_last", 0.1),
    ]
]
KEPT = {"sample": protocols.whole_sample(72), "signbridge": SPLITS[0]}
SCORED = list(sweep(CELLS, LABELS, SPLITS, 1.0, KEPT, workers=1))
PREDICTIONS = predictions_table(SCORED, SPLITS, IDS, LABELS)
INTERVALS = Intervals(confidence=0.95, resamples=200)
TABLE = accuracy_table(PREDICTIONS, SAMPLE, INTERVALS, np.random.default_rng(0))


def test_every_prediction_is_scikit_learns():
    for cell in CELLS:
        of_cell = PREDICTIONS[(PREDICTIONS["site"] == cell.site) & (PREDICTIONS["position"] == cell.position)]
        for split in SPLITS:
            rows = of_cell[
                (of_cell["protocol"] == split.protocol)
                & (of_cell["repeat"] == split.repeat)
                & (of_cell["fold"] == split.fold)
            ]
            vectors = cell.vectors.astype(np.float64)
            reference = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
            reference.fit(vectors[split.train], LABELS[split.train])
            expected = reference.predict_proba(vectors[split.test])
            assert rows["image_id"].tolist() == IDS[split.test].tolist()
            assert rows["label"].tolist() == LABELS[split.test].tolist()
            assert rows["predicted"].tolist() == reference.classes_[expected.argmax(axis=1)].tolist()
            of_truth = expected[np.arange(len(rows)), NUMBER[split.test]]
            np.testing.assert_allclose(rows["probability"], of_truth, atol=1e-6)


def test_several_processes_give_the_bytes_of_one():
    for one, several in zip(SCORED, sweep(CELLS, LABELS, SPLITS, 1.0, KEPT, workers=2), strict=True):
        assert one[:2] == several[:2]
        np.testing.assert_array_equal(np.concatenate(one.probability), np.concatenate(several.probability))
        np.testing.assert_array_equal(one.probes["sample"].coef, several.probes["sample"].coef)


def test_the_kept_probe_predicts_what_the_protocol_scored():
    for cell, scored in zip(CELLS, SCORED, strict=True):
        predicted = scored.probes["signbridge"].predict(cell.vectors[SPLITS[0].test])
        assert predicted.tolist() == np.array(list("ABCDEF"))[scored.predicted[0]].tolist()


def test_a_letter_that_no_training_image_shows_gets_probability_zero():
    train = LABELS != "F"
    split = protocols.Split("grouped", 0, 0, train, ~train)
    [scored] = sweep(CELLS[:1], LABELS, [split], 1.0, {}, workers=1)
    assert not scored.probability[0].any()
    assert (scored.predicted[0] < 5).all()


def test_the_table_holds_the_share_of_right_predictions_of_each_cell():
    assert len(TABLE) == 10
    assert TABLE["protocol"].tolist() == ["signbridge"] * 5 + ["grouped"] * 5
    assert TABLE["depth"].tolist() == [0, 1, 1, 2, 2] * 2
    for row in TABLE.itertuples():
        rows = PREDICTIONS.query("protocol == @row.protocol and site == @row.site and position == @row.position")
        assert row.accuracy == (rows["label"] == rows["predicted"]).mean()
        assert row.images_tested == rows["image_id"].nunique()
        assert row.low <= row.accuracy <= row.high


def test_each_accuracy_has_the_bootstrap_interval_of_its_own_cell():
    alone = PREDICTIONS.query("protocol == 'grouped' and site == 'layer_08' and position == 'prompt_last'")
    expected = accuracy_table(alone, SAMPLE, INTERVALS, np.random.default_rng(0))
    row = TABLE.query("protocol == 'grouped' and site == 'layer_08' and position == 'prompt_last'")
    np.testing.assert_allclose(row[["low", "high"]], expected[["low", "high"]])


def test_the_summary_quotes_peak_chance_and_the_notebooks_layers():
    numbers = summary(PREDICTIONS, TABLE, SAMPLE, 0.9)
    assert (numbers["images"], numbers["photos"], numbers["letters"]) == (72, 30, 6)
    assert numbers["chance"] == 12 / 72
    assert numbers["grouped_peak_site"] == "layer_08"
    assert numbers["grouped_peak_position"] == "prompt_last"
    assert numbers["grouped_gain_over_chance"] == numbers["grouped_peak_accuracy"] - numbers["chance"]
    assert numbers["grouped_peak_low"] < numbers["grouped_peak_accuracy"] <= numbers["grouped_peak_high"]
    assert numbers["grouped_layer_08_prompt_last"] == numbers["grouped_peak_accuracy"]
    assert "signbridge_layer_08_answer_last" in numbers
    assert "signbridge_layer_16_answer_last" not in numbers
    assert numbers["signbridge_copies_in_train"] == 0.9
    assert len(numbers) < 30


def test_the_confusion_is_that_of_the_grouped_peak():
    table = confusion(PREDICTIONS)
    assert len(table) == 2 * 72
    expected = TABLE.query("protocol == 'grouped'")["accuracy"].max()
    assert (table["actual"] == table["predicted"]).mean() == expected


def test_a_sweep_without_layers_still_has_a_confusion_matrix_and_no_peak():
    pixels = PREDICTIONS[PREDICTIONS["site"] == "pixels"]
    assert len(confusion(pixels)) == 2 * 72
    numbers = summary(pixels, TABLE[TABLE["site"] == "pixels"], SAMPLE, 0.0)
    assert "grouped_peak_site" not in numbers
    assert 0 < numbers["grouped_pixels"] < 1
