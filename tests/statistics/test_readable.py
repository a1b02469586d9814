"""Interpretable shares on tables whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from signbridge.core.names import LENSES
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.readable import (
    leap,
    leap_metrics,
    lens_metrics,
    readable_patches,
    shares,
    shares_on_hand,
)

STATISTICS = StatisticsParams(confidence=0.95, resamples=500)
IDS = [f"{letter}-{number}" for letter in "AB" for number in range(6)]
LABELS = {image: image[0] for image in IDS}
WORDS = {image: frozenset(["bent"] if image[0] == "A" else ["up"]) for image in IDS}
VOCABULARY = pd.Series(["the", "bent", "Bent", "up", "faces"])
PATCHES = 3


def table(of_patch, lens: str = "latent", site: str = "layer_00") -> pd.DataFrame:
    """Three patches of two words; `of_patch(image, patch)` gives the first, the second is never true."""
    rows = [
        (image, patch, site, lens, rank, "layer_01", VOCABULARY.tolist().index(word))
        for image in IDS for patch in range(PATCHES) for rank, word in ((1, of_patch(image, patch)), (2, "the"))
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["image_id", "patch", "site", "lens", "rank", "text_site", "row"])


def judged(said: pd.DataFrame, words=WORDS, labels=LABELS, vocabulary=VOCABULARY, draws: int = 50) -> pd.DataFrame:
    every = dict.fromkeys(LENSES, vocabulary)
    return readable_patches(said, words, labels, every, draws, np.random.default_rng(0))


def shares_of(patches: pd.DataFrame) -> pd.DataFrame:
    return shares(patches, STATISTICS, np.random.default_rng(1))


def on_hand(patches: pd.DataFrame) -> pd.DataFrame:
    return shares_on_hand(patches, STATISTICS, np.random.default_rng(1))


def true_word(image: str) -> str:
    return "bent" if image[0] == "A" else "up"


def test_a_word_of_the_hand_at_every_patch_is_a_share_of_one_and_none_of_another_hands():
    row = shares_of(judged(table(lambda image, patch: "Bent" if image[0] == "A" else "up"))).iloc[0]  # any case
    assert row["share"] == 1
    assert row["other_image"] == 0
    assert row["over_other_image"] == 1


def test_a_word_that_holds_for_every_hand_alike_is_nothing_beyond_the_null():
    both = {image: frozenset(["up"]) for image in IDS}
    row = shares_of(judged(table(lambda image, patch: "up" if patch == 0 else "faces"), both)).iloc[0]
    assert row["share"] == pytest.approx(1 / 3)
    assert row["over_other_image"] == pytest.approx(0)


def test_one_true_word_of_k_makes_a_patch_readable():
    assert shares_of(judged(table(lambda image, patch: "up" if image[0] == "B" else "faces")))["share"].item() == 0.5


def test_a_scrambled_corpus_says_a_true_word_as_often_as_its_words_are_drawn():
    # Two different rows of four, one of them true: a half. The same row twice: a quarter.
    vocabulary = pd.Series(["the", "up", "bent", "faces"])
    different = table(lambda image, patch: "faces")
    different["row"] = np.where(different["rank"] == 1, 3, 0)
    twice = different.assign(row=0, site="layer_01")
    patches = judged(pd.concat([different, twice]), vocabulary=vocabulary, draws=4000)
    found = shares_of(patches).set_index("site")["scrambled_corpus"]
    assert found["layer_00"] == pytest.approx(1 / 2, abs=0.02)
    assert found["layer_01"] == pytest.approx(1 / 4, abs=0.02)


def test_a_scrambled_corpus_gives_the_same_row_the_same_word_throughout_a_draw():
    # So that a lens which says one row everywhere is right everywhere or nowhere, as it is unscrambled.
    everywhere = {image: frozenset(["up"]) for image in IDS}
    patches = judged(table(lambda image, patch: "faces"), everywhere, draws=1)
    assert len(set(patches["scrambled_corpus"])) == 1


def test_words_at_random_are_nothing_beyond_a_scrambled_corpus():
    generator = np.random.default_rng(5)
    vocabulary = pd.Series(np.repeat(["up", "bent", "the", "faces"], 50))
    said = table(lambda image, patch: "the").assign(
        row=lambda rows: generator.integers(len(vocabulary), size=len(rows))
    )
    row = shares_of(judged(said, vocabulary=vocabulary)).iloc[0]
    assert row["over_scrambled_corpus_low"] <= 0 <= row["over_scrambled_corpus_high"]


def test_the_share_is_the_words_of_the_rows_not_of_their_text_in_the_table():
    said = table(lambda image, patch: "faces").assign(word="up")
    assert shares_of(judged(said))["share"].item() == 0


def test_each_lens_is_judged_by_its_own_vocabulary():
    said = pd.concat([table(lambda image, patch: "faces", lens) for lens in LENSES])
    every = {**dict.fromkeys(LENSES, VOCABULARY), "logit": pd.Series(["the", "x", "x", "x", "up"])}
    both = {image: frozenset(["up"]) for image in IDS}
    patches = readable_patches(said, both, LABELS, every, 2, np.random.default_rng(0))
    found = shares_of(patches)
    assert list(found["lens"]) == list(LENSES)
    assert dict(zip(found["lens"], found["share"], strict=True)) == {"embedding": 0, "logit": 1, "latent": 0}


def test_images_without_known_words_are_left_out():
    known = {image: words for image, words in WORDS.items() if image != "A-0"}
    assert set(judged(table(lambda *_: "up"), known)["image_id"]) == set(known)
    assert shares_of(judged(table(lambda *_: "up"), {})).empty


def test_images_of_one_class_have_no_other_image_and_no_share():
    patches = judged(table(lambda *_: "up"), labels=dict.fromkeys(IDS, "A"))
    assert patches.empty
    assert shares_of(patches).empty
    assert on_hand(patches.assign(hand=[])).empty


def test_no_share_has_the_columns_that_shares_have():
    patches = judged(table(lambda *_: "up"))
    covered = patches.assign(hand=patches["patch"] / 2)
    nothing = judged(table(lambda *_: "up"), {})
    assert list(shares_of(nothing).columns) == list(shares_of(patches).columns)
    assert set(on_hand(nothing.assign(hand=[])).columns) == set(on_hand(covered).columns)


def test_words_of_the_hand_on_the_hand_alone_are_a_difference_of_one():
    said = table(lambda image, patch: true_word(image) if patch == 0 else "faces")
    patches = judged(said).assign(hand=lambda rows: np.where(rows["patch"] == 0, 0.5, 0.49))
    row = on_hand(patches).iloc[0]
    assert (row["hand"], row["background"]) == (1, 0)
    assert (row["hand_over_other_image"], row["background_over_other_image"]) == (1, 0)
    assert (row["difference"], row["difference_low"], row["difference_high"]) == (1, 1, 1)


def test_words_of_any_hand_on_the_hand_are_a_share_there_but_no_difference():
    both = {image: frozenset(["up"]) for image in IDS}
    said = table(lambda image, patch: "up" if patch == 0 else "faces")
    row = on_hand(judged(said, both).assign(hand=lambda rows: (rows["patch"] == 0) * 1.0)).iloc[0]
    assert row["hand"] - row["background"] == 1
    assert row["difference"] == pytest.approx(0)


def test_the_difference_is_sure_only_where_images_agree():
    # In half of the images the hand's words are on the hand, in the other half on the background.
    said = table(lambda image, patch: true_word(image) if (patch == 0) == (int(image[2]) < 3) else "faces")
    row = on_hand(judged(said).assign(hand=lambda rows: (rows["patch"] == 0) * 1.0)).iloc[0]
    assert row["difference"] == pytest.approx(0)
    assert row["difference_low"] < -0.3
    assert row["difference_high"] > 0.3


def test_a_site_whose_patches_are_all_on_the_hand_has_no_difference():
    said = pd.concat([table(lambda image, patch: true_word(image), site=site) for site in ("layer_00", "layer_01")])
    patches = judged(said)
    covered = (patches["site"] == "layer_00") | (patches["patch"] == 0)
    assert list(on_hand(patches.assign(hand=covered * 1.0))["site"]) == ["layer_01"]
    assert on_hand(patches.assign(hand=1.0)).empty
    apart = np.where(patches["site"] == "layer_00", 1.0, 0.0)  # both kinds, but nowhere at one site
    assert on_hand(patches.assign(hand=apart)).empty


def test_patches_of_which_it_is_not_known_are_left_out():
    said = table(lambda image, patch: true_word(image) if patch == 0 else "faces")
    hand = judged(said)["patch"].map({0: 1.0, 1: 0.0, 2: np.nan})
    row = on_hand(judged(said).assign(hand=hand)).iloc[0]
    assert (row["hand"], row["background"]) == (1, 0)
    assert on_hand(judged(said).assign(hand=np.nan)).empty


def test_metrics_name_the_layer_with_the_most_beyond_another_image_and_what_the_hand_adds():
    poor = table(lambda image, patch: "faces")
    rich = table(lambda image, patch: true_word(image) if patch == 0 else "faces", site="layer_01")
    said = pd.concat([poor, rich], ignore_index=True)
    patches = judged(said).assign(hand=lambda rows: (rows["patch"] == 0) * 1.0)
    of_all_layers = patches.assign(site="all")
    found = lens_metrics(shares_of(patches), on_hand(of_all_layers))
    assert found["latent_best_site"] == "layer_01"
    assert found["latent_best_over_other_image"] == pytest.approx(1 / 3)
    assert found["latent_share"] == pytest.approx(1 / 6)
    on_the_hand = {key for key in found if "hand_minus_background" in key}
    assert len(on_the_hand) == 3
    assert {found[key] for key in on_the_hand} == {0.5}
    without = lens_metrics(shares_of(patches), on_hand(of_all_layers.assign(hand=np.nan)))
    assert found.keys() - without.keys() == on_the_hand


def test_the_leap_is_where_the_nearest_neighbours_lie():
    said = table(lambda *_: "up")
    deep = said.assign(site="layer_01", text_site=np.where(said["rank"] == 1, "layer_01", "layer_03"))
    found = leap(pd.concat([said, deep], ignore_index=True))
    assert found.to_dict("records") == [
        {"site": "layer_00", "text_site": "layer_01", "share": 1.0},
        {"site": "layer_01", "text_site": "layer_01", "share": 0.5},
        {"site": "layer_01", "text_site": "layer_03", "share": 0.5},
    ]
    both = pd.concat([said, deep], ignore_index=True)
    metrics = leap_metrics(both, STATISTICS, np.random.default_rng(0))
    assert [metrics[f"leap_first{end}"] for end in ("", "_low", "_high")] == [0, 0, 0]
    assert [metrics[f"leap_last{end}"] for end in ("", "_low", "_high")] == [0.5, 0.5, 0.5]  # alike in every image


def test_the_leaps_interval_is_as_wide_as_images_differ():
    said = table(lambda *_: "up")
    far = said["image_id"] == said["image_id"].iloc[0]
    metrics = leap_metrics(said.assign(text_site=np.where(far, "layer_03", "layer_01")), STATISTICS,
                           np.random.default_rng(0))  # fmt: skip
    assert metrics["leap_first_low"] < metrics["leap_first"] < metrics["leap_first_high"]
