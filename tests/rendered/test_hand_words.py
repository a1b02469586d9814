"""The words that hold for a hand, beside its joint angles."""

import pytest

from models.miniature.lessons import hands
from signbridge.datasets.hands import FINGERS, WORDS, names_of_letters, words_by_image, words_of_letters
from signbridge.rendered.dataset import RenderedParams, photo_in_numbers
from signbridge.rendered.hand import Finger
from signbridge.rendered.hand_words import is_up, words_of_pose
from signbridge.rendered.hands_table import hands_table
from signbridge.rendered.letter_poses import LETTER_POSES, LETTERS


@pytest.mark.parametrize("letter", LETTERS)
def test_the_word_list_holds_for_the_poses(letter):
    """Corrected words may leave some out, but name no way to hold a finger that the pose does not show."""
    assert words_of_letters()[letter] & set(WORDS) <= words_of_pose(LETTER_POSES[letter])


@pytest.mark.parametrize("letter", LETTERS)
def test_the_names_of_shapes_are_those_that_the_miniature_learnt(letter):
    assert names_of_letters()[letter] == {hands()[letter].word.lower()}


@pytest.mark.parametrize("letter", LETTERS)
def test_what_the_miniature_says_of_the_fingers_is_among_the_words_that_hold(letter):
    said = set(hands()[letter].fingers.replace(",", "").split()) & set(WORDS)
    assert said <= words_of_pose(LETTER_POSES[letter])


@pytest.mark.parametrize(
    ("spreads", "word"), [((15, 0, 0, 0), "spread"), ((2, 0, 0, 0), "together"), ((-15, 5, 5, 5), "crossed")]
)
def test_straight_neighbours_are_told_apart_by_their_angle(spreads, word):
    fingers = dict(
        zip(("index", "middle", "ring", "pinky"), (Finger(3, 3, 3, spread) for spread in spreads), strict=True)
    )
    assert word in words_of_pose(LETTER_POSES["B"].with_angles({
        f"{name}_{joint}": getattr(finger, joint) for name, finger in fingers.items()
        for joint in ("mcp", "pip", "dip", "spread")
    }))  # fmt: skip


def test_a_hand_that_points_down_has_no_finger_up():
    assert "up" in words_of_pose(LETTER_POSES["D"])
    assert "up" not in words_of_pose(LETTER_POSES["Q"])


@pytest.mark.parametrize(
    ("letter", "up"),
    [("B", FINGERS), ("D", ("index",)), ("I", ("pinky",)), ("V", ("index", "middle")), ("A", ()), ("Q", ())],
)
def test_each_finger_is_up_where_it_is_straight_in_a_hand_that_points_up(letter, up):
    assert tuple(finger for finger in FINGERS if is_up(LETTER_POSES[letter], finger)) == up


@pytest.mark.parametrize("joint", ["mcp", "pip", "dip"])
def test_a_finger_that_bends_at_any_joint_is_not_up_and_the_others_still_are(joint):
    bent = LETTER_POSES["B"].with_angles({f"ring_{joint}": 80.0})
    assert [is_up(bent, finger) for finger in FINGERS] == [True, True, False, True]


@pytest.mark.parametrize("letter", LETTERS)
def test_the_word_up_is_that_of_any_finger(letter):
    pose = LETTER_POSES[letter]
    assert ("up" in words_of_pose(pose)) == any(is_up(pose, finger) for finger in FINGERS)


def test_a_drawn_image_has_the_words_of_its_own_photo():
    ids = ["F-000-1", "F-001-0", "B-003-20"]
    expected = [photo_in_numbers(7, letter, number).pose for letter, number in (("F", 0), ("F", 1), ("B", 3))]
    found = words_by_image(
        hands_table(ids, ["F", "F", "B"], RenderedParams(source="rendered", seed=7, size=28, photos=4, copies=1))
    )
    names = ["ok", "ok", "palm"]
    held = [words_of_pose(pose) | {name} for pose, name in zip(expected, names, strict=True)]
    assert found == dict(zip(ids, held, strict=True))


def test_a_real_image_has_the_words_of_its_letter_and_other_classes_have_none():
    found = words_by_image(hands_table(["test-1", "mine/2"], ["B", "thumb_up"], None))
    assert found == {"test-1": words_of_letters()["B"]}
