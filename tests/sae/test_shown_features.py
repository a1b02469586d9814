"""Which features are shown: those of the lists, then the most active, never a dead one."""

import numpy as np
import pandas as pd
import pytest

from signbridge.sae.shown_features import kind_of, shown_features

FEATURES = pd.DataFrame({
    "feature": [0, 1, 2, 3, 4], "image_mean": [0.1, 0.0, 0.5, 0.3, 0.0], "text_mean": [0.1, 0.0, 0.0, 0.3, 0.1],
    "modality": [0.5, np.nan, 1.0, 0.5, 0.0],
})  # fmt: skip
LETTERS = pd.DataFrame({"letter": ["A", "A", "B", "B"], "rank": [1, 2, 1, 2], "feature": [4, 0, 0, 4]})


def test_the_first_of_every_list_come_first_then_the_most_active():
    assert shown_features(FEATURES, LETTERS, 4) == [4, 0, 3, 2]
    assert shown_features(FEATURES, LETTERS[LETTERS["letter"] == "B"], 3) == [0, 4, 3]


def test_lists_are_shown_whole_whatever_the_number():
    assert shown_features(FEATURES, LETTERS, 1) == [4, 0]


def test_dead_features_are_never_shown_and_fewer_than_wanted_are_all():
    assert shown_features(FEATURES, LETTERS[:0], 100) == [3, 2, 0, 4]
    assert shown_features(FEATURES.assign(modality=np.nan), LETTERS[:0], 100) == []


@pytest.mark.parametrize(
    ("score", "kind"),
    [(0.05, "text only"), (0.1, "shared"), (0.9, "shared"), (0.95, "image only"), (float("nan"), "")],
)
def test_a_score_within_the_bounds_is_shared(score, kind):
    assert kind_of(score, [0.1, 0.9]) == kind
