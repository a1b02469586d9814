"""Which words hold for a hand in a given pose, by its joint angles and where its fingers point."""

from collections.abc import Mapping
from itertools import pairwise

from signbridge.datasets.hands import FINGERS, WORDS, Finger
from signbridge.rendered.hand import HandPose

STRAIGHT = "straight"


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
