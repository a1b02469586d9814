"""Features of minimal pairs: a feature that goes with one finger is found, and what goes with all or none is not."""

import numpy as np
import pytest

from signbridge.causal.minimal_pairs import Pair
from signbridge.core.names import POSITIONS, STREAM
from signbridge.datasets.hands import FINGERS
from signbridge.sae.minimal_pairs import CHANGED_COLUMNS, TOLD_COLUMNS, FeaturePairsParams, changed_table, told_table

PHOTOS, WIDTH, SITE = 24, 14, "layer_03"
RING, COMMON, MIXED = 4, 5, slice(6, 14)  # columns: that which ring fingers raise, all raise, pinkies lower a little
PAIRS = [
    Pair(photo, "BC"[photo % 2], finger, 5 * photo, 5 * photo + 1 + place)
    for photo in range(PHOTOS) for place, finger in enumerate(FINGERS)
]  # fmt: skip
SETTINGS = FeaturePairsParams(photos=2, degrees=40, draws=5, flips=500, p=0.05)


@pytest.fixture(scope="module")
def read() -> dict[str, np.ndarray]:
    """Images of a signer each: noise, a column for the ring finger, one for all, and several for the pinky."""
    noise = np.random.default_rng(0)
    found = np.zeros((5 * PHOTOS, WIDTH), dtype=np.float32)
    for photo in range(PHOTOS):
        found[5 * photo :][:5] = 10 * noise.standard_normal(WIDTH)
        for place, finger in enumerate(FINGERS):
            moved = found[5 * photo + 1 + place]  # a view
            moved += noise.standard_normal(WIDTH)
            moved[COMMON] += 5
            moved[RING] += 8 * (finger == "ring")
            moved[MIXED] -= finger == "pinky"
    names = ["pixels", "vision", *(f"{SITE}.{at}{end}" for at in POSITIONS for end in ("", f".{STREAM}"))]
    return dict.fromkeys(names, found)


@pytest.fixture(scope="module")
def told(read):
    return told_table(PAIRS, read, [SITE], SETTINGS.draws, np.random.default_rng(0))


@pytest.mark.parametrize("letters", ["each", "all"])
def test_the_feature_of_a_finger_is_found_in_photos_that_did_not_choose_it_and_shuffled_fingers_have_none(
    told, letters
):
    here = told[(told["reads"] == "features") & (told["letters"] == letters) & (told["position"] == "image_mean")]
    ring = here[here["finger"] == "ring"]
    named = ring[ring["fitted_on"] == "named"]
    assert set(named["column"]) == {RING}
    assert named["won"].mean() > 0.95
    index = here[(here["finger"] == "index") & (here["fitted_on"] == "named")]
    assert index["won"].mean() < 0.8, "that the ring finger does not move it is all that tells the index finger"
    assert here.loc[here["fitted_on"] == "random", "won"].mean() == pytest.approx(0.5, abs=0.08)


def test_what_no_single_column_tells_all_of_them_do(told):
    here = told[(told["finger"] == "pinky") & (told["fitted_on"] == "named") & (told["letters"] == "all")]
    won = here[here["site"] == SITE].groupby("reads")["won"].mean()
    assert won["probe"] > won["features"] + 0.1


def test_every_photo_finger_and_place_has_a_row_for_each_draw(told):
    assert list(told.columns) == TOLD_COLUMNS
    places = 2 * 2 + 3 * len(POSITIONS)  # pixels and tower by dimension and probe; the stream also by feature
    assert len(told) == len(PAIRS) * places * 2 * (1 + SETTINGS.draws)
    assert (told.loc[told["reads"] == "probe", "column"] == -1).all()


def test_a_feature_changes_with_a_finger_if_its_sign_is_no_chance(read):
    changed = changed_table(PAIRS, read, [SITE], SETTINGS, np.random.default_rng(0)).set_index(["position", "finger"])
    assert changed.loc[("image_mean", "ring"), "changed"] == 2, "its own and that which all fingers change"
    assert changed.loc[("image_mean", "index"), "changed"] == 1
    assert (changed["features"] == WIDTH).all()


def test_without_pairs_the_tables_are_empty():
    generator = np.random.default_rng(0)
    assert list(told_table([], {}, [SITE], 5, generator).columns) == TOLD_COLUMNS
    assert list(changed_table([], {}, [SITE], SETTINGS, generator).columns) == CHANGED_COLUMNS


@pytest.mark.parametrize("photos", [1, -1])
def test_a_single_photo_a_letter_is_refused(photos):
    with pytest.raises(ValueError, match="photos"):
        FeaturePairsParams(photos=photos, degrees=40, draws=5, flips=500, p=0.05)
