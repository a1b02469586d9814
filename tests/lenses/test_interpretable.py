"""Interpretable shares on tables whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from signbridge.lenses.interpretable import interpretable_patches, leap, lens_metrics, shares
from signbridge.probing.statistics import StatisticsParams

STATISTICS = StatisticsParams(confidence=0.95, resamples=500)
IDS = [f"{letter}-{number}" for letter in "AB" for number in range(6)]
LABELS = {image: image[0] for image in IDS}
WORDS = {image: frozenset(["bent"] if image[0] == "A" else ["up"]) for image in IDS}


def table(of_patch) -> pd.DataFrame:
    """Three patches of two words; `of_patch(image, patch)` gives the first, the second is never true."""
    rows = [
        (image, patch, "layer_00", "latent", rank, "layer_01", word)
        for image in IDS for patch in range(3) for rank, word in ((1, of_patch(image, patch)), (2, "the"))
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["image_id", "patch", "site", "lens", "rank", "text_site", "word"])


def measured(of_patch) -> pd.Series:
    patches = interpretable_patches(table(of_patch), WORDS, LABELS, 50, np.random.default_rng(0))
    return shares(patches, STATISTICS, np.random.default_rng(1)).iloc[0]


def test_a_word_of_the_hand_at_every_patch_is_a_share_of_one_and_none_of_another_hands():
    row = measured(lambda image, patch: "Bent" if image[0] == "A" else "up")  # whatever the case
    assert row["share"] == 1
    assert row["other_image"] == 0
    assert row["over_other_image"] == 1


def test_a_word_that_holds_for_every_hand_alike_is_nothing_beyond_the_null():
    both = {image: frozenset(["up"]) for image in IDS}
    said = table(lambda image, patch: "up" if patch == 0 else "faces")
    patches = interpretable_patches(said, both, LABELS, 50, np.random.default_rng(0))
    row = shares(patches, STATISTICS, np.random.default_rng(1)).iloc[0]
    assert row["share"] == pytest.approx(1 / 3)
    assert row["over_other_image"] == pytest.approx(0)


def test_words_at_random_are_nothing_beyond_shuffled_ones():
    generator = np.random.default_rng(5)
    row = measured(lambda image, patch: str(generator.choice(["up", "bent", "faces"])))
    assert row["over_shuffled_words_low"] <= 0 <= row["over_shuffled_words_high"]


def test_one_true_word_of_k_makes_a_patch_interpretable():
    assert measured(lambda image, patch: "up" if image[0] == "B" else "faces")["share"] == 0.5


def test_images_without_known_words_are_left_out():
    known = {image: words for image, words in WORDS.items() if image != "A-0"}
    patches = interpretable_patches(table(lambda *_: "up"), known, LABELS, 5, np.random.default_rng(0))
    assert set(patches["image_id"]) == set(known)
    nothing = interpretable_patches(table(lambda *_: "up"), {}, LABELS, 5, np.random.default_rng(0))
    found = shares(nothing, STATISTICS, np.random.default_rng(0))
    assert found.empty


def test_the_leap_is_where_the_nearest_neighbours_lie():
    said = table(lambda *_: "up")
    deep = said.assign(site="layer_01", text_site=np.where(said["rank"] == 1, "layer_01", "layer_03"))
    found = leap(pd.concat([said, deep], ignore_index=True))
    assert found.to_dict("records") == [
        {"site": "layer_00", "text_site": "layer_01", "share": 1.0},
        {"site": "layer_01", "text_site": "layer_01", "share": 0.5},
        {"site": "layer_01", "text_site": "layer_03", "share": 0.5},
    ]
    patches = interpretable_patches(said, WORDS, LABELS, 5, np.random.default_rng(0))
    metrics = lens_metrics(shares(patches, STATISTICS, np.random.default_rng(0)), found)
    assert metrics["leap_first"] == 0
    assert metrics["leap_last"] == 0.5
