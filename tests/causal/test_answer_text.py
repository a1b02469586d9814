"""When two answers are the same word, when a text says one, and where two answers part."""

import pytest

from signbridge.causal.pairs import (
    differ,
    first_difference,
    plain,
    says,
)


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        ("Peace", "Peace", True),
        ("the peace sign.", "Peace", True),
        ("PEACE!", "Peace.", True),
        ("Peaceful", "Peace", False),
        ("warpeace", "Peace", False),
        ("a thumbs  up sign", "Thumbs up", True),
        ("thumbs are up", "Thumbs up", False),
        ("OKAY", "OK", False),
        ("", "Peace", False),
        ("Peace", "", False),
        ("...", "!", False),
        ("A", "a", True),
        ("A fist", "A", True),
        ("This is a fist", "A", False),  # the article
    ],
)
def test_a_text_says_an_answer_as_whole_words_in_either_case(text, answer, expected):
    assert says(text, answer) is expected


def test_case_space_and_punctuation_make_no_other_answer():
    assert plain(' "Thumbs_up."\n') == "thumbs up"
    assert not differ("Fist.", " fist")
    assert not differ("a fist", "Fist"), "the one says the other"
    assert differ("Fist", "Palm")


@pytest.mark.parametrize("nothing", ["", " ", "..."])
def test_what_is_no_answer_differs_from_none(nothing):
    assert not differ(nothing, "Fist")
    assert not differ("Fist", nothing)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [([5, 7], [6], (5, 6)), ([5, 7], [5, 8, 9], (7, 8)), ([5], [5, 8], (2, 8)), ([5, 8], [5], (8, 2))],
)
def test_answers_part_at_the_first_token_that_differs_and_the_shorter_one_ends(a, b, expected):
    assert first_difference(a, b, end=2) == expected
