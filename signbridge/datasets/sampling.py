"""Which images the study looks at: the sample, one image of each photo, and the half that things are fitted on."""

import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from itertools import zip_longest
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool
from pydantic import Field

from signbridge.core.errors import SignBridgeError
from signbridge.core.params import Section


def one_of_each_photo(photos: np.ndarray, generator: np.random.Generator) -> list[int]:
    """The row of one image of each photo, drawn, in random order."""
    rows = generator.permutation(len(photos))
    first = np.sort(np.unique(photos[rows], return_index=True)[1])
    return [int(row) for row in rows[first]]


Count = Annotated[int, Field(ge=1)]


class SampleParams(Section):
    """`sample` of `params.yaml`."""

    strategy: Literal["signbridge", "one_per_photo"]
    classes: Count | Literal["all"] | Annotated[list[str], Field(min_length=1)]  # most frequent, all, or these
    per_class: Count | Literal["all"]  # images a letter
    signers: Count | Literal["all"] | Annotated[list[str], Field(min_length=1)]  # those with most images, all, or these


def draw(
    labels: Sequence[str],
    photos: Sequence[Hashable],
    params: SampleParams,
    seed: int,
    signers: Sequence[str] | None = None,
) -> list[int]:
    """The rows of the images drawn from a pool, letter by letter, each letter's in the order drawn.

    `labels`, `photos` and `signers` have one entry an image, in the order of the pool. `signbridge` is the notebook's
    rule: one `random.Random(seed)`, with which each letter's rows are shuffled, the letters in sorted order, and the
    first `per_class` taken. `one_per_photo` shuffles each letter's photos, and from each draws one image. Where the
    signers are known, each letter's images are taken from them in turn, the first from whoever has fewest so far.
    Raises `SignBridgeError` naming the letter that has too few, with the counts, or what the pool lacks.
    """
    # Python's generator and not NumPy's: the notebook's stream is part of what is reproduced.
    generator = random.Random(seed)
    chosen = _signers(signers, params.signers)
    pool = [row for row in range(len(labels)) if signers is None or signers[row] in chosen]
    drawn: list[int] = []
    for letter in _letters([labels[row] for row in pool], params.classes):
        rows = [row for row in pool if labels[row] == letter]
        if params.strategy == "signbridge":
            generator.shuffle(rows)
            candidates, kind = rows, "images"
        else:
            candidates, kind = _one_per_photo(rows, photos, generator), "photos"
        if signers is not None:
            so_far = Counter(signers[row] for row in drawn)
            candidates = _in_turn(candidates, signers, so_far, generator)
        drawn += _take(candidates, params.per_class, letter, kind)
    return drawn


def _letters(labels: Sequence[str], classes: int | str | list[str]) -> list[str]:
    counts = Counter(labels)  # equally frequent letters stay in the order of the pool, as in the notebook
    there = ", ".join(sorted(counts))
    if classes == "all":
        return sorted(counts)
    if isinstance(classes, int):
        if classes > len(counts):
            raise SignBridgeError(
                f"sample.classes: {classes} letters asked for, the dataset has {len(counts)}: {there}."
            )
        return sorted(letter for letter, _ in counts.most_common(classes))
    if unknown := [letter for letter in classes if letter not in counts]:
        raise SignBridgeError(f"sample.classes: the dataset has no letter '{unknown[0]}'. There are: {there}.")
    if repeated := [letter for letter, times in Counter(classes).items() if times > 1]:
        raise SignBridgeError(f"sample.classes: letter '{repeated[0]}' is named more than once. Name it once.")
    return sorted(classes)


def _signers(signers: Sequence[str] | None, asked: int | str | list[str]) -> set[str]:
    if signers is None:
        if asked != "all":
            raise SignBridgeError("sample.signers: the dataset does not know its signers. Set it to all.")
        return set()
    counts = Counter(signers)
    if asked == "all":
        return set(counts)
    there = ", ".join(sorted(counts))
    if isinstance(asked, int):
        if asked > len(counts):
            raise SignBridgeError(f"sample.signers: {asked} asked for, the dataset has {len(counts)}: {there}.")
        return {signer for signer, _ in counts.most_common(asked)}
    if unknown := [signer for signer in asked if signer not in counts]:
        raise SignBridgeError(f"sample.signers: the dataset has no signer '{unknown[0]}'. There are: {there}.")
    return set(asked)


def _in_turn(
    candidates: list[int], signers: Sequence[str], so_far: Counter[str], generator: random.Random
) -> list[int]:
    """The candidates, one of each signer, then the next one of each; whoever has fewest so far comes first."""
    of_signer = defaultdict(list)
    for row in candidates:
        of_signer[signers[row]].append(row)
    order = sorted(of_signer)
    generator.shuffle(order)
    order.sort(key=lambda signer: so_far[signer])
    rounds = zip_longest(*(of_signer[signer] for signer in order))
    return [row for of_round in rounds for row in of_round if row is not None]


def _one_per_photo(rows: list[int], photos: Sequence[Hashable], generator: random.Random) -> list[int]:
    copies = defaultdict(list)
    for row in rows:
        copies[photos[row]].append(row)
    order = list(copies)
    generator.shuffle(order)
    return [generator.choice(copies[photo]) for photo in order]


def _take(candidates: list[int], per_class: int | str, letter: str, kind: str) -> list[int]:
    if per_class == "all":
        return candidates
    if len(candidates) < per_class:
        raise SignBridgeError(
            f"sample.per_class: letter '{letter}' has {len(candidates)} {kind}, {per_class} asked for. "
            "Lower sample.per_class, or leave the letter out of sample.classes."
        )
    return candidates[:per_class]


def fitted_half(labels: np.ndarray, groups: np.ndarray, seed: int) -> Bool[np.ndarray, "images"]:
    """Which images directions, erasers and features are fitted on: half of each letter's groups; the others test them.

    Raises `SignBridgeError` naming a letter with a single group.
    """
    from sklearn.model_selection import (
        StratifiedGroupKFold,
    )  # takes seconds to import, which drawing a sample would pay

    check_halves(labels, groups)
    fitted, _ = next(StratifiedGroupKFold(2, shuffle=True, random_state=seed).split(labels, labels, groups))
    half = np.zeros(len(labels), dtype=bool)
    half[fitted] = True
    return half


def check_halves(labels: np.ndarray, groups: np.ndarray) -> None:
    """Raises `SignBridgeError` naming a letter with a single group, of which there are no two halves."""
    for letter in np.unique(labels):
        if len(np.unique(groups[labels == letter])) < 2:
            raise SignBridgeError(
                f"class {letter} has 1 photo, clip or signer in the sample; to fit on one half of them and test on the "
                "other takes 2. Draw more in `sample`, leave the class out of sample.classes, or steer and erase "
                "nothing: steering.<sweep>.pairs: 0, erasure.<sweep>.layers: 0."
            )


def looked_at(sample: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """The rows of the sample that are looked at where not all can be: one of each photo, `most` of them, drawn."""
    chosen = one_of_each_photo(sample["photo"].to_numpy(), np.random.default_rng(seed))[:most]
    return sample.iloc[sorted(chosen)]
