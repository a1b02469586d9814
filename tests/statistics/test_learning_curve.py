"""The learning curve's table: each point beside the study's own probes, on the same folds."""

import numpy as np
import pandas as pd
import pytest

from signbridge.probing.learning_curve import COLUMNS as POINT_COLUMNS
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.learning_curve import COLUMNS, learning_curve, learning_findings

SETTINGS = StatisticsParams(confidence=0.95, resamples=400)
IDS = [f"image-{index}" for index in range(40)]
GROUP_OF = pd.Series([f"photo-{index // 2}" for index in range(40)], IDS)
PLACE = {"site": "layer_00", "position": "prompt_last"}


def rows(right: float, repeats: int, seed: int, **known):
    """Predictions of four folds a repeat; a share of the images is read right, alike in every repeat."""
    read = np.random.default_rng(seed).permutation(40) < 40 * right
    table = pd.DataFrame(
        {"image_id": IDS, "label": "A", "predicted": np.where(read, "A", "B"), "fold": np.arange(40) // 10}
    )
    return pd.concat([table.assign(repeat=repeat, **PLACE, **known) for repeat in range(repeats)], ignore_index=True)


def found(points, repeats=3):
    own = rows(0.9, repeats, 0, protocol="grouped")
    leaking = rows(1.0, 1, 0, protocol="signbridge")
    return learning_curve(points, pd.concat([leaking, own]), GROUP_OF, SETTINGS, np.random.default_rng(0))


def point(right, repeats, seed=0, of="sample", trained_on="share 0.5", groups=8, images=16):
    return rows(right, repeats, seed, of=of, trained_on=trained_on, groups=groups, images=images)[POINT_COLUMNS]


def test_a_point_is_the_share_read_right_and_its_difference_is_from_the_study_in_the_same_repeats():
    table = found(
        pd.concat([point(0.6, 2), point(0.95, 1, of="dataset", trained_on="more photos", groups=40, images=50)])
    )
    assert table.columns.tolist() == COLUMNS
    assert table[["of", "trained_on", "repeats", "groups", "images"]].to_numpy().tolist() == [
        ["sample", "share 0.5", 2, 8, 16], ["sample", "all", 2, 15, 30],
        ["dataset", "all", 1, 15, 30], ["dataset", "more photos", 1, 40, 50],
    ]  # fmt: skip
    assert table["accuracy"].tolist() == pytest.approx([0.6, 0.9, 0.9, 0.95])
    assert table["difference"].tolist() == pytest.approx([-0.3, 0, 0, 0.05])
    assert (table["difference_low"] <= table["difference"]).all()
    assert (table["difference"] <= table["difference_high"]).all()
    assert table["difference_high"].iloc[0] < 0


def test_draws_that_differ_widen_the_interval():
    alike = found(point(0.6, 3))
    apart = point(0.6, 3)
    apart["predicted"] = np.select([apart["repeat"] == 0, apart["repeat"] == 1], ["A", "B"], apart["predicted"])
    apart = found(apart)
    width = [(table["difference_high"] - table["difference_low"]).iloc[0] for table in (alike, apart)]
    assert width[1] > 2 * width[0]


def test_the_finding_is_what_all_groups_give_over_half_of_them_at_the_layer_that_is_quoted():
    table = found(point(0.6, 2))
    said = learning_findings(table, "layer_00", "prompt_last")
    assert said["second_half"] == pytest.approx(0.3)
    assert said["second_half_low"] < 0.3 < said["second_half_high"]
    assert learning_findings(table, "layer_01", "prompt_last") == {}
    assert learning_findings(table, None, None) == {}


def test_without_points_the_table_is_there_and_empty():
    assert found(pd.DataFrame(columns=POINT_COLUMNS)).columns.tolist() == COLUMNS
