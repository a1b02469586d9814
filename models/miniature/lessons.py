"""What is the miniature taught to say? One word and one sentence a hand, and sentences about hands without an image."""

import string
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ruamel.yaml import YAML

from signbridge.vlm.random_weights import IMAGE_TOKEN

WORDS = Path(__file__).with_name("words.yaml")

# LLaVA-1.5's conversation. The first is the study's prompt, to the letter.
WORD_PROMPT = f"USER: {IMAGE_TOKEN}\nWhat sign is being made in this image? Answer with one word.\nASSISTANT:"
SENTENCE_PROMPT = f"USER: {IMAGE_TOKEN}\nDescribe the hand.\nASSISTANT:"


class Hand(NamedTuple):
    """What is said of one hand shape."""

    word: str  # the everyday word that its letter shares with others
    fingers: str  # a clause each, lower case, without a full stop
    thumb: str
    palm: str

    @property
    def sentence(self) -> str:
        """Its full description: `All four fingers are bent, the thumb lies ..., and the palm faces the viewer.`"""
        return sentence_of(self.fingers, self.thumb, self.palm)


def sentence_of(fingers: str, thumb: str, palm: str) -> str:
    """The sentence that joins three clauses."""
    return _sentence(f"{fingers}, {thumb}, and {palm}")


@cache
def hands() -> dict[str, Hand]:
    """What is said of each letter, by letter: the content of `words.yaml`."""
    lists = YAML(typ="safe").load(WORDS.read_text(encoding="utf-8"))
    word_of = {letter: word for word, letters in lists["words"].items() for letter in letters}
    return {letter: Hand(word_of[letter], *clauses) for letter, clauses in lists["hands"].items()}


def clauses() -> list[list[str]]:
    """Every clause about the fingers, the thumb and the palm, each list in alphabetical order."""
    return [sorted({hand[place] for hand in hands().values()}) for place in range(1, len(Hand._fields))]


def plain_sentence(rng: np.random.Generator) -> str:
    """A sentence about a hand, for reading without an image.

    Half of them join clauses of different hands, so that the clauses are known apart from each other; the rest say
    what holds for one hand, or which word is used for it.
    """
    fingers, thumb, palm = (of_place[rng.integers(len(of_place))] for of_place in clauses())
    hand = list(hands().values())[rng.integers(len(hands()))]
    kinds = (
        sentence_of(fingers, thumb, palm),
        _sentence(f"{thumb} and {palm}"),
        _sentence(f"{fingers} and {palm}"),
        f"The sign is {hand.word}: {hand.fingers}, {hand.thumb}, and {hand.palm}.",
        f"{hand.word} is the word when {hand.fingers}.",
        hand.sentence,
    )
    return kinds[rng.choice(len(kinds), p=(0.3, 0.1, 0.1, 0.2, 0.1, 0.2))]


def vocabulary() -> list[str]:
    """Texts that hold every word of the lessons, for the tokenizer to learn from.

    The 26 letters are among its tokens, so that a study can ask how likely each is as an answer; no lesson has them.
    """
    generator = np.random.default_rng(0)
    said = [f"{WORD_PROMPT} {hand.word}{SENTENCE_PROMPT} {hand.sentence}" for hand in hands().values()]
    return [*said, *(plain_sentence(generator) for _ in range(2000)), f" {' '.join(string.ascii_uppercase)}"]


def _sentence(clause: str) -> str:
    return f"{clause[0].upper()}{clause[1:]}."
