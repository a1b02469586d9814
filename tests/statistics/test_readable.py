"""Interpretable shares on tables whose truth is known."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.readable import (
    NULLS,
    by_layer,
    latent_over_logit,
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
PATCHES = 3


def table(of_patch, lens: str = "latent", site: str = "layer_00") -> pd.DataFrame:
    """Three patches of two words; `of_patch(image, patch)` gives the first, the second is never true."""
    rows = [
        (image, patch, site, lens, rank, "layer_01", word)
        for image in IDS for patch in range(PATCHES) for rank, word in ((1, of_patch(image, patch)), (2, "the"))
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["image_id", "patch", "site", "lens", "rank", "text_site", "word"])


def judged(said: pd.DataFrame, words=WORDS, labels=LABELS) -> pd.DataFrame:
    return readable_patches(said, words, labels)


def shares_of(patches: pd.DataFrame, guesses: int = 1) -> pd.DataFrame:
    found = shares(patches, STATISTICS, np.random.default_rng(1))
    return found[found["guesses"] == guesses].reset_index(drop=True)


def leads_of(patches: pd.DataFrame) -> pd.DataFrame:
    return latent_over_logit(patches, STATISTICS, np.random.default_rng(1))


def on_hand(patches: pd.DataFrame) -> pd.DataFrame:
    return shares_on_hand(patches, STATISTICS, np.random.default_rng(1))


def true_word(image: str) -> str:
    return "bent" if image[0] == "A" else "up"


def test_a_word_of_the_hand_at_every_patch_is_a_share_of_one_and_none_of_another_hands():
    row = shares_of(judged(table(lambda image, patch: "Bent" if image[0] == "A" else "up"))).iloc[0]  # any case
    assert row["share"] == row["share_high"] == 1
    assert 0.7 < row["share_low"] < 0.8, "twelve photos of twelve: Wilson's interval, not certainty"
    assert row["other_image"] == 0


def test_a_word_that_holds_for_every_hand_alike_is_nothing_beyond_the_null():
    both = {image: frozenset(["up"]) for image in IDS}
    row = shares_of(judged(table(lambda image, patch: "up" if patch == 0 else "faces"), both)).iloc[0]
    assert row["share"] == row["other_image"] == pytest.approx(1 / 3)
    assert row["over_null"] == pytest.approx(0)


def test_the_nearest_word_alone_counts_for_one_guess_and_any_of_the_k_for_k():
    said = table(lambda *_: "faces")
    said.loc[said["rank"] == 2, "word"] = "bent"  # true of A, as the second word
    patches = judged(said)
    assert shares_of(patches)["share"].item() == 0
    assert shares_of(patches, guesses=2)["share"].item() == 0.5
    of_one = judged(said[said["rank"] == 1])
    assert set(of_one["guesses"]) == {1}


def test_another_image_is_any_image_of_another_class_with_the_same_weight():
    # Word by word: of the images that are no A, one in three knows "up", one "bent", and one neither.
    labels = dict(zip(IDS[:4], "ABCD", strict=True))
    words = {image: frozenset([word]) for image, word in zip(IDS[:4], ("the", "up", "bent", "spread"), strict=True)}
    patches = judged(table(lambda *_: "up"), words, labels)
    of_a = patches[(patches["image_id"] == IDS[0]) & (patches["guesses"] == 1)]
    np.testing.assert_allclose(of_a["other_image"], 1 / 3)


def test_shuffled_words_are_the_mean_over_every_way_to_shuffle_word_types():
    """The slow way: every permutation of the words that the lens says, each word everywhere alike."""
    generator = np.random.default_rng(3)
    vocabulary = ["the", "up", "bent", "faces", "is"]
    said = table(lambda *_: "the")
    pairs = [generator.permutation(vocabulary)[:2] for _ in range(len(said) // 2)]
    said["word"] = np.concatenate(pairs)
    both = {image: frozenset(["up", "bent"] if image[0] == "A" else ["is"]) for image in IDS}
    patches = judged(said, both).set_index(["guesses", "image_id", "patch"])["shuffled_words"]
    ways = [dict(zip(vocabulary, way, strict=True)) for way in permutations(vocabulary)]
    for (image, patch), here in said.groupby(["image_id", "patch"]):
        for guesses in (1, 2):
            first = here.loc[here["rank"] <= guesses, "word"]
            expected = np.mean([any(way[word] in both[image] for word in first) for way in ways])
            assert patches[guesses, image, patch] == pytest.approx(expected)


def test_a_word_that_is_said_often_is_no_likelier_to_be_true_when_words_are_shuffled():
    # As many word types, one of them on nearly every patch: rows shuffled among themselves would make it likely.
    rare = table(lambda image, patch: "up" if (image, patch) == ("A-0", 0) else "faces")
    often = table(lambda image, patch: "faces" if (image, patch) == ("A-0", 0) else "up")
    at = {"image_id": "B-0", "patch": 1, "guesses": 1}
    found = [judged(said).set_index(list(at)).loc[tuple(at.values()), "shuffled_words"] for said in (rare, often)]
    assert found[0] == found[1] == pytest.approx(1 / 3)  # of "up", "faces" and "the"


def test_words_at_random_are_nothing_beyond_shuffled_words():
    generator = np.random.default_rng(5)
    said = table(lambda *_: "the").assign(
        word=lambda rows: generator.choice(["up", "bent", "the", "faces"], size=len(rows))
    )
    found = shares_of(judged(said)).iloc[0]
    assert found["share_low"] <= found["shuffled_words"] <= found["share_high"]


def test_the_harder_null_is_that_with_the_larger_share_layer_by_layer():
    everyone = {image: frozenset([true_word(image), "up"]) for image in IDS}  # "up" holds for all
    mostly_up = table(lambda image, patch: "up" if patch else "faces", site="layer_00")
    never_up = table(lambda image, patch: "bent" if image[0] == "A" else "faces", site="layer_01")
    found = shares_of(judged(pd.concat([mostly_up, never_up]), everyone)).set_index("site")
    assert found["harder_null"].tolist() == ["other_image", "shuffled_words"]
    for _, row in found.iterrows():
        assert row["over_null"] == pytest.approx(row["share"] - max(row[null] for null in NULLS))
        assert row["over_null_low"] <= row["over_null"] <= row["over_null_high"]


def test_each_lens_shuffles_the_words_that_it_says():
    few = table(lambda image, patch: true_word(image), "latent")
    many = table(lambda image, patch: f"{image}{patch}" if patch else true_word(image), "logit")
    found = shares_of(judged(pd.concat([few, many]))).set_index("lens")["shuffled_words"]
    assert found["latent"] == pytest.approx(1 / 3)
    assert found["logit"] == pytest.approx(1 / (3 + 12 * 2))


def test_latentlens_is_held_against_logitlens_patch_by_patch_beyond_each_ones_null():
    ahead = table(lambda image, patch: true_word(image), "latent")
    behind = table(lambda image, patch: "faces", "logit")
    patches = judged(pd.concat([ahead, behind, ahead.assign(site="layer_01", lens="logit"),
                                behind.assign(site="layer_01", lens="latent")]))  # fmt: skip
    over = shares_of(patches).pivot_table("over_null", "site", "lens")
    found = leads_of(patches)
    of_one = found[found["guesses"] == 1]
    np.testing.assert_allclose(of_one["difference"], over["latent"] - over["logit"])
    assert of_one["difference_low"].iloc[0] > 0 > of_one["difference_high"].iloc[1]
    alone = judged(ahead)
    assert leads_of(alone).empty


def test_images_without_known_words_are_left_out():
    known = {image: words for image, words in WORDS.items() if image != "A-0"}
    assert set(judged(table(lambda *_: "up"), known)["image_id"]) == set(known)
    assert shares_of(judged(table(lambda *_: "up"), {})).empty


def test_images_of_one_class_have_no_other_image_and_no_share():
    patches = judged(table(lambda *_: "up"), labels=dict.fromkeys(IDS, "A"))
    assert patches.empty
    assert shares_of(patches).empty
    assert leads_of(patches).empty
    assert on_hand(patches.assign(hand=[])).empty


def test_no_share_has_the_columns_that_shares_have():
    patches = judged(table(lambda *_: "up"))
    covered = patches.assign(hand=patches["patch"] / 2)
    nothing = judged(table(lambda *_: "up"), {})
    assert list(shares_of(nothing).columns) == list(shares_of(patches).columns)
    assert set(leads_of(nothing).columns) == set(leads_of(patches).columns)
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


def test_metrics_name_first_and_best_layer_how_far_latentlens_leads_and_what_the_hand_adds():
    poor = table(lambda image, patch: "faces")
    rich = table(lambda image, patch: true_word(image) if patch == 0 else "faces", site="layer_01")
    of_logit = pd.concat([poor, rich.assign(word="faces"), rich.assign(site="layer_02")]).assign(lens="logit")
    of_latent = pd.concat([rich.assign(site="layer_00"), rich, poor.assign(site="layer_02")])
    patches = judged(pd.concat([of_latent, of_logit])).assign(hand=lambda rows: (rows["patch"] == 0) * 1.0)
    of_all_layers = on_hand(patches.assign(site="all"))
    found = lens_metrics(shares(patches, STATISTICS, np.random.default_rng(1)), leads_of(patches), of_all_layers)
    assert (found["latent_best_layer"], found["logit_best_layer"]) == ("layer_00", "layer_02")
    rows = shares_of(patches).set_index(["lens", "site"])
    assert found["latent_first_layer"] == found["latent_over_null"] == rows.loc[("latent", "layer_00"), "over_null"]
    assert found["logit_first_layer_high"] == rows.loc[("logit", "layer_00"), "over_null_high"]
    assert found["latent_share"] == pytest.approx(2 / 9)
    assert found["latent_k_words_over_null"] < found["latent_over_null"], "the second word is never true, its null is"
    assert found["latent_leads_up_to"] == "layer_01"
    swapped = patches.replace({"lens": {"latent": "logit", "logit": "latent"}})
    behind = lens_metrics(shares(swapped, STATISTICS, np.random.default_rng(1)), leads_of(swapped), of_all_layers)
    assert behind["latent_leads_up_to"] == "no layer"
    on_the_hand = {key for key in found if "hand_minus_background" in key}
    assert len(on_the_hand) == 6


def test_the_plot_has_the_nearest_word_beside_the_harder_null_of_each_layer():
    everyone = {image: frozenset([true_word(image), "up"]) for image in IDS}
    said = pd.concat([table(lambda image, patch: "up" if patch else "faces"),
                      table(lambda image, patch: "bent" if image[0] == "A" else "faces", site="layer_01")])  # fmt: skip
    patches = judged(said, everyone)
    plot, found = by_layer(shares(patches, STATISTICS, np.random.default_rng(1))), shares_of(patches)
    assert len(plot) == 2 * len(found)
    harder = plot[plot["words"] == "the harder null"]
    np.testing.assert_allclose(harder["share"], found[list(NULLS)].max(axis=1))
    assert (harder["low"] <= harder["share"]).all()
    assert plot["blocks"].tolist() == [1, 2, 1, 2]


def test_the_leap_is_where_the_nearest_neighbour_lies():
    said = table(lambda *_: "up")
    said.loc[said["rank"] == 2, "text_site"] = "layer_05"  # of another word: not the nearest
    deep = said.assign(site="layer_01", text_site=np.where(said["image_id"].str[0] == "A", "layer_01", "layer_03"))
    found = leap(pd.concat([said, deep], ignore_index=True))
    assert found.to_dict("records") == [
        {"site": "layer_00", "text_site": "layer_01", "share": 1.0},
        {"site": "layer_01", "text_site": "layer_01", "share": 0.5},
        {"site": "layer_01", "text_site": "layer_03", "share": 0.5},
    ]
    both = pd.concat([said, deep], ignore_index=True)
    metrics = leap_metrics(both, STATISTICS, np.random.default_rng(0))
    assert [metrics[f"leap_first{end}"] for end in ("", "_low", "_high")] == [0, 0, 0]
    assert metrics["leap_last_low"] < metrics["leap_last"] == 0.5 < metrics["leap_last_high"]


def test_the_leaps_interval_is_as_wide_as_images_differ():
    said = table(lambda *_: "up")
    far = said["image_id"] == said["image_id"].iloc[0]
    metrics = leap_metrics(said.assign(text_site=np.where(far, "layer_03", "layer_01")), STATISTICS,
                           np.random.default_rng(0))  # fmt: skip
    assert metrics["leap_first_low"] < metrics["leap_first"] < metrics["leap_first_high"]
