"""Probes among images that got the same answer: which images, which splits, and what is counted."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from signbridge.core.groups import Groups
from signbridge.probing.settings import GroupedProtocol
from signbridge.probing.sweep import Cell
from signbridge.probing.within_word import (
    COLUMNS,
    places_within,
    predictions_within,
    same_word,
    score_within,
)
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.within_word import ALL_WORDS, accuracy_within, headline_within

GROUPED = GroupedProtocol(by="auto", folds=5, repeats=2, inner_folds=3, C=[0.01, 0.1, 1.0])
STATISTICS = StatisticsParams(confidence=0.95, resamples=200)


def images(*given: tuple[str, str, int]) -> pd.DataFrame:
    """A sample in which each (word, letter, photos) has that many photos of two images."""
    rows = [
        (f"{word}-{letter}-{photo}-{copy}", word, letter, f"{word}-{letter}-{photo}")
        for word, letter, photos in given
        for photo in range(photos)
        for copy in range(2)
    ]
    return pd.DataFrame(rows, columns=["image_id", "word", "label", "photo"])


# M and T got Fist and so did B, too seldom; B and C got Palm; L alone got Point.
SAMPLE = images(
    ("Fist", "M", 6), ("Fist", "T", 8), ("Palm", "B", 4), ("Palm", "C", 3), ("Point", "L", 9), ("Fist", "B", 2)
)
ANSWERS, LABELS, PHOTOS, IDS = (SAMPLE[column].to_numpy() for column in ("word", "label", "photo", "image_id"))
GROUPS = Groups("photo", PHOTOS)
WORDS = same_word(ANSWERS, LABELS, GROUPS, GROUPED, seed=0)
PHOTO = SAMPLE.set_index("image_id")["photo"]


def cell(site: str, of_letter: float, of_word: float) -> Cell:
    """Vectors that tell letters apart, words apart, both or neither."""
    generator = np.random.default_rng(len(site))
    letter, word = (np.unique(column, return_inverse=True)[1] for column in (LABELS, ANSWERS))
    vectors = generator.normal(size=(len(SAMPLE), 12))
    vectors[:, :6] += of_letter * np.eye(6)[letter]
    vectors[:, 6:9] += of_word * np.eye(3)[word]
    return Cell(site, "prompt_last", vectors.astype(np.float32))


CELLS = [cell("layer_00", 0, 8), cell("layer_01", 8, 8)]
PREDICTIONS = predictions_within([score_within(c, LABELS, WORDS, GROUPED.C) for c in CELLS], WORDS, IDS, LABELS)
TABLE = accuracy_within(PREDICTIONS, PHOTO, {"layer_00": 4, "layer_01": 5}, STATISTICS, np.random.default_rng(0))


def test_a_word_of_one_letter_is_left_out_and_so_is_a_letter_that_seldom_got_the_word():
    assert {word.word: sorted(set(LABELS[word.rows])) for word in WORDS} == {"Fist": ["M", "T"], "Palm": ["B", "C"]}
    for word in WORDS:
        assert set(ANSWERS[word.rows]) == {word.word}


def test_no_photo_is_on_both_sides_and_each_image_is_tested_once_a_repeat():
    for word in WORDS:
        photos = PHOTOS[word.rows]
        for split in word.splits:
            assert not set(photos[split.train]) & set(photos[split.test])
            for fold in split.inner:
                assert not set(photos[fold.train]) & set(photos[fold.test])
                assert not (fold.train | fold.test)[split.test].any()
            assert set(LABELS[word.rows][split.train]) == set(LABELS[word.rows])
        assert (sum(split.test.astype(int) for split in word.splits) == GROUPED.repeats).all()


def test_a_word_has_as_many_folds_as_its_rarest_letter_has_photos_where_these_are_fewer():
    assert [len(word.splits) for word in WORDS] == [2 * 5, 2 * 3]


def test_text_that_is_noise_has_no_word_and_gives_empty_tables():
    noise = np.array([f"noise {index}" for index in range(len(LABELS))])
    words = same_word(noise, LABELS, GROUPS, GROUPED, seed=0)
    assert words == []
    empty = predictions_within([], words, IDS, LABELS)
    assert empty.empty
    assert pa.Table.from_pandas(empty, preserve_index=False).schema.types == (
        pa.Table.from_pandas(PREDICTIONS, preserve_index=False).schema.types
    )
    table = accuracy_within(empty, PHOTO, {}, STATISTICS, np.random.default_rng(0))
    assert table.empty
    assert list(table.columns) == list(TABLE.columns)


def test_without_a_cell_to_probe_the_table_is_empty():
    assert predictions_within([], WORDS, IDS, LABELS).empty


def test_every_prediction_stands_beside_its_own_image():
    assert list(PREDICTIONS.columns) == list(COLUMNS)
    truth = SAMPLE.set_index("image_id")
    assert (truth.loc[PREDICTIONS["image_id"], "label"].to_numpy() == PREDICTIONS["label"]).all()
    assert (truth.loc[PREDICTIONS["image_id"], "word"].to_numpy() == PREDICTIONS["word"]).all()
    for word, letters in (("Fist", {"M", "T"}), ("Palm", {"B", "C"})):
        assert set(PREDICTIONS.loc[PREDICTIONS["word"] == word, "predicted"]) <= letters


def test_what_only_tells_words_apart_is_worth_nothing_within_a_word():
    accuracy = TABLE[TABLE["word"] == ALL_WORDS].set_index("site")["accuracy"]
    assert accuracy["layer_00"] < 0.7
    assert accuracy["layer_01"] > 0.95


def test_a_penalty_weighs_on_a_word_as_on_the_whole_study():
    for word, scored in zip(WORDS, score_within(CELLS[1], LABELS, WORDS, GROUPED.C), strict=True):
        offered = np.array(GROUPED.C) * len(LABELS) / len(word.rows)
        assert {choice.C for choice in scored.choices} <= set(offered)


def test_the_table_says_of_each_word_what_it_was_tested_on():
    fist, palm, every = (TABLE[TABLE["word"] == word].iloc[0] for word in ("Fist", "Palm", ALL_WORDS))
    assert (fist["letters"], fist["images"], fist["photos"], fist["chance"]) == ("MT", 28, 14, 16 / 28)
    assert (palm["letters"], palm["images"], palm["photos"], palm["chance"]) == ("BC", 14, 7, 8 / 14)
    assert (every["letters"], every["images"], every["photos"], every["chance"]) == ("BCMT", 42, 21, 24 / 42)
    assert TABLE["depth"].tolist() == [4, 5] * 3


def test_over_all_words_a_word_weighs_by_its_images():
    by_word = TABLE[TABLE["site"] == "layer_00"].set_index("word")["accuracy"]
    assert by_word[ALL_WORDS] == pytest.approx((28 * by_word["Fist"] + 14 * by_word["Palm"]) / 42)
    assert (TABLE["low"] <= TABLE["accuracy"]).all()
    assert (TABLE["accuracy"] <= TABLE["high"]).all()


def test_classes_that_are_words_are_listed_one_by_one():
    longer = PREDICTIONS.assign(label="sign " + PREDICTIONS["label"])
    table = accuracy_within(longer, PHOTO, {}, STATISTICS, np.random.default_rng(0))
    assert table["letters"].iloc[0] == "sign M, sign T"


def test_layers_are_probed_at_the_ends_of_prompt_and_answer_beside_pixels_and_tower():
    positions = ("prompt_last", "answer_last", "image_mean")
    probed = [("pixels", "flat"), ("vision", "image_mean"), ("projector", "image_mean")]
    probed += [(site, position) for site in ("embedding", "layer_00") for position in positions]
    assert places_within(probed) == [
        ("pixels", "flat"),
        ("vision", "image_mean"),
        ("embedding", "prompt_last"),
        ("embedding", "answer_last"),
        ("layer_00", "prompt_last"),
        ("layer_00", "answer_last"),
    ]


def test_the_headline_is_that_of_all_words_at_the_site_that_is_asked_for():
    row = TABLE[(TABLE["word"] == ALL_WORDS) & (TABLE["site"] == "layer_01")].iloc[0]
    found = headline_within(TABLE, "layer_01", "prompt_last")
    assert found["within_word_accuracy"] == row["accuracy"]
    assert (found["within_word_images"], found["within_word_site"]) == (42, "layer_01")
    assert headline_within(TABLE, "layer_07", "prompt_last") == {}
    assert headline_within(TABLE, None, "prompt_last") == {}
