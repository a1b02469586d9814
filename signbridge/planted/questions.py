"""Which questions have an answer that neither the image nor the question gives away? Whether a named finger is raised.

`Is the index finger raised?` and `Is the index finger lowered?`, of each of four fingers. The answer is `Yes` where the
finger is up, or else where the question says `lowered`: an exclusive-or of what the image and what the question show.
Both words are asked of every image, so an answer is as often Yes as No whatever the hand, and as often Yes as No
whatever the question once fingers that are up and not are as many. What reads image and question but does not multiply
them is at chance.
"""

from functools import cache
from typing import Literal, NamedTuple, get_args

from signbridge.datasets.hands import Finger as Drawn
from signbridge.rendered.letter_poses import LETTER_POSES, LETTERS

Finger = Literal["index", "middle", "ring", "little"]
Word = Literal["raised", "lowered"]
FINGERS: tuple[Finger, ...] = get_args(Finger)
WORDS: tuple[Word, ...] = get_args(Word)
ANSWERS = ("Yes", "No")
# Degrees: the three joints of a finger that is up bend less than the first, of one that is not at least the second.
STRAIGHT, FOLDED = 30, 150
_POSED: dict[Finger, Drawn] = {"index": "index", "middle": "middle", "ring": "ring", "little": "pinky"}


class Question(NamedTuple):
    """What is asked of an image."""

    finger: Finger
    word: Word

    @property
    def text(self) -> str:
        """As it stands between the image and the answer, in LLaVA-1.5's conversation."""
        return f"\nIs the {self.finger} finger {self.word}?\nASSISTANT:"

    def answer(self, letter: str) -> str:
        """Of the hand of that letter: Yes or No."""
        return ANSWERS[0] if fingers_up()[letter][self.finger] == (self.word == "raised") else ANSWERS[1]


QUESTIONS = tuple(Question(finger, word) for finger in FINGERS for word in WORDS)


@cache
def fingers_up() -> dict[str, dict[Finger, bool]]:
    """Which fingers are up, by letter, of the letters where that is clear of all four.

    It is in a hand that points upwards with every finger straight or folded, by the joint angles of its pose. Fingers
    that curve or lean (C, K, O, X), and hands that point to the side or down (G, H, P, Q), leave their letter out.
    """
    known = {letter: {finger: _is_up(letter, finger) for finger in FINGERS} for letter in LETTERS}
    return {letter: up for letter, up in known.items() if None not in up.values()}


def _is_up(letter: str, finger: Finger) -> bool | None:
    pose = LETTER_POSES[letter]
    angles = pose.angles()
    bend = sum(angles[f"{_POSED[finger]}_{joint}"] for joint in ("mcp", "pip", "dip"))
    if pose.fingers_point[1] <= 0.5 or STRAIGHT <= bend < FOLDED:
        return None
    return bend < STRAIGHT
