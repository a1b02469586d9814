"""How a probe is scored: which images train it and which test it.

`signbridge` is the notebook's: one stratified split over images, which puts copies of one photo on both sides.
`grouped` is repeated stratified k-fold over whole photos. The training images of each of its folds are split once more
in the same way: the penalty and the layer are chosen there.
"""

import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

from signbridge.core.errors import SignBridgeError

PROTOCOLS = ("signbridge", "grouped")
NAMED = 8  # letters in a message, at most


class InnerFold(NamedTuple):
    """A split of the training images of another split."""

    train: Bool[np.ndarray, "images"]
    test: Bool[np.ndarray, "images"]


class Split(NamedTuple):
    """One fit and what it is tested on, as masks over the sample in table order."""

    protocol: str
    repeat: int
    fold: int
    train: Bool[np.ndarray, "images"]
    test: Bool[np.ndarray, "images"]
    inner: tuple[InnerFold, ...] = ()  # of the training images, to choose by


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


def grouped(
    labels: np.ndarray, photos: np.ndarray, folds: int, repeats: int, inner_folds: int, seed: int
) -> list[Split]:
    """Repeated `StratifiedGroupKFold`, shuffled anew in each repeat: every image is tested once a repeat.

    The training images of each fold are split once more in the same way, into `inner_folds`. Raises `SignBridgeError`
    naming each letter with fewer photos than folds, or if a fold leaves too few images for the inner folds.
    """
    letters, _ = _letters(labels)
    of_letter = {letter: len(np.unique(photos[labels == letter])) for letter in letters}
    few = [f"{letter} {count}" for letter, count in of_letter.items() if count < folds]
    if few:
        more = f" and {len(few) - NAMED} more" if len(few) > NAMED else ""
        fewest = min(of_letter.values())
        lower = f"Set probe.grouped.folds to {fewest}" if fewest >= 2 else "No number of folds suits a single photo"
        raise SignBridgeError(
            f"protocol 'grouped' with {folds} folds needs {folds} photos a letter; there are: "
            f"{', '.join(few[:NAMED])}{more}. {lower}; or draw more photos in `sample`, or leave letters out of "
            "sample.classes."
        )
    everywhere = np.arange(len(labels))
    splits = []
    for repeat in range(repeats):
        for fold, (train, test) in enumerate(_folds(everywhere, labels, photos, folds, _seed_of(seed, repeat))):
            _check_inner(labels[train], inner_folds)
            inner = _folds(np.flatnonzero(train), labels, photos, inner_folds, _seed_of(seed, repeat, 1 + fold))
            splits.append(Split("grouped", repeat, fold, train, test, tuple(InnerFold(*masks) for masks in inner)))
    return splits


def _check_inner(labels: np.ndarray, inner_folds: int) -> None:
    """Refuse training images of which no letter has one for each inner fold."""
    _, counts = np.unique(labels, return_counts=True)
    if counts.max() < inner_folds:
        raise SignBridgeError(
            f"protocol 'grouped': a fold leaves {counts.max()} images a letter to train; "
            f"probe.grouped.inner_folds {inner_folds} needs as many. Lower it, or draw more photos in `sample`."
        )


def share_with_copy_in_train(splits: list[Split], photos: np.ndarray) -> float:
    """The share of tested images that have a copy, an image of the same photo, among the training images."""
    leaks = [np.isin(photos[split.test], photos[split.train]) for split in splits]
    return float(np.concatenate(leaks).mean())


def copies_in_train(splits: list[Split], photos: np.ndarray) -> dict[str, float]:
    """`share_with_copy_in_train` of each protocol among `splits`."""
    return {
        protocol: share_with_copy_in_train([split for split in splits if split.protocol == protocol], photos)
        for protocol in dict.fromkeys(split.protocol for split in splits)
    }


def _folds(
    rows: np.ndarray, labels: np.ndarray, photos: np.ndarray, folds: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Masks over all images that split `rows` by photo, as evenly by letter as may be."""
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a letter with fewer images than folds is then missing from some of them
        warnings.filterwarnings("ignore", "The least populated class")
        for train, test in splitter.split(rows, labels[rows], photos[rows]):
            yield _mask(rows[train], len(labels)), _mask(rows[test], len(labels))


def _letters(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    letters, counts = np.unique(labels, return_counts=True)
    if len(letters) < 2:
        raise SignBridgeError(f"a probe needs 2 letters or more; the sample has {', '.join(letters) or 'none'}.")
    return letters, counts


def _mask(chosen: np.ndarray, size: int) -> Bool[np.ndarray, "images"]:
    mask = np.zeros(size, dtype=bool)
    mask[chosen] = True
    return mask


def _seed_of(*numbers: int) -> int:
    """A seed of its own for each repeat and fold, such that no two studies share one by neighbouring seeds.

    A last number of 0 counts for nothing: `SeedSequence` fills up with zeros.
    """
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
