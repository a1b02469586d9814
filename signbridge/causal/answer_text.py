"""When two answers are the same word, and when a text says one: case, white space and punctuation aside."""

import re
from collections.abc import Sequence


def plain(answer: str) -> str:
    """The words of an answer in lower case, one space between them: `Fist.` is `fist`; without a word, empty."""
    return " ".join(re.findall(r"[^\W_]+", answer.lower()))


def says(text: str, answer: str) -> bool:
    """Whether the text has the words of the answer in it, in a row; an answer without a word is never said.

    An answer of one letter, which may stand in any sentence (`A hand`), must be the first word of the text.
    """
    words, wanted = plain(text).split(), plain(answer).split()
    if not wanted:
        return False
    if len(wanted) == 1 and len(wanted[0]) == 1:
        return words[:1] == wanted
    return any(words[start : start + len(wanted)] == wanted for start in range(len(words)))


def differ(a: str, b: str) -> bool:
    """Whether both are answers and neither says the other."""
    return bool(plain(a) and plain(b)) and not says(a, b) and not says(b, a)


def first_difference(a: Sequence[int], b: Sequence[int], end: int) -> tuple[int, int]:
    """The first tokens in which two answers differ; where one is the beginning of the other, it ends there."""
    for token_a, token_b in zip([*a, end], [*b, end], strict=False):
        if token_a != token_b:
            return token_a, token_b
    return end, end
