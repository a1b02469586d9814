"""A small study made by hand: four letters, their photos and copies, and predictions that are right where asked."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

FOLDS = 4
REPEATS = 2


def sample(photos_a_letter: int, copies: int = 1, letters: str = "ABCD") -> pd.DataFrame:
    """image_id, label, photo: `copies` images of each photo."""
    rows = [
        (f"{letter}-{photo}-{copy}", letter, f"{letter}-{photo}")
        for letter in letters
        for photo in range(photos_a_letter)
        for copy in range(copies)
    ]
    return pd.DataFrame(rows, columns=["image_id", "label", "photo"])


def photo_of(images: pd.DataFrame) -> pd.Series:
    """The photo of each image_id."""
    return images.set_index("image_id")["photo"]


def predictions(images: pd.DataFrame, site: str, position: str, right: np.ndarray, **other: Any) -> pd.DataFrame:
    """A reading of every image in each repeat under `grouped`: the letter where `right`, else the next letter.

    Photos go round the folds. `other` sets further columns or overrides these: `series="no_image"`, say.
    """
    letters = np.unique(images["label"])
    following = dict(zip(letters, np.roll(letters, -1), strict=True))
    predicted = np.where(right, images["label"], images["label"].map(following))
    fold = pd.factorize(images["photo"])[0] % FOLDS
    columns = {"series": "model", "protocol": "grouped", "site": site, "position": position, "fold": fold}
    once = images[["image_id", "label"]].assign(**columns, predicted=predicted)
    once = once.assign(**other)
    return pd.concat([once.assign(repeat=repeat) for repeat in range(REPEATS)], ignore_index=True)


def choices(accuracy: dict[tuple[str, str], float | Callable[[int, int], float]]) -> pd.DataFrame:
    """The table of choices: inner accuracies by (site, position), the same in all folds or by repeat and fold."""
    rows = [
        ("grouped", site, position, repeat, fold, 0.01, value(repeat, fold) if callable(value) else value)
        for (site, position), value in accuracy.items()
        for repeat in range(REPEATS)
        for fold in range(FOLDS)
    ]
    columns = ["protocol", "site", "position", "repeat", "fold", "C", "inner_accuracy"]
    return pd.DataFrame(rows, columns=columns).assign(at_edge=False)


def first(images: pd.DataFrame, share: float) -> np.ndarray:
    """Right for the first `share` of each letter's images."""
    return images.groupby("label").cumcount().to_numpy() < share * len(images) / images["label"].nunique()
