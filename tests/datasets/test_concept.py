"""A concept that is known of every hand: which hands it holds for, and which of them can be steered."""

import pandas as pd
import pytest

from signbridge.datasets.concept import with_answers, with_concept
from signbridge.rendered.dataset import RenderedParams, photo_in_numbers
from signbridge.rendered.hand_words import is_up
from signbridge.rendered.hands_table import hands_table
from signbridge.rendered.letter_poses import LETTER_POSES

NAMES = ("index finger not up", "index finger up")


def labelled(sample: pd.DataFrame, finger: str, drawn: RenderedParams | None = None):
    """The rows of the sample that are labelled by the concept, and its labels."""
    return with_concept(sample, finger, hands_table(sample["image_id"].tolist(), sample["label"].tolist(), drawn))


def sample(labels: str, photos: list[str] | None = None) -> pd.DataFrame:
    ids = [f"image-{number}" for number in range(len(labels))]
    return pd.DataFrame({"image_id": ids, "label": list(labels), "group": photos or ids})


def test_hands_are_called_by_the_concept_of_their_letters():
    rows, names = labelled(sample("ADADB?"), "index")
    assert names == NAMES
    assert rows["image_id"].tolist() == [f"image-{number}" for number in range(5)], "a class that is no letter is left"
    assert rows["label"].tolist() == [NAMES[is_up(LETTER_POSES[letter], "index")] for letter in "ADADB"]
    assert rows["label"].tolist() == [NAMES[up] for up in (0, 1, 0, 1, 1)]
    of_pinky, names = labelled(sample("YYAABB"), "pinky")
    assert of_pinky["label"].tolist() == [names[up] for up in (1, 1, 0, 0, 1, 1)]


def test_drawn_hands_are_called_by_their_own_photos_pose():
    ids = [f"{letter}-{photo:03d}-{copy}" for letter in "ADX" for photo in range(4) for copy in range(2)]
    drawn = pd.DataFrame({"image_id": ids, "label": [one[0] for one in ids], "group": [one[:5] for one in ids]})
    rows, names = labelled(drawn, "index", RenderedParams(source="rendered", seed=3, size=28, photos=1, copies=1))
    expected = [names[is_up(photo_in_numbers(3, one[0], int(one[2:5])).pose, "index")] for one in ids]
    assert rows["label"].tolist() == expected


@pytest.mark.parametrize(
    ("labels", "photos"),
    [
        ("DDBB", None),  # all up
        ("AASS", None),  # none
        ("??", None),
        ("AAADD", ["a", "b", "c", "d", "d"]),  # one photo of those that are up
    ],
)
def test_a_concept_of_all_hands_or_none_or_of_one_photo_is_not_known(labels, photos):
    rows, names = labelled(sample(labels, photos), "index")
    assert rows.empty
    assert names == NAMES
    left = with_answers(rows, names, pd.DataFrame({"image_id": [], "answer": []}, dtype=str))
    assert left.empty
    assert {"image_id", "label", "group", "answer"} <= set(left.columns)


def answered(said: dict[str, str]) -> pd.DataFrame:
    """In another order than the sample's."""
    return pd.DataFrame({"image_id": list(said), "answer": list(said.values())}).iloc[::-1]


def test_hands_of_which_the_concept_is_said_though_it_is_not_true_are_not_turned_to_it():
    rows, names = labelled(sample("DDDAAAA"), "index")
    said = dict(zip(rows["image_id"], ["up", "up", "bent", "bent", "up", "curved", "bent"], strict=True))
    left = with_answers(rows, names, answered(said))
    assert dict(zip(left["image_id"], left["answer"], strict=True)) == {
        one: word for one, word in said.items() if one != "image-4"
    }
    assert left["label"].tolist() == [names[1]] * 3 + [names[0]] * 3
    assert left.index.tolist() == list(range(6))


def test_of_two_words_that_are_said_as_often_the_first_by_the_alphabet_is_the_concepts():
    rows, names = labelled(sample("DDAAA"), "index")
    said = dict(zip(rows["image_id"], ["up", "straight", "up", "bent", "straight"], strict=True))
    assert set(with_answers(rows, names, answered(said))["image_id"]) == set(said) - {"image-4"}


@pytest.mark.parametrize("others", [["up", "up", "up"], ["up", "up", "bent"]], ids=["none left", "one left"])
def test_where_too_few_hands_are_left_to_turn_there_are_none(others):
    """One photo could not be both fitted on and steered."""
    rows, names = labelled(sample("DDAAA"), "index")
    said = dict(zip(rows["image_id"], ["up", "up", *others], strict=True))
    assert with_answers(rows, names, answered(said)).empty
