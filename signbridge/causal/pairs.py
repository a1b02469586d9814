"""Which images and classes are compared, and when two answers are the same word.

Pairs of photos of different letters, pairs of letters with different answers; case, white space and punctuation of an
answer do not count.
"""

import re
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from signbridge.datasets.sampling import one_of_each_photo


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


class ImagePair(NamedTuple):
    """Rows of the sample: two images of different letters."""

    a: int
    b: int


class ClassPair(NamedTuple):
    """Two letters whose commonest answers differ."""

    a: str
    b: str
    answer_a: str
    answer_b: str


def image_pairs(
    labels: np.ndarray,
    photos: np.ndarray,
    wanted: int,
    generator: np.random.Generator,
    may_pair: Callable[[int, int], bool] = lambda a, b: True,
) -> list[ImagePair]:
    """Up to `wanted` pairs of images of different letters for which `may_pair` holds.

    One image is drawn of each photo and no photo stands in two pairs, so pairs are independent and an interval over
    them is one over photos.
    """
    waiting = one_of_each_photo(photos, generator)
    pairs = []
    while waiting and len(pairs) < wanted:
        a = waiting.pop(0)
        b = next((row for row in waiting if labels[row] != labels[a] and may_pair(a, row)), None)
        if b is not None:
            waiting.remove(b)
            pairs.append(ImagePair(int(a), int(b)))
    return pairs


def class_pairs(
    labels: np.ndarray,
    answers: np.ndarray,
    wanted: int,
    generator: np.random.Generator,
    first: Collection[str] = (),
) -> list[ClassPair]:
    """Up to `wanted` ordered pairs of letters whose commonest answers differ, drawn so that letters recur late.

    A letter's commonest answer is the first by name of equals; letters that mostly got no answer are left out. Pairs
    whose `a` is among `first` come before all others.
    """
    commonest = {
        letter: min(group.index[group == group.max()])
        for letter in sorted(set(labels))
        if len(group := pd.Series(answers[labels == letter]).value_counts())
    }
    letters = list(commonest)
    every = [(a, b) for a in letters for b in letters if differ(commonest[a], commonest[b])]
    every = [every[index] for index in generator.permutation(len(every))]
    used = dict.fromkeys(letters, 0)
    pairs = []
    while every and len(pairs) < wanted:
        a, b = min(every, key=lambda pair: (pair[0] not in first, used[pair[0]] + used[pair[1]]))
        every.remove((a, b))
        used[a] += 1
        used[b] += 1
        pairs.append(ClassPair(a, b, commonest[a], commonest[b]))
    return pairs
