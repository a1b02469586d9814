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
from signbridge.answers import named_letter
from signbridge.datasets.hand import FINGERS, HandPose
from signbridge.datasets.letter_poses import LETTER_POSES, LETTERS
from signbridge.vlm.small_tokenizer import small_tokenizer

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
    assert [text for text in said if named_letter(text)] == []


def test_a_sentence_joins_its_clauses():
    assert sentence_of("all four fingers are up", "the thumb is out", "the palm faces down") == (
        "All four fingers are up, the thumb is out, and the palm faces down."
    )


def test_the_one_word_prompt_is_the_studys_to_the_letter():
    models = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))["models"]
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
    """Whether one finger is held as `state` says, by its joint angles in degrees."""
    joints = getattr(pose, finger)
    bend = joints.mcp + joints.pip + joints.dip
    if "hooked" in state:
        return joints.mcp < 60 and joints.pip >= 75
    if "curved" in state:
        return 90 <= bend <= 190 and joints.pip < 75
    if "bent" in state:
        return bend >= 170
    return bend < 60  # up, pointing or leaning: straight


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
