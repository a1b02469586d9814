"""Which sign an answer names, and what is counted."""

import pandas as pd
import pytest

from signbridge.answers import best_reading, commonest_by_letter, named_class, named_letter, summary, with_named


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
        "share_naming_right_letter": 0.2,
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
