"""Which images and classes are compared; when two answers are the same word, and when a text says one."""

import numpy as np
import pytest

from signbridge.causal.pairs import class_pairs, differ, first_difference, image_pairs, plain, says
from signbridge.datasets.sampling import one_of_each_photo

LABELS = np.repeat(list("ABCD"), 12)
PHOTOS = np.array([f"{label}{index % 4}" for index, label in enumerate(LABELS)])  # four a letter, three copies each


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_pair_is_of_two_letters_and_no_photo_stands_in_two():
    pairs = image_pairs(LABELS, PHOTOS, 100, generator())
    assert len(pairs) == 8, "sixteen photos of four letters can all be paired"
    assert all(LABELS[pair.a] != LABELS[pair.b] for pair in pairs)
    photos = [PHOTOS[row] for pair in pairs for row in pair]
    assert len(set(photos)) == len(photos)


def test_no_more_pairs_are_made_than_wanted():
    assert len(image_pairs(LABELS, PHOTOS, 3, generator())) == 3


def test_only_pairs_that_may_be_are_made():
    pairs = image_pairs(LABELS, PHOTOS, 100, generator(), lambda a, b: {LABELS[a], LABELS[b]} == {"B", "D"})
    assert len(pairs) == 4
    assert {LABELS[row] for pair in pairs for row in pair} == {"B", "D"}


def test_a_photo_that_finds_no_partner_does_not_stop_the_others():
    labels, photos = np.array(list("AAAAAB")), np.array(list("uvwxyz"))
    for seed in range(10):
        assert len(image_pairs(labels, photos, 9, generator(seed))) == 1


def test_pairs_and_copies_are_drawn_by_the_seed_and_by_nothing_else():
    pairs = [image_pairs(LABELS, PHOTOS, 8, generator(seed)) for seed in (1, 1, 2)]
    assert pairs[0] == pairs[1] != pairs[2]


@pytest.mark.parametrize("wanted", [0, 5])
def test_there_may_be_no_pair_at_all(wanted):
    assert image_pairs(LABELS, PHOTOS, wanted, generator(), lambda a, b: wanted == 0) == []


def test_one_image_of_each_photo_is_drawn_and_each_copy_may_be():
    draws = [one_of_each_photo(PHOTOS, generator(seed)) for seed in range(40)]
    for rows in draws:
        assert sorted(PHOTOS[rows]) == sorted(set(PHOTOS))
    assert {row for rows in draws for row in rows} == set(range(len(PHOTOS)))
    assert {PHOTOS[rows[0]] for rows in draws} > {PHOTOS[0]}, "their order is drawn too"


# Pairs of classes -----------------------------------------------------------------------------------------------------

SAID = {"A": "Fist", "B": "Palm", "C": "Fist", "D": "Peace"}


def answers(said: dict[str, str]) -> np.ndarray:
    return np.array([said[label] for label in LABELS], dtype=object)


def test_classes_are_paired_where_their_commonest_answers_differ_in_both_orders():
    found = class_pairs(LABELS, answers(SAID), 100, generator())
    everything = {(a, b) for a in SAID for b in SAID if SAID[a] != SAID[b]}
    assert {(pair.a, pair.b) for pair in found} == everything
    assert len(found) == len(everything)
    assert all((pair.answer_a, pair.answer_b) == (SAID[pair.a], SAID[pair.b]) for pair in found)


def test_letters_recur_as_late_as_they_can():
    said = {letter: letter.lower() for letter in "ABCD"}
    for seed in range(10):
        first = class_pairs(LABELS, answers(said), 2, generator(seed))
        assert sorted(letter for pair in first for letter in pair[:2]) == list("ABCD")


def test_pairs_that_leave_a_class_named_first_come_before_others_and_change_no_draw():
    said = {letter: letter.lower() for letter in "ABCD"}
    for seed in range(10):
        found = class_pairs(LABELS, answers(said), 8, generator(seed), first={"C", "D", "Z"})
        assert {pair.a for pair in found[:6]} == {"C", "D"}
        assert {pair.a for pair in found[6:]} <= {"A", "B"}
        plain = class_pairs(LABELS, answers(said), 8, generator(seed))
        assert class_pairs(LABELS, answers(said), 8, generator(seed), first=()) == plain
        assert class_pairs(LABELS, answers(said), 8, generator(seed), first={"Z"}) == plain


def test_the_commonest_answer_counts_and_of_equals_the_first_by_name():
    given = answers(SAID)
    given[LABELS == "A"] = ["Fist"] * 5 + ["Palm"] * 7
    given[LABELS == "B"] = ["Yes", "No"] * 6
    found = class_pairs(LABELS, given, 100, generator())
    of_letter = {pair.a: pair.answer_a for pair in found}
    assert of_letter == {"A": "Palm", "B": "No", "C": "Fist", "D": "Peace"}


def test_a_letter_that_mostly_got_no_answer_is_left_out():
    given = answers(SAID)
    given[LABELS == "D"] = [""] * 7 + ["Peace"] * 5
    found = class_pairs(LABELS, given, 100, generator())
    assert {letter for pair in found for letter in pair[:2]} == {"A", "B", "C"}


def test_classes_of_one_answer_give_no_pair():
    assert class_pairs(LABELS, answers(dict.fromkeys("ABCD", "Fist")), 5, generator()) == []


# Answers --------------------------------------------------------------------------------------------------------------


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
