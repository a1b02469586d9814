"""A concept told by one feature: a choice that must not flatter itself."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from signbridge.core.names import MODEL, STREAM, TWIN
from signbridge.datasets.sampling import fitted_half
from signbridge.statistics.concept import COLUMNS, Readings, told_by_features
from signbridge.statistics.intervals import StatisticsParams

NAMES = ("index finger not up", "index finger up")
STATISTICS = StatisticsParams(confidence=0.9, resamples=200)
PHOTOS, COPIES = 60, 2
ROWS = pd.DataFrame({
    "image_id": [f"image-{photo}-{copy}" for photo in range(PHOTOS) for copy in range(COPIES)],
    "label": np.repeat([NAMES[photo % 3 == 0] for photo in range(PHOTOS)], COPIES),
    "group": np.repeat([f"photo-{photo:02d}" for photo in range(PHOTOS)], COPIES),
})  # fmt: skip
TRUE = (ROWS["label"] == NAMES[1]).to_numpy()


def noise(columns: int, seed: int = 0) -> np.ndarray:
    """Of each photo, as copies look alike."""
    return np.repeat(np.random.default_rng(seed).normal(size=(PHOTOS, columns)), COPIES, axis=0)


def reading(columns: np.ndarray, reads: str = MODEL, site: str = "layer_06") -> Readings:
    return Readings(reads, site, "image_mean", columns)


def told(*readings: Readings, seed: int = 42) -> tuple[pd.DataFrame, dict]:
    return told_by_features(readings, ROWS, NAMES, STATISTICS, seed)


def test_a_planted_feature_is_found_and_one_that_falls_with_the_concept_is_not():
    columns = noise(50)
    columns[:, 31] += 3 * TRUE
    columns[:, 8] -= 30 * TRUE
    table, metrics = told(reading(columns))
    assert table["feature"].tolist() == [31]
    assert table.loc[0, "auc"] > 0.9
    assert metrics["concept_model_feature"] == 31
    assert metrics["concept"] == NAMES[1]
    assert metrics["concept_share"] == pytest.approx(1 / 3)


def test_a_dimension_of_the_stream_may_tell_it_either_way():
    columns = noise(50)
    columns[:, 8] -= 3 * TRUE
    table, _ = told(reading(columns, STREAM), reading(columns))
    of_stream, of_model = table.iloc[0], table.iloc[1]
    assert of_stream["feature"] == 8
    assert min(of_stream["auc"], of_stream["auc_fitted"]) > 0.9
    assert of_model["feature"] != 8


def test_the_feature_is_chosen_on_one_half_of_the_photos_and_held_to_the_other():
    columns = noise(3)
    half = fitted_half(ROWS["label"].to_numpy(), ROWS["group"].to_numpy(), 42)
    columns[half, 1] += 5 * TRUE[half]
    columns[~half, 2] += 5 * TRUE[~half]
    found = told(reading(columns))[0].iloc[0]
    assert found["feature"] == 1
    assert found["auc_fitted"] == pytest.approx(roc_auc_score(TRUE[half], columns[half, 1]))
    assert found["auc"] == pytest.approx(roc_auc_score(TRUE[~half], columns[~half, 1]))
    assert found["auc"] < 0.8


def test_the_best_of_many_features_that_are_noise_tells_nothing_of_other_photos():
    found = pd.concat([told(reading(noise(2000, seed)), seed=seed)[0] for seed in range(12)])
    assert found["auc_fitted"].min() > 0.8
    assert found["auc"].mean() == pytest.approx(0.5, abs=0.08)
    inside = (found["low"] <= 0.5) & (found["high"] >= 0.5)
    assert inside.mean() > 0.5


def test_intervals_hold_their_values_and_are_over_photos():
    columns = noise(20)
    columns[:, 4] += 1.5 * TRUE
    table, metrics = told(reading(columns), reading(noise(20, 1), TWIN), reading(noise(9, 2), STREAM))
    assert ((table["low"] <= table["auc"]) & (table["auc"] <= table["high"])).all()
    for name in ("concept_model_over_untrained_twin", "concept_model_over_stream"):
        assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"]
    assert metrics["concept_model_over_untrained_twin_low"] > 0
    alone = ROWS.assign(group=ROWS["image_id"])  # each copy taken for a photo of its own
    as_if, _ = told_by_features([reading(columns)], alone, NAMES, STATISTICS, 42)
    assert as_if.loc[0, "high"] - as_if.loc[0, "low"] < table.loc[0, "high"] - table.loc[0, "low"]


def test_the_place_that_is_quoted_is_the_best_of_the_fitted_half_not_of_the_other():
    half = fitted_half(ROWS["label"].to_numpy(), ROWS["group"].to_numpy(), 42)
    first, second = noise(1), noise(1, 1)
    first[half] += 3 * TRUE[half, None]
    second += 1.5 * TRUE[:, None]
    table, metrics = told(reading(first, site="layer_00"), reading(second, site="layer_06"))
    assert table["auc_fitted"].idxmax() == 0
    assert table["auc"].idxmax() == 1
    assert metrics["concept_model_site"] == "layer_00"
    assert metrics["concept_model_auc"] == table.loc[0, "auc"]


def test_features_that_never_fire_tell_nothing():
    table, _ = told(reading(np.zeros((len(ROWS), 7))))
    assert table.loc[0, ["auc_fitted", "auc", "low", "high"]].tolist() == [0.5] * 4


def test_where_nothing_is_known_there_is_an_empty_table_and_no_metric():
    table, metrics = told_by_features([reading(noise(2))], ROWS.iloc[:0], NAMES, STATISTICS, 42)
    assert list(table.columns) == COLUMNS
    assert table.empty
    assert metrics == {}
