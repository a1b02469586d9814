"""Which questions are asked: their answers hold for the drawn hands, and neither image nor question gives them away."""

import numpy as np
import pandas as pd
import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.planted.asked import check_truth, questions_asked
from signbridge.planted.edits import question_pairs
from signbridge.planted.questions import FINGERS, QUESTIONS, Question, fingers_up
from signbridge.rendered.dataset import photo_in_numbers
from signbridge.rendered.hand_words import is_up
from signbridge.rendered.letter_poses import LETTER_POSES
from signbridge.vlm.catalog import FolderModel, PlantedTruth

POSED = {"little": "pinky"}


def sample(letters: str, photos: int = 6) -> pd.DataFrame:
    rows = [
        (f"{letter}-{photo:03d}-0", letter, f"{letter}-{photo:03d}") for letter in letters for photo in range(photos)
    ]
    return pd.DataFrame(rows, columns=["image_id", "label", "photo"])


def model(blocks: list[int] | None) -> FolderModel:
    return FolderModel(source="folder", path="models/mine", planted=blocks and PlantedTruth(blocks=blocks))


def asked(letters: str = "ABFISW") -> pd.DataFrame:
    hands = sample(letters)
    return questions_asked(hands, np.ones(len(hands), dtype=bool), 1000, np.random.default_rng(0))


def test_which_fingers_are_up_agrees_with_the_table_of_hands():
    for letter, up in fingers_up().items():
        assert up == {finger: is_up(LETTER_POSES[letter], POSED.get(finger, finger)) for finger in FINGERS}, letter


def test_a_drawn_hand_holds_its_fingers_as_its_letter_does():
    for letter, up in fingers_up().items():
        pose = photo_in_numbers(7, letter, 0).pose
        assert up == {finger: is_up(pose, POSED.get(finger, finger)) for finger in FINGERS}, letter


def test_the_other_word_has_the_other_answer():
    for letter in fingers_up():
        for finger in FINGERS:
            assert {Question(finger, word).answer(letter) for word in ("raised", "lowered")} == {"Yes", "No"}
    assert Question("index", "raised").answer("B") == "Yes"
    assert Question("index", "lowered").answer("B") == "No"


def test_neither_image_nor_question_tells_the_answer():
    table = asked()
    yes = table["answer"] == "Yes"
    for given in ("image_id", "finger", "word", ["finger", "word"], ["image_id", "finger"]):
        assert (yes.groupby([table[name] for name in np.atleast_1d(given)]).mean() == 0.5).all(), given


def test_hands_that_are_not_drawn_are_refused():
    hands = sample("AB")
    with pytest.raises(SignBridgeError, match=r"6 of 12 hands of the sample were not drawn here.*dataset: rendered"):
        questions_asked(hands, np.arange(12) < 6, 10, np.random.default_rng(0))


def test_a_sample_without_a_finger_up_is_refused():
    with pytest.raises(SignBridgeError, match="Add letters"):
        asked("AS")


def test_a_model_without_a_stated_truth_is_refused():
    with pytest.raises(SignBridgeError, match=r"tiny-random: no `planted`.*model: miniature"):
        check_truth("tiny-random", model(None))


def test_the_untrained_twin_of_a_model_with_a_truth_is_refused():
    twin = model([6, 7, 8]).model_copy(update={"untrained": 0})
    with pytest.raises(SignBridgeError, match="no `planted`"):
        check_truth("miniature-untrained", twin)


def test_a_truth_beyond_the_last_block_is_refused():
    with pytest.raises(SignBridgeError, match=r"no block 12\. It has 12"):
        check_truth("miniature", model([11, 12]), blocks=12)
    assert check_truth("miniature", model([8, 6, 7]), blocks=12) == [6, 7, 8]


def test_pairs_differ_in_all_that_a_patch_could_carry():
    table = asked()
    pairs = question_pairs(table, 10, np.random.default_rng(0))
    assert len(pairs) == 10
    photos = [table["photo"][row] for pair in pairs for row in pair]
    assert len(set(photos)) == len(photos)
    for pair in pairs:
        a, b = table.loc[pair.a], table.loc[pair.b]
        assert all(a[name] != b[name] for name in ("label", "word", "answer"))
        # what a block below the planted ones may carry over, hand and finger, leaves the receiver's own answer
        assert Question(b["finger"], a["word"]).answer(b["label"]) == a["answer"]


def test_all_questions_are_as_long():
    assert len(QUESTIONS) == 2 * len(FINGERS)
    assert len({len(question.text.split()) for question in QUESTIONS}) == 1
