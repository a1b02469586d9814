"""The table of controls: the accuracy of each, and by how much the model is above it."""

import numpy as np
import pandas as pd
import pytest

from signbridge.statistics.curves import BEST, CONTROL_COLUMNS, Curves, controls_table, curves
from signbridge.statistics.intervals import StatisticsParams
from tests.probing.made_up import (
    first,
    photo_of,
    predictions,
    sample,
)

SAMPLE = sample(photos_a_letter=20)
PLACES = [("pixels", "flat", 0.5), ("layer_00", "prompt_last", 0.9)]
NO_DRAWS = pd.DataFrame(columns=["site", "position", "draw", "accuracy"])
DRAWS = pd.DataFrame(
    {
        "site": "layer_00",
        "position": "prompt_last",
        "draw": range(4),
        "accuracy": [0.1, 0.2, 0.3, 0.4],
    }
)


def measured(shares: dict[str, float], protocol: str = "grouped") -> Curves:
    """The model, and controls that read `shares` of the images at every place."""
    rows = [predictions(SAMPLE, site, at, first(SAMPLE, share), protocol=protocol) for site, at, share in PLACES]
    rows.append(predictions(SAMPLE, BEST, "prompt_last", first(SAMPLE, 0.9), protocol=protocol))
    for control, share in shares.items():
        places = [*PLACES, (BEST, "prompt_last", 0.9)]
        rows += [predictions(SAMPLE, site, at, first(SAMPLE, share), series=control) for site, at, _ in places]
    params = StatisticsParams(confidence=0.9, resamples=400)
    return curves(pd.concat(rows, ignore_index=True), photo_of(SAMPLE), params, np.random.default_rng(0))


def test_over_control_is_what_the_model_reads_beyond_the_control_on_the_same_photos():
    found = measured({"untrained_twin": 0.4, "no_image": 0.25})
    table = controls_table(found, NO_DRAWS)
    assert table.columns.tolist() == CONTROL_COLUMNS
    assert table["control"].tolist() == ["untrained_twin"] * 2 + ["no_image"] * 2
    assert table["site"].tolist() == ["pixels", "layer_00"] * 2
    assert table["depth"].tolist() == [0, 1] * 2
    np.testing.assert_allclose(table["accuracy"], [0.4, 0.4, 0.25, 0.25])
    np.testing.assert_allclose(table["over_control"], [0.1, 0.5, 0.25, 0.65])
    gap = found.minus(1, found.column("untrained_twin", "grouped", "layer_00", "prompt_last"))
    assert table.loc[1, ["over_control_low", "over_control_high"]].tolist() == [gap.low[0], gap.high[0]]
    assert table["p_value"].isna().all()


def test_shuffled_labels_are_tested_by_permutation_and_their_interval_is_over_draws():
    found = measured({})
    table = controls_table(found, DRAWS)
    [row] = table.itertuples()
    assert (row.control, row.site, row.depth, row.position) == ("shuffled_labels", "layer_00", 1, "prompt_last")
    assert row.accuracy == pytest.approx(0.25)
    assert (row.low, row.high) == pytest.approx(tuple(np.quantile(DRAWS["accuracy"], [0.05, 0.95])))
    model = found.table.loc[1]
    assert row.over_control == pytest.approx(0.65)
    assert row.over_control_low == pytest.approx(model["low"] - 0.25)
    assert row.over_control_high == pytest.approx(model["high"] - 0.25)
    assert row.p_value == 1 / 5


def test_draws_that_read_as_much_as_the_model_show_in_the_p_value():
    table = controls_table(measured({}), DRAWS.assign(accuracy=[0.1, 0.95, 0.9, 0.2]))
    assert table["p_value"].tolist() == [3 / 5]


def test_controls_of_both_kinds_stand_in_one_table():
    table = controls_table(measured({"other_letter": 0.2}), DRAWS)
    assert table["control"].tolist() == ["other_letter"] * 2 + ["shuffled_labels"]
    assert table["depth"].tolist() == [0, 1, 1]


@pytest.mark.parametrize("protocol", ["grouped", "signbridge"])
def test_without_controls_the_table_is_empty_and_keeps_its_columns(protocol):
    table = controls_table(measured({}, protocol), NO_DRAWS)
    assert table.columns.tolist() == CONTROL_COLUMNS
    assert table.empty
