"""Which images are compared: pairs of photos of different letters, and the halves that keep fit and test apart."""

from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool
from sklearn.model_selection import StratifiedGroupKFold

from signbridge.causal.answer_text import differ
from signbridge.datasets.one_per_photo import one_of_each_photo
from signbridge.errors import SignBridgeError


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


def fitted_half(labels: np.ndarray, photos: np.ndarray, seed: int) -> Bool[np.ndarray, "images"]:
    """Which images directions and erasers are fitted on: half of each letter's photos; the others test them.

    Raises `SignBridgeError` naming a letter with a single photo.
    """
    for letter in np.unique(labels):
        if len(np.unique(photos[labels == letter])) < 2:
            raise SignBridgeError(
                f"class {letter} has 1 photo in the sample; to fit on one half of the photos and test on the other "
                "takes 2. Draw more photos in `sample`, leave the class out of sample.classes, or steer nothing: "
                "steering.<sweep>.pairs: 0."
            )
    fitted, _ = next(StratifiedGroupKFold(2, shuffle=True, random_state=seed).split(labels, labels, photos))
    half = np.zeros(len(labels), dtype=bool)
    half[fitted] = True
    return half
