"""Letters shuffled over photos: what a probe can learn by heart.

Hewitt and Liang 2019, "Designing and Interpreting Probes with Control Tasks": a probe says something of the model in so
far as it does better on the task than on labels that mean nothing (selectivity). Here each photo draws the letter of
another one, and its copies go with it: images of one photo with different labels would be a harder task than any real.
It draws among the photos that are tested in the same fold. So the folds stay balanced by label, as they are by letter:
where a label is rarer in testing the commoner it is in training, a probe falls below chance, and selectivity flatters.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from pydantic import Field

from signbridge.params import Section
from signbridge.probing.protocols import Split


class ShuffledLabelsParams(Section):
    """The section `shuffled_labels`."""

    draws: int = Field(ge=0)  # each is scored in one repeat of the folds


def shuffle_over_photos(
    targets: Int[np.ndarray, "images"], photos: np.ndarray, generator: np.random.Generator
) -> Int[np.ndarray, "images"]:
    """Labels such that as many photos have each letter as before, but not the same ones."""
    _, first, photo = np.unique(photos, return_index=True, return_inverse=True)
    return generator.permutation(targets[first])[photo]


def draws_by_repeat(
    targets: Int[np.ndarray, "images"], photos: np.ndarray, splits: list[Split], draws: int, seed: int
) -> list[list[Int[np.ndarray, "images"]]]:
    """The shuffled labels that each repeat of `splits` is to score: draw d in repeat d modulo their number.

    One repeat tests every image once, so a draw needs no more than one. Labels are shuffled within its folds.
    """
    generator = np.random.default_rng(seed)
    repeats = 1 + max(split.repeat for split in splits)
    by_repeat: list[list[np.ndarray]] = [[] for _ in range(repeats)]
    for draw in range(draws):
        shuffled = np.empty_like(targets)
        for split in splits:
            if split.repeat == draw % repeats:
                tested = split.test
                shuffled[tested] = shuffle_over_photos(targets[tested], photos[tested], generator)
        by_repeat[draw % repeats].append(shuffled)
    return by_repeat


def accuracy_of_draws(accuracies: Sequence[Float[np.ndarray, "_"]], splits: list[Split]) -> pd.DataFrame:
    """One row a draw: draw, accuracy over all images. `accuracies` is one array a split, of its repeat's draws."""
    rows = []
    repeats = 1 + max(split.repeat for split in splits)
    for repeat in range(repeats):
        folds = [index for index, split in enumerate(splits) if split.repeat == repeat]
        tested = np.array([splits[index].test.sum() for index in folds])
        mean = tested @ np.array([accuracies[index] for index in folds]) / tested.sum()
        rows += [(repeat + repeats * number, accuracy) for number, accuracy in enumerate(mean)]
    return pd.DataFrame(sorted(rows), columns=["draw", "accuracy"])
