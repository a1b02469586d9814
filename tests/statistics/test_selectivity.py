"""Selectivity: the letters' accuracy less that of random letters, on the same photos and over the draws."""

import numpy as np
import pandas as pd
import pytest

from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.selectivity import COLUMNS, selectivity_findings, selectivity_table

STATISTICS = StatisticsParams(confidence=0.9, resamples=500)
IDS = [f"image-{index}" for index in range(20)]
PHOTO_OF = pd.Series([f"photo-{index // 2}" for index in range(20)], index=IDS)
PLACES = {("pixels", "flat"): 14, ("layer_00", "prompt_last"): 20, ("layer_01", "prompt_last"): 12}  # letters right
RANDOM = {("pixels", "flat"): (10, 12), ("layer_00", "prompt_last"): (0, 20), ("layer_01", "prompt_last"): (6, 6)}


def tables(protocol: str = "signbridge") -> tuple[pd.DataFrame, pd.DataFrame]:
    model = [
        {"protocol": protocol, "site": site, "position": position, "image_id": image, "label": "A",
         "predicted": "A" if number < right else "B"}
        for (site, position), right in PLACES.items() for number, image in enumerate(IDS)
    ]  # fmt: skip
    task = [
        {"site": site, "position": position, "draw": draw, "image_id": image, "right": number < right}
        for (site, position), rights in RANDOM.items()
        for draw, right in enumerate(rights) for number, image in enumerate(IDS)
    ]  # fmt: skip
    return pd.DataFrame(model), pd.DataFrame(task)


def table_of(model, task) -> pd.DataFrame:
    return selectivity_table(model, task, PHOTO_OF, STATISTICS, np.random.default_rng(0))


def test_selectivity_is_the_letters_accuracy_less_the_mean_of_the_draws_in_order_of_depth():
    model, task = tables()
    table = table_of(pd.concat([model, model.assign(protocol="grouped", predicted="B")]), task)
    assert list(table.columns) == COLUMNS
    assert list(zip(table["site"], table["position"], strict=True)) == list(PLACES)
    np.testing.assert_allclose(table["accuracy"], [0.7, 1.0, 0.6])
    np.testing.assert_allclose(table["control_task"], [0.55, 0.5, 0.3])
    np.testing.assert_allclose(table["selectivity"], [0.15, 0.5, 0.3])


def test_its_interval_is_over_draws_as_well_as_photos():
    """At layer_00 all letters are read; one draw is remembered wholly and one not at all."""
    row = table_of(*tables()).set_index("site").loc["layer_00"]
    assert (row["selectivity_low"], row["selectivity_high"]) == (0, 1)


def test_findings_name_pixels_and_the_highest_layer():
    found = selectivity_findings(table_of(*tables()), "signbridge_leaking_")
    assert found["signbridge_leaking_pixels_control_task"] == pytest.approx(0.55)
    assert found["signbridge_leaking_pixels_selectivity"] == pytest.approx(0.15)
    assert found["signbridge_leaking_peak_selectivity"] == pytest.approx(0.5)
    assert not any("vision" in name for name in found), "it was not probed"


def test_without_the_task_there_is_no_row_and_no_finding():
    model, task = tables()
    empty = table_of(model, task.head(0))
    assert empty.empty
    assert list(empty.columns) == COLUMNS
    assert selectivity_findings(empty, "signbridge_") == {}
