"""Which words hold for a hand: the ways to hold a finger, from joint angles where they are known, else by letter.

Such a word holds where it is true of one finger or more. Names of whole shapes (fist, peace) hold by letter. Words that
are true of every hand (finger, thumb) say nothing about this one and are left out.
"""

from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

from ruamel.yaml import YAML

from signbridge.rendered.hand import HandPose

Finger = Literal["index", "middle", "ring", "pinky"]
FINGERS: tuple[Finger, ...] = get_args(Finger)
WORDS = ("up", "bent", "curved", "hooked", "spread", "together", "crossed")
STRAIGHT = "straight"
OF_LETTERS = Path(__file__).with_name("letter_words.yaml")


def words_of_pose(pose: HandPose) -> frozenset[str]:
    """The words that hold for a hand in this pose, from its joint angles and where its fingers point for the viewer.

    A finger's three joints bend it: hardly (straight, and up if the hand points upwards), at the knuckle and beyond
    (bent), evenly (curved), or with a straight knuckle (hooked). Straight neighbours are spread, together or crossed as
    their angles to the side differ.
    """
    angles = pose.angles()
    held = {finger: _held(angles, finger) for finger in FINGERS}
    found = {way for way in held.values() if way in WORDS}
    if any(is_up(pose, finger) for finger in FINGERS):
        found.add("up")
    for first, second in pairwise(FINGERS):
        if held[first] == held[second] == STRAIGHT:
            gap = angles[f"{first}_spread"] - angles[f"{second}_spread"]  # towards the thumb is positive
            found.add("spread" if gap >= 9 else "crossed" if gap <= -10 else "together")
    return frozenset(found)


def is_up(pose: HandPose, finger: Finger) -> bool:
    """Whether the finger is straight in a hand that points upwards."""
    return _held(pose.angles(), finger) == STRAIGHT and pose.fingers_point[1] > 0.5


@cache
def words_of_letters() -> dict[str, frozenset[str]]:
    """The words that hold for each letter of the manual alphabet: `letter_words.yaml`, which is open to correction."""
    listed = YAML(typ="safe").load(OF_LETTERS.read_text(encoding="utf-8"))
    return {letter: frozenset(words) for letter, words in listed.items()}


def names_of_letters() -> dict[str, frozenset[str]]:
    """Of the words that hold for each letter those that name the whole shape."""
    return {letter: words - set(WORDS) for letter, words in words_of_letters().items()}


def _held(angles: Mapping[str, float], finger: str) -> str | None:
    """How one finger is held; None between two ways."""
    mcp, pip, dip = (angles[f"{finger}_{joint}"] for joint in ("mcp", "pip", "dip"))
    bend = mcp + pip + dip
    if bend < 60:
        return STRAIGHT
    if mcp >= 70 and bend >= 170:
        return "bent"
    if mcp < 60 and pip >= 75:
        return "hooked"
    return "curved" if 30 <= mcp <= 65 and pip < 75 else None
