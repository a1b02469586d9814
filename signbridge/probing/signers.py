"""What is knowing the signer worth? The same probe on the same images, with and without their signer in training.

Each signer's photos are halved. One half is tested, twice: by a probe that was trained on the other signers alone
(`unseen`), and by one that saw the signer's other half in the place of as many images of the other signers, letter by
letter (`seen`). Then the halves change places. So both probes are trained on as many images of each letter.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool
from sklearn.model_selection import StratifiedGroupKFold

from signbridge.core.groups import groups_of
from signbridge.probing.predictions import predictions_table
from signbridge.probing.protocols import Split, inner_folds_of
from signbridge.probing.sweep import Scored

SEEN, UNSEEN = "seen", "unseen"
COLUMNS = ["protocol", "site", "position", "fold", "image_id", "label", "predicted"]
Mask = Bool[np.ndarray, "images"]


def signer_splits(sample: pd.DataFrame, inner_folds: int, seed: int) -> list[Split]:
    """The splits `seen` and `unseen` of every half of a signer, fold by fold; none where there are not two signers.

    `sample` has label and photo, and clip and signer where they are known. A half has whole clips or photos; a signer
    with a single one is left out. The penalty is chosen inside the training images, over whole signers where there are
    enough. Raises `SignBridgeError` if there are too few images to choose by.
    """
    if "signer" not in sample or len(sample["signer"].unique()) < 2:
        return []
    labels, signers = sample["label"].to_numpy(), sample["signer"].to_numpy()
    splits = []
    for fold, (test, seen, unseen) in enumerate(_halves(sample, np.random.default_rng(seed))):
        for protocol, train in ((SEEN, seen), (UNSEEN, unseen)):
            inner = inner_folds_of(train, labels, signers, inner_folds, seed)
            splits.append(Split(protocol, 0, fold, train, test, inner))
    return splits


def _halves(sample: pd.DataFrame, generator: np.random.Generator) -> Iterator[tuple[Mask, Mask, Mask]]:
    """Each half that is tested, and the images that train for it, its signer seen and unseen."""
    labels, signers = sample["label"].to_numpy(), sample["signer"].to_numpy()
    whole = groups_of(sample.drop(columns="signer"), "auto").of_image
    for signer in np.unique(signers):
        rows = np.flatnonzero(signers == signer)
        if len(np.unique(whole[rows])) < 2:
            continue
        splitter = StratifiedGroupKFold(2, shuffle=True, random_state=int(generator.integers(2**31)))
        for _, tested in splitter.split(rows, labels[rows], whole[rows]):
            test = np.zeros(len(sample), dtype=bool)
            test[rows[tested]] = True
            others = signers != signer
            goes, comes = _exchanged(labels, others, ~others & ~test, generator)
            yield test, (others & ~goes) | comes, others


def _exchanged(labels: np.ndarray, these: Mask, those: Mask, generator: np.random.Generator) -> tuple[Mask, Mask]:
    """Images of `these` and of `those`, drawn: of each letter as many as both have."""
    goes, comes = (np.zeros(len(labels), dtype=bool) for _ in range(2))
    for letter in np.unique(labels[those]):
        rows = [np.flatnonzero(side & (labels == letter)) for side in (these, those)]
        both = min(map(len, rows))
        for drawn, there in zip((goes, comes), rows, strict=True):
            drawn[generator.choice(there, both, replace=False)] = True
    return goes, comes


def signers_table(
    scored: Sequence[Scored], splits: list[Split], image_ids: np.ndarray, labels: np.ndarray
) -> pd.DataFrame:
    """One row a prediction (`COLUMNS`), in order of depth; empty without splits."""
    if not splits:
        return pd.DataFrame({name: pd.Series(dtype="int16" if name == "fold" else "str") for name in COLUMNS})
    return predictions_table(scored, splits, image_ids, labels)[COLUMNS]
