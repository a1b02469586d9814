"""How a probe is scored: which images train it and which test it.

`signbridge` is the notebook's: one stratified split over images, which puts copies of one photo on both sides.
`grouped` is repeated stratified k-fold over whole groups: signers, clips or photos. Of few signers each is left out
once. The training images of each fold are split once more in the same way: the penalty and the layer are chosen there.
"""

import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

from signbridge.core.errors import SignBridgeError
from signbridge.core.groups import Kind

PROTOCOLS = ("signbridge", "grouped")
FEW_SIGNERS = 12  # of which each is left out once, instead of some in each fold
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
    labels: np.ndarray, groups: np.ndarray, folds: int, repeats: int, inner_folds: int, seed: int, kind: Kind = "photo"
) -> list[Split]:
    """Repeated `StratifiedGroupKFold`, shuffled anew in each repeat: every image is tested once a repeat.

    The training images of each fold are split once more in the same way, into `inner_folds`. `kind` is what the groups
    are; of `FEW_SIGNERS` or fewer each is a fold of its own, once. Raises `SignBridgeError` naming each letter with
    fewer groups than folds, with the most folds that would do, or if a fold leaves too few images for the inner folds.
    """
    letters, _ = _letters(labels)
    few_signers = kind == "signer" and len(np.unique(groups)) <= FEW_SIGNERS
    needed = 2 if few_signers else folds
    of_letter = {letter: len(np.unique(groups[labels == letter])) for letter in letters}
    few = [f"{letter} {count}" for letter, count in of_letter.items() if count < needed]
    if few:
        more = f" and {len(few) - NAMED} more" if len(few) > NAMED else ""
        fewest = min(of_letter.values())
        lower = f"Set probe.grouped.folds to {fewest}" if fewest >= 2 else f"No number of folds suits a single {kind}"
        raise SignBridgeError(
            f"protocol 'grouped' with {'one signer left out' if few_signers else f'{folds} folds'} needs {needed} "
            f"{kind}s a letter; there are: {', '.join(few[:NAMED])}{more}. {lower}; or draw more {kind}s in `sample`, "
            "or leave letters out of sample.classes."
        )
    if few_signers:
        return list(_one_left_out(labels, groups, inner_folds, seed))
    everywhere = np.arange(len(labels))
    splits = []
    for repeat in range(repeats):
        for fold, (train, test) in enumerate(_folds(everywhere, labels, groups, folds, _seed_of(seed, repeat))):
            inner = inner_folds_of(train, labels, groups, inner_folds, _seed_of(seed, repeat, 1 + fold))
            splits.append(Split("grouped", repeat, fold, train, test, inner))
    return splits


def _one_left_out(labels: np.ndarray, groups: np.ndarray, inner_folds: int, seed: int) -> Iterator[Split]:
    """The split that tests each group; what the training images choose by keeps groups whole, if it can."""
    for fold, group in enumerate(np.unique(groups)):
        test = groups == group
        inner = inner_folds_of(~test, labels, groups, inner_folds, _seed_of(seed, 0, 1 + fold))
        yield Split("grouped", 0, fold, ~test, test, inner)


def inner_folds_of(
    train: Bool[np.ndarray, "images"], labels: np.ndarray, groups: np.ndarray, inner_folds: int, seed: int
) -> tuple[InnerFold, ...]:
    """The folds inside the training images: over whole groups, or over images where those have too few groups.

    Raises `SignBridgeError` if no letter has one image for each fold.
    """
    _check_inner(labels[train], inner_folds)
    rows = np.flatnonzero(train)
    whole = groups if len(np.unique(groups[train])) >= inner_folds else np.arange(len(labels))
    return tuple(InnerFold(*masks) for masks in _folds(rows, labels, whole, inner_folds, seed))


def _check_inner(labels: np.ndarray, inner_folds: int) -> None:
    """Refuse training images of which no letter has one for each inner fold."""
    _, counts = np.unique(labels, return_counts=True)
    if counts.max() < inner_folds:
        raise SignBridgeError(
            f"protocol 'grouped': a fold leaves {counts.max()} images a letter to train; "
            f"probe.grouped.inner_folds {inner_folds} needs as many. Lower it, or draw more photos in `sample`."
        )


def share_seen_in_train(splits: list[Split], of_image: np.ndarray) -> float:
    """The share of tested images whose photo (or clip, or signer: `of_image`) is among the training images."""
    seen = [np.isin(of_image[split.test], of_image[split.train]) for split in splits]
    return float(np.concatenate(seen).mean())


def _folds(
    rows: np.ndarray, labels: np.ndarray, groups: np.ndarray, folds: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Masks over all images that split `rows` by group, as evenly by letter as may be."""
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a letter with fewer images than folds is then missing from some of them
        warnings.filterwarnings("ignore", "The least populated class")
        for train, test in splitter.split(rows, labels[rows], groups[rows]):
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
