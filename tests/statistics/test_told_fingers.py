"""What features tell of a bent finger: the strongest baseline is the one that tells most, and intervals are paired."""

import numpy as np
import pandas as pd
import pytest

from signbridge.datasets.hands import FINGERS
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.told_fingers import COLUMNS, HEADLINE, told_fingers

STATISTICS = StatisticsParams(confidence=0.95, resamples=200)
SITES = ("layer_00", "layer_06")
WON = {"features": 0.6, "stream": 0.65, "probe": 0.7}
PROBED = {"pixels": 0.9, "vision": 0.8}
PHOTOS = 30


def made() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of the stage: every photo has the same share, but for what its number adds alike everywhere."""
    places = [(reads, site, at) for site in SITES for at in ("prompt_last", "image_mean") for reads in WON]
    places += [
        (reads, site, at)
        for site, at in (("pixels", "flat"), ("vision", "image_mean"))
        for reads in ("stream", "probe")
    ]
    rows = []
    for reads, site, at in places:
        share = PROBED.get(site, WON[reads]) if reads == "probe" else WON[reads]
        for letters in ("each", "all"):
            for fitted_on, draws in (("named", 1), ("random", 3)):
                value = 0.5 if fitted_on == "random" else share - 0.05 * (letters == "all")
                rows += [
                    (photo, "B", finger, reads, site, at, letters, fitted_on, draw, 1, value + 0.1 * (photo % 2 - 0.5))
                    for photo in range(PHOTOS) for finger in FINGERS for draw in range(draws)
                ]  # fmt: skip
    columns = [
        "photo",
        "letter",
        "finger",
        "reads",
        "site",
        "position",
        "letters",
        "fitted_on",
        "draw",
        "column",
        "won",
    ]
    changed = pd.DataFrame({"site": "layer_06", "position": "image_mean", "finger": FINGERS, "features": 10,
                            "changed": [1, 2, 3, 4]})  # fmt: skip
    return pd.DataFrame(rows, columns=columns), changed


def test_features_are_compared_with_what_tells_most_and_what_photos_share_is_no_uncertainty():
    table, found = told_fingers(*made(), STATISTICS, np.random.default_rng(0))
    assert list(table.columns) == COLUMNS
    assert found["fingers_told_strongest"] == "pixels"
    assert found["fingers_told_features"] == pytest.approx(0.6)
    assert found["fingers_told_features_low"] < 0.6 < found["fingers_told_features_high"]
    ends = [found[f"fingers_told_over_strongest{end}"] for end in ("", "_low", "_high")]
    assert ends == pytest.approx([-0.3] * 3)
    assert found["fingers_told_features_all_letters"] == pytest.approx(0.55)
    assert found["fingers_told_shuffled"] == pytest.approx(0.5)
    assert found["fingers_told_changed"] == pytest.approx(0.25)
    assert set(HEADLINE.values()) - {"model"} <= found.keys()
    assert len(HEADLINE) <= 25


def test_without_pairs_nothing_is_found():
    table, found = told_fingers(made()[0].iloc[:0], made()[1].iloc[:0], STATISTICS, np.random.default_rng(0))
    assert table.empty
    assert found == {"fingers_told_photos": 0}
