"""How a probe is scored: which images train it and which test it.

`signbridge` is the notebook's: one stratified split that looks at images, so that copies of one photo stand on both
sides. `grouped` never does that: repeated stratified k-fold in which a photo is whole on one side.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

from signbridge.errors import SignBridgeError

PROTOCOLS = ("signbridge", "grouped")


class Split(NamedTuple):
    """One fit and what it is tested on, as masks over the sample in table order."""

    protocol: str
    repeat: int
    fold: int
    train: Bool[np.ndarray, "images"]
    test: Bool[np.ndarray, "images"]


def signbridge(labels: np.ndarray, test_size: float, seed: int) -> list[Split]:
    """The notebook's split: `StratifiedShuffleSplit(1, test_size=test_size, random_state=seed)`.

    Raises `SignBridgeError` if a letter has one image alone or a side has fewer images than there are letters.
    """
    letters, counts = _letters(labels)
    if counts.min() < 2:
        raise SignBridgeError(
            f"letter {letters[counts.argmin()]} has 1 image in the sample; protocol 'signbridge' needs 2 or more. "
            "Raise sample.per_class or leave the letter out of sample.classes."
        )
    tested = int(np.ceil(test_size * len(labels)))
    if min(tested, len(labels) - tested) < len(letters):
        raise SignBridgeError(
            f"probe.signbridge.test_size {test_size} leaves {tested} of {len(labels)} images to test and "
            f"{len(labels) - tested} to train; each side needs one a letter: {len(letters)}."
        )
    splitter = StratifiedShuffleSplit(1, test_size=test_size, random_state=seed)
    train, test = next(splitter.split(labels, labels))
    return [Split("signbridge", 0, 0, _mask(train, len(labels)), _mask(test, len(labels)))]


def grouped(labels: np.ndarray, photos: np.ndarray, folds: int, repeats: int, seed: int) -> list[Split]:
    """Repeated `StratifiedGroupKFold`, shuffled anew in each repeat: every image is tested once a repeat.

    Raises `SignBridgeError` naming each letter with fewer photos than folds.
    """
    letters, _ = _letters(labels)
    of_letter = {letter: len(np.unique(photos[labels == letter])) for letter in letters}
    few = [f"{letter} {count}" for letter, count in of_letter.items() if count < folds]
    if few:
        raise SignBridgeError(
            f"protocol 'grouped' with {folds} folds needs {folds} photos a letter; there are: {', '.join(few)}. "
            "Lower probe.grouped.folds, or draw more photos in `sample`."
        )
    splits = []
    for repeat in range(repeats):
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=_seed_of(seed, repeat))
        for fold, (train, test) in enumerate(splitter.split(labels, labels, photos)):
            splits.append(Split("grouped", repeat, fold, _mask(train, len(labels)), _mask(test, len(labels))))
    return splits


def whole_sample(images: int) -> Split:
    """Every image trains and none is tested: for a probe that is to be used, not scored."""
    return Split("sample", 0, 0, np.ones(images, dtype=bool), np.zeros(images, dtype=bool))


def share_with_copy_in_train(splits: list[Split], photos: np.ndarray) -> float:
    """The share of tested images that have a copy, an image of the same photo, among the training images."""
    leaks = [np.isin(photos[split.test], photos[split.train]) for split in splits]
    return float(np.concatenate(leaks).mean())


def _letters(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    letters, counts = np.unique(labels, return_counts=True)
    if len(letters) < 2:
        raise SignBridgeError(f"a probe needs 2 letters or more; the sample has {', '.join(letters) or 'none'}.")
    return letters, counts


def _mask(chosen: np.ndarray, size: int) -> Bool[np.ndarray, "images"]:
    mask = np.zeros(size, dtype=bool)
    mask[chosen] = True
    return mask


def _seed_of(seed: int, repeat: int) -> int:
    """A seed of its own for each repeat, such that no two studies share one by neighbouring seeds."""
    return int(np.random.SeedSequence([seed, repeat]).generate_state(1)[0])
