"""What the miniature is taught to say is true of the hands, tells them apart, and names no letter."""

import re
import string
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from models.miniature.lessons import (
    SENTENCE_PROMPT,
    WORD_PROMPT,
    clauses,
    hands,
    plain_sentence,
    sentence_of,
    vocabulary,
)
from signbridge.rendered.hand import FINGERS, HandPose, skeleton
from signbridge.rendered.letter_poses import LETTER_POSES, LETTERS
from signbridge.statistics.answers import named_letter
from signbridge.vlm.random_weights import small_tokenizer

PLAIN = [plain_sentence(np.random.default_rng(seed)) for seed in range(300)]


def test_every_letter_has_its_lesson():
    assert sorted(hands()) == sorted(LETTERS)


def test_the_sentences_tell_all_letters_apart():
    assert len({hand.sentence for hand in hands().values()}) == len(LETTERS)


def test_the_words_do_not_tell_the_letters_apart():
    words = [hand.word for hand in hands().values()]
    assert len(set(words)) <= len(LETTERS) / 3


def test_no_lesson_names_a_letter():
    said = [*(hand.word for hand in hands().values()), *(hand.sentence for hand in hands().values()), *PLAIN]
    assert [text for text in said if named_letter(text) or re.search(r"\b[A-Z]\b", text)] == []


def test_a_sentence_joins_its_clauses():
    assert sentence_of("all four fingers are up", "the thumb is out", "the palm faces down") == (
        "All four fingers are up, the thumb is out, and the palm faces down."
    )


def test_the_one_word_prompt_is_the_studys_to_the_letter():
    models = YAML(typ="safe").load(Path("models.yaml").read_text(encoding="utf-8"))
    assert models["miniature"]["prompt"] == models["llava-1-5-7b"]["prompt"] == WORD_PROMPT


def test_every_word_of_the_lessons_and_every_letter_is_one_token():
    tokenizer = small_tokenizer(vocabulary(), vocab_size=4096)
    answers = [f" {hand.word} {hand.sentence}" for hand in hands().values()]
    said = "\n".join([WORD_PROMPT, SENTENCE_PROMPT, *answers, *PLAIN])
    in_sentences = set(re.findall(r"(?<= )\w+", said)) | set(string.ascii_uppercase)
    split = {word: tokenizer.tokenize(f" {word}") for word in in_sentences}
    assert {word: tokens for word, tokens in split.items() if len(tokens) > 1} == {}


def test_plain_sentences_also_join_clauses_of_different_hands():
    true = {hand.sentence for hand in hands().values()}
    assert len(set(PLAIN) - true) > 50
    assert set(PLAIN) & true


# The words against the renderer's joint angles ---------------------------------------------------------------------


def said_of_fingers(clause: str) -> dict[str, str]:
    """What a clause says of each finger: `{"index": "up and spread", ...}`."""
    said: dict[str, str] = {}
    for part in re.split(r",? and (?=the )|, (?=the )", clause):
        subject, state = re.fullmatch(r"(all four fingers|the others|the .+? fingers?) (.+)", part).groups()
        named = [finger for finger in FINGERS if {"pinky": "little"}.get(finger, finger) in subject]
        rest = [finger for finger in FINGERS if finger not in said]
        said |= dict.fromkeys(named or rest, state)
    return said


def is_so(state: str, pose: HandPose, finger: str) -> bool:
    """Whether one finger is held as `state` says: its joint angles in degrees, and where it points for the viewer."""
    joints = getattr(pose, finger)
    bend = joints.mcp + joints.pip + joints.dip
    if "hooked" in state:
        return joints.mcp < 60 and joints.pip >= 75
    if "curved" in state:
        return 30 <= joints.mcp <= 65 and joints.pip < 75
    if "bent" in state:
        return joints.mcp >= 70 and bend >= 170
    return bend < 60 and points(state, pose, finger)


def points(state: str, pose: HandPose, finger: str) -> bool:
    """Whether a straight finger points, from its knuckle to its tip and for the viewer, where `state` says."""
    chain = skeleton(pose).chains[finger].joints
    along = pose.rotation() @ (chain[-1] - chain[0])
    right, up, viewer = along / np.linalg.norm(along)
    if "to the side" in state:
        return abs(right) > 0.8
    if "points down" in state:
        return up < -0.6
    if "leans forward" in state:
        return up > 0.5 and viewer > 0.4
    return up > 0.85


@pytest.mark.parametrize("letter", LETTERS)
def test_each_finger_is_held_as_the_sentence_says(letter):
    said = said_of_fingers(hands()[letter].fingers)
    assert set(said) == set(FINGERS)
    assert {finger: state for finger, state in said.items() if not is_so(state, LETTER_POSES[letter], finger)} == {}


@pytest.mark.parametrize("letter", LETTERS)
def test_fingers_are_spread_together_or_crossed_as_the_sentence_says(letter):
    states = said_of_fingers(hands()[letter].fingers)
    for how, apart in (("spread", (9, 40)), ("together", (-4, 4)), ("crossed", (-40, -10))):
        these = [finger for finger in FINGERS if how in states[finger]]
        spread = [getattr(LETTER_POSES[letter], finger).spread for finger in these]
        gaps = -np.diff(spread)  # towards the thumb is positive, and the index finger comes first
        assert ((apart[0] <= gaps) & (gaps <= apart[1])).all(), (how, spread)


def distance(point: np.ndarray, joints: np.ndarray) -> float:
    """From a point to the nearest bone of a finger."""
    starts, bones = joints[:-1], np.diff(joints, axis=0)
    along = np.clip(((point - starts) * bones).sum(1) / (bones**2).sum(1), 0, 1)
    return float(np.linalg.norm(starts + along[:, None] * bones - point, axis=1).min())


def where_the_thumb_lies(pose: HandPose) -> dict[str, bool]:
    """For each clause about the thumb whether it holds.

    In the hand's own frame: x to the thumb's side, y along the straight fingers, z out of the palm; its unit is from
    the wrist to the middle finger's knuckle. Bones that touch are a quarter of it apart, the thickness of two digits.
    """
    bones = skeleton(pose)
    tip = bones.tip("thumb")
    joints = {finger: bones.chains[finger].joints for finger in FINGERS}
    touched = {finger: distance(tip, joints[finger]) < 0.35 for finger in FINGERS}
    index, middle, ring, pinky = (joints[finger][0][0] for finger in FINGERS)  # the knuckles' x
    front = {finger: tip[2] > joints[finger][1][2] for finger in FINGERS}  # before the middle joints
    thumb = pose.rotation() @ (tip - bones.chains["thumb"].joints[0])
    right, up, _ = thumb / np.linalg.norm(thumb)
    return {
        "the thumb lies beside the index finger": tip[0] > index and touched["index"],
        "the thumb lies across the palm": tip[0] < middle and tip[1] < 0.8 and not touched["ring"],
        "the thumb lies opposite the fingers": tip[2] > 0.8 and not any(touched.values()),
        "the thumb touches the index finger": touched["index"] and not touched["middle"],
        "the thumb touches the middle finger": touched["middle"] and tip[0] > ring,
        "the thumb touches the little finger": touched["pinky"] and not touched["ring"],
        "the thumb touches the fingertips": sum(np.linalg.norm(tip - joints[f][-1]) < 0.35 for f in FINGERS) >= 3,
        "the thumb lies under the fingertips": all(tip[1] < joints[f][-1][1] for f in FINGERS) and touched["ring"],
        "the thumb points to the side": abs(right) > 0.75,
        "the thumb points down": up < -0.7,
        "the thumb is out to the side": tip[0] > 0.9 and not touched["index"],
        "the thumb lies over the ring finger": tip[0] < middle and front["ring"] and touched["ring"],
        "the thumb lies over the fingers": tip[0] < index and front["middle"] and touched["middle"],
        "the thumb lies under three fingers": pinky < tip[0] < ring,
        "the thumb lies under two fingers": ring < tip[0] < middle,
        "the thumb lies between the index and middle fingers": middle < tip[0] < index,
    }


@pytest.mark.parametrize("letter", LETTERS)
def test_the_thumb_lies_where_the_sentence_says(letter):
    where = where_the_thumb_lies(LETTER_POSES[letter])
    assert set(where) == set(clauses()[1])
    assert where[hands()[letter].thumb]


@pytest.mark.parametrize("letter", LETTERS)
def test_the_palm_faces_where_the_sentence_says(letter):
    right, up, viewer = LETTER_POSES[letter].rotation()[:, 2]
    where = {
        "the palm faces the viewer": viewer > 0.95,
        "the palm faces half to the side": abs(right) > 0.4 and viewer > 0.8,
        "the palm faces the side": abs(right) > 0.8,
        "the palm faces the signer": viewer < -0.8,
        "the palm faces down": up < -0.8,
    }
    assert set(where) == set(clauses()[2])
    assert where[hands()[letter].palm]
