"""What minimal pairs say, held to plain shares and to made-up runs whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from signbridge.datasets.hands import FINGERS
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.minimal_pairs_effect import HEADLINE, minimal_pairs_effects

STATISTICS = StatisticsParams(confidence=0.95, resamples=200)
PHOTOS, SITES = 10, ["embedding", "layer_00", "layer_01"]


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    """Three of ten photos change their text; the stream tells half of the fingers; the last token takes over soon."""
    pairs = [(photo, "B", finger) for photo in range(PHOTOS) for finger in FINGERS]
    said = pd.DataFrame(pairs, columns=["photo", "letter", "finger"])
    said["changed"] = said["photo"] < 3
    places = [("pixels", "flat"), ("vision", "image_mean"), *((site, at) for site in SITES
              for at in ("prompt_last", "image_tokens"))]  # fmt: skip
    read = []
    for site, at in places:
        for kind, draws in (("named", 1), ("random", 3)):
            for draw in range(draws):
                for photo, letter, finger in pairs:
                    right = site == "pixels" or FINGERS.index(finger) < 2
                    predicted = finger if kind == "named" and right else "index"
                    read.append((photo, letter, finger, site, at, kind, draw, predicted))
    columns = ["photo", "letter", "finger", "site", "position", "fitted_on", "draw", "predicted"]
    patched, steered = [], []
    for photo in range(3):
        for pair in (2 * photo, 2 * photo + 1):
            for site in SITES:
                for at in ("prompt_last", "question", "image", "all"):
                    share = {"all": 1.0, "image": float(site == "embedding")}.get(at, 0.0)
                    share = float(site != "embedding") if at == "prompt_last" else share
                    patched.append((photo, pair, "ring", site, at, 4.0, 4 * share, True, 0.0))
            for site in SITES[1:]:
                for direction, share in (("own", 0.5), ("other", 0.2)):
                    steered.append((photo, "ring", site, direction, 1.0, 4.0, 4 * share))
    names = ["photo", "pair", "finger", "site", "position", "gap", "moved", "says_donor", "moved_by_itself"]
    return {
        "said": said, "read": pd.DataFrame(read, columns=columns), "patched": pd.DataFrame(patched, columns=names),
        "steered": pd.DataFrame(steered, columns=["photo", "finger", "site", "direction", "strength", "gap", "moved"]),
    }  # fmt: skip


def test_every_share_is_the_plain_one_with_an_interval_over_photos(tables):
    found_tables, found = minimal_pairs_effects(tables, STATISTICS, np.random.default_rng(0))
    assert (found["minimal_photos"], found["minimal_pairs"], found["minimal_patched_pairs"]) == (10, 40, 6)
    assert found["minimal_changed"] == pytest.approx(0.3)
    assert found["minimal_changed_low"] < 0.2, "three photos, not twelve pairs"
    assert found["minimal_read_pixels"] == 1
    assert found["minimal_read_prompt_last"] == found["minimal_read_vision"] == 0.5
    assert found["minimal_read_shuffled"] == 0.25
    assert found["minimal_handover_site"] == "layer_00"
    assert found["minimal_steered"] == pytest.approx(0.5)
    assert found["minimal_steered_over_other"] == pytest.approx(0.3)
    assert len(found_tables.minimal_steered) == 2
    assert set(HEADLINE.values()) - {"sweep", "model"} <= set(found)
    assert len(HEADLINE) <= 25


def test_without_photos_nothing_is_found_and_without_a_changed_text_nothing_is_patched(tables):
    nothing = {name: table.head(0) for name, table in tables.items()}
    empty, found = minimal_pairs_effects(nothing, STATISTICS, np.random.default_rng(0))
    assert found == {"minimal_photos": 0}
    some, found = minimal_pairs_effects(
        tables | {name: nothing[name] for name in ("patched", "steered")}, STATISTICS, np.random.default_rng(0)
    )
    assert "minimal_handover_site" not in found
    assert found["minimal_read_pixels"] == 1
    for before, after in zip(empty, some, strict=True):
        assert list(before.columns) == list(after.columns)
