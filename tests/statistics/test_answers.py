"""Which sign an answer names, and what is counted."""

import numpy as np
import pandas as pd
import pytest

from signbridge.statistics.answers import (
    best_reading,
    commonest_by_letter,
    intervals,
    likeliest_letter,
    named_class,
    named_letter,
    right_by_image,
    summary,
    with_named,
    zero_shot_summary,
)
from signbridge.statistics.intervals import StatisticsParams


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("A", "A"),
        ("a", "A"),
        ("a.", "A"),
        ("I", "I"),
        ("I.", "I"),
        (' "B" ', "B"),
        ("‘A’", "A"),
        ("**C**", "C"),
        ("_D_", "D"),
        ("(e)\n", "E"),
    ],
)
def test_a_letter_that_is_the_whole_answer_is_named(answer, letter):
    assert named_letter(answer) == letter


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("The letter A", "A"),
        ("the letter a", "A"),
        ("Letter: b", "B"),
        ("The letter I in American Sign Language", "I"),
        ('ASL letter "C"', "C"),
        ("The sign for 'a'.", "A"),
        ("The sign for A", "A"),
        ("The sign for A in ASL", "A"),
        ("The hand makes a V sign", "V"),
        ("V sign", "V"),
        ("ASL B", "B"),
        ("It is an I.", "I"),
        ("This is C. The letter C.", "C"),
    ],
)
def test_a_letter_in_a_sentence_is_named(answer, letter):
    assert named_letter(answer) == letter


@pytest.mark.parametrize(
    "answer",
    [
        "I love you",
        "The sign for I love you",
        '"I love you"',
        "I'm not sure",
        "I’m not sure",
        "A hand",
        "A sign",
        "a hand with a finger up",
        "The person is making a",
    ],
)
def test_the_article_and_the_pronoun_are_no_letters(answer):
    assert named_letter(answer) is None


@pytest.mark.parametrize("answer", ["", " ", "...", "OK", "O.K.", "Peace", "ASL", "A.S.L.", "T-shirt", "3", "É", "ß"])
def test_what_only_holds_letters_names_none(answer):
    assert named_letter(answer) is None


@pytest.mark.parametrize("answer", ["A or B", "B or A", "A, B, C", "letters A and B", "R U OK", "I or J"])
def test_two_letters_name_neither(answer):
    assert named_letter(answer) is None


def test_a_letter_named_twice_is_named_once():
    assert named_letter("B. The letter 'b' in ASL: B") == "B"


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ("Hello!", "hello"),
        ("This means thank you.", "thank_you"),
        ("THANK-YOU", "thank_you"),
        ("you", "you"),
        ("yours", None),
        ("hello, thank you", None),
        ("It is 5.", "5"),
        ("55", None),
        ("The letter A", None),
        ("", None),
    ],
)
def test_a_class_of_words_is_named_by_its_whole_words_and_the_longest_wins(answer, named):
    assert named_class(answer, ["hello", "thank_you", "you", "5"]) == named


@pytest.mark.parametrize(
    ("answer", "named"),
    [("A", "A"), ("J", "J"), ("space", "space"), ("space A", None), ("a space", "space"), ("A hand", None)],
)
def test_letters_and_words_may_be_classes_side_by_side(answer, named):
    assert named_class(answer, ["A", "B", "space"]) == named


def test_a_class_is_named_as_its_folder_spells_it():
    assert named_class("The letter B", ["a", "b"]) == "b"


def test_marks_in_a_class_name_are_not_read_as_a_pattern():
    assert named_class("ab", ["a.b", "c*"]) is None


def answers(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [(f"image-{index}", label, answer) for index, (label, answer) in enumerate(rows)],
        columns=["image_id", "label", "answer"],
    )


def test_the_shares_are_of_all_images_and_add_up():
    named = with_named(answers(("A", "A"), ("A", "Peace"), ("B", "the letter A"), ("B", ""), ("B", "Peace")))
    assert named["named"].tolist() == ["A", "", "A", "", ""]
    assert summary(named) == {
        "images": 5,
        "distinct_answers": 4,
        "share_commonest_answer": 0.4,
        "best_reading": 0.8,
        "share_naming_any_letter": 0.4,
        "share_naming_no_letter": 0.6,
    }


def test_the_best_reading_takes_each_answer_for_its_commonest_letter():
    assert best_reading(answers(*[("A", "Fist")] * 3, ("S", "Fist"), ("V", "Peace"), ("U", "Peace"))) == 4 / 6
    assert best_reading(answers(("A", "Fist"), ("S", "fist"))) == 1


def test_the_commonest_answers_of_each_letter_come_first_and_ties_are_in_order():
    table = commonest_by_letter(answers(*[("A", "x")] * 3, ("A", "z"), ("A", "y"), ("B", "")), commonest=2)
    assert table.to_dict("records") == [
        {"letter": "A", "rank": 1, "answer": "x", "count": 3, "share": 0.6},
        {"letter": "A", "rank": 2, "answer": "y", "count": 1, "share": 0.2},
        {"letter": "B", "rank": 1, "answer": "", "count": 1, "share": 1.0},
    ]


IDS = [f"image-{index}" for index in range(4)]
NAMED = with_named(answers(("A", "A"), ("A", "Fist"), ("B", "A"), ("B", "Palm")))
PHOTO = pd.Series(["p", "p", "q", "r"], index=IDS)
STATISTICS = StatisticsParams(confidence=0.9, resamples=500)


def scores(*of_image: dict[str, float]) -> pd.DataFrame:
    """Letter scores of the four images, given as probabilities."""
    rows = [
        (image_id, label, letter, np.log(probability))
        for image_id, label, chances in zip(IDS, "AABB", of_image, strict=True)
        for letter, probability in chances.items()
    ]
    return pd.DataFrame(rows, columns=["image_id", "label", "letter", "log_probability"])


SCORES = scores({"A": 0.5, "B": 0.1}, {"A": 0.2, "B": 0.3}, {"A": 0.1, "B": 0.1}, {"A": 1e-9, "B": 2e-9})


def predictions(site: str, position: str, *by_fold: str) -> pd.DataFrame:
    """Two repeats of two folds; each fold tests images 0 and 2, or 1 and 3, and predicts two letters."""
    rows = [
        ("grouped", site, position, fold // 2, fold % 2, IDS[image], "AABB"[image], predicted)
        for fold, letters in enumerate(by_fold)
        for image, predicted in zip((fold % 2, fold % 2 + 2), letters, strict=True)
    ]
    columns = ["protocol", "site", "position", "repeat", "fold", "image_id", "label", "predicted"]
    return pd.DataFrame(rows, columns=columns)


PREDICTIONS = pd.concat(
    [
        predictions("layer_00", "prompt_last", "AB", "AB", "BA", "BA"),
        predictions("layer_01", "prompt_last", "BA", "BA", "AB", "AB"),
        predictions("answer", "text", "AA", "AA", "AB", "AA"),
    ],
    ignore_index=True,
)
# Inside the training images layer_00 is best in repeat 0 and layer_01 in repeat 1: the choice is right each time.
CHOICES = pd.DataFrame(
    [
        ("grouped", site, "prompt_last", repeat, fold, 1.0, 0.9 if site == f"layer_0{repeat}" else 0.1)
        for site in ("layer_00", "layer_01")
        for repeat in range(2)
        for fold in range(2)
    ],
    columns=["protocol", "site", "position", "repeat", "fold", "C", "inner_accuracy"],
)
RIGHT = right_by_image(NAMED, SCORES, PREDICTIONS, CHOICES, "prompt_last")


def test_the_likeliest_letter_is_the_zero_shot_answer_and_of_equals_the_first():
    assert likeliest_letter(SCORES)["predicted"].tolist() == ["A", "B", "A", "B"]


def test_the_zero_shot_accuracy_is_seen_beside_chance_and_how_likely_a_letter_is_at_all():
    found = zero_shot_summary(SCORES)
    assert found["zero_shot_chance"] == 0.5
    assert found["zero_shot_distinct_letters"] == 2
    assert found["zero_shot_probability_of_letters"] == pytest.approx((0.6 + 0.5 + 0.2) / 4)


def test_each_image_is_right_in_the_share_of_repeats_that_got_it_right():
    assert RIGHT["share_naming_right_letter"].tolist() == [1, 0, 0, 0]
    assert RIGHT["zero_shot_accuracy"].tolist() == [1, 0, 0, 1]
    assert RIGHT["reading"].tolist() == [1, 1, 0.5, 0]


def test_the_probe_is_the_layer_that_each_fold_chose_inside_its_training_images():
    """Either layer alone is right half of the time; the one that was chosen always."""
    assert RIGHT["probe_accuracy"].tolist() == [1, 1, 1, 1]


def test_images_are_matched_by_id_and_not_by_order():
    again = right_by_image(
        NAMED.iloc[::-1], SCORES.sample(frac=1, random_state=0), PREDICTIONS.iloc[::-1], CHOICES, "prompt_last"
    )
    assert again.loc[IDS, ["share_naming_right_letter", "reading"]].equals(
        RIGHT[["share_naming_right_letter", "reading"]]
    )
    photo = PHOTO.iloc[::-1]
    assert found(RIGHT)["reading_low"] == intervals(RIGHT, photo, STATISTICS, np.random.default_rng(0))["reading_low"]


def found(right: pd.DataFrame) -> dict[str, float]:
    return intervals(right, PHOTO, STATISTICS, np.random.default_rng(0))


def test_each_share_stands_between_its_bounds_and_the_differences_beside_them():
    numbers = found(RIGHT)
    assert numbers["reading"] == 0.625
    assert numbers["probe_minus_reading"] == 0.375
    assert numbers["probe_minus_text"] == 0.75
    assert numbers["probe_minus_zero_shot"] == 0.5
    for name in [*RIGHT.columns, "probe_minus_text", "probe_minus_zero_shot", "probe_minus_reading"]:
        assert numbers[f"{name}_low"] <= numbers[name] <= numbers[f"{name}_high"]


def test_a_difference_of_nothing_has_an_interval_on_both_sides():
    """An interval of a share ends at 0; that of a difference does not."""
    generator = np.random.default_rng(0)
    ids = [f"image-{index}" for index in range(200)]
    right = pd.DataFrame({"reading": np.repeat([0.0, 1.0], 100), "probe_accuracy": np.tile([0.0, 1.0], 100)}, index=ids)
    numbers = intervals(right, pd.Series(ids, index=ids), STATISTICS, generator)
    assert numbers["probe_minus_reading"] == 0
    assert numbers["probe_minus_reading_low"] == pytest.approx(-numbers["probe_minus_reading_high"], abs=0.02)
    assert numbers["probe_minus_reading_high"] > 0.05


def test_without_grouped_probes_text_and_letters_are_still_counted():
    none = PREDICTIONS[PREDICTIONS["protocol"] == "signbridge"]
    right = right_by_image(NAMED, SCORES, none, CHOICES.iloc[:0], None)
    assert list(right.columns) == ["share_naming_right_letter", "zero_shot_accuracy"]
    assert not any(name.startswith("probe") for name in found(right))


def test_copies_of_one_photo_count_as_one_draw():
    """All in one photo, as many images as ever: the interval is as wide as that of one draw a photo."""
    photos = np.arange(10) % 2 == 0
    few = pd.DataFrame({"reading": photos.astype(float)}, index=[f"image-{index}" for index in range(10)])
    many = pd.DataFrame(
        {"reading": np.repeat(photos, 20).astype(float)}, index=[f"copy-{index}" for index in range(200)]
    )
    of_few = intervals(few, pd.Series(few.index, few.index), STATISTICS, np.random.default_rng(0))
    of_many = intervals(
        many, pd.Series(np.repeat(few.index.to_numpy(), 20), many.index), STATISTICS, np.random.default_rng(0)
    )
    assert of_many == pytest.approx(of_few)
