"""Probes among the images that got one and the same answer: what a layer knows beyond the word.

Those images differ in nothing that the text says, so whatever a probe reads of the letter there is not in the text.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int

from signbridge.core.groups import Groups
from signbridge.probing.predictions import predictions_table
from signbridge.probing.protocols import Split
from signbridge.probing.settings import GroupedProtocol, grouped_splits
from signbridge.probing.sweep import MEMORY_BYTES, Cell, Scored, predict

# Of a letter within a word: one to test, and two in training, so that the penalty can be chosen by one of them. A
# rarer letter would also take folds, and with them training images, from all the others.
FEWEST = 3
TOKENS_OF_TEXT = ("prompt_last", "answer_last")
COLUMNS = {
    "word": "str",
    "site": "str",
    "position": "str",
    "repeat": "int16",
    "fold": "int16",
    "image_id": "str",
    "label": "str",
    "predicted": "str",
}


class SameWord(NamedTuple):
    """The images of the letters that got one answer often enough, and how they are split."""

    word: str
    rows: Int[np.ndarray, "images"]  # of the sample
    splits: list[Split]  # masks over `rows`


def places_within(places: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of the probed sites and positions that are probed within a word too.

    Pixels and the vision tower, and from `embedding` on the last token of the prompt and of the answer.
    """
    return [(site, position) for site, position in places if site in ("pixels", "vision") or position in TOKENS_OF_TEXT]


def same_word(
    answers: np.ndarray, labels: np.ndarray, groups: Groups, grouped: GroupedProtocol, seed: int
) -> list[SameWord]:
    """The words that were given to 2 letters or more, with `FEWEST` groups or more each; in order of the word.

    `answers` and `labels` have one entry an image of the sample. Where the text is noise there is no such
    word, and the list is empty.
    """
    words = []
    for word in np.unique(answers):
        said = np.flatnonzero(answers == word)
        of_letter = pd.Series(groups.of_image[said]).groupby(labels[said]).nunique()
        often = of_letter[of_letter >= FEWEST]
        if len(often) >= 2:
            rows = said[np.isin(labels[said], often.index)]
            of_word = groups._replace(of_image=groups.of_image[rows])
            splits = _splits(labels[rows], of_word, int(often.min()), grouped, seed)
            words.append(SameWord(str(word), rows, splits))
    return words


def _splits(labels: np.ndarray, groups: Groups, fewest: int, grouped: GroupedProtocol, seed: int) -> list[Split]:
    """`grouped_splits`, with fewer folds where the rarest letter has only `fewest` groups."""
    folds = min(grouped.folds, fewest)
    in_training = fewest - math.ceil(fewest / folds)
    inner_folds = max(2, min(grouped.inner_folds, in_training))
    fitting = grouped.model_copy(update={"folds": folds, "inner_folds": inner_folds})
    return grouped_splits(fitting, labels, groups, seed)


def score_within(
    cell: Cell,
    labels: np.ndarray,
    words: list[SameWord],
    Cs: Sequence[float],
    memory_bytes: int = MEMORY_BYTES,
) -> list[Scored]:
    """Probe one cell within each word: letters are numbered within the word, in order.

    The penalty is scikit-learn's, which weighs more against the loss where there are fewer images: of a tenth of the
    images it leaves little but the commonest letter. So each C is raised by as much as the word has fewer images.
    """
    scored = []
    for word in words:
        raised = [C * len(labels) / len(word.rows) for C in Cs]
        images = cell._replace(vectors=cell.vectors[word.rows])
        scored.append(predict(images, labels[word.rows], word.splits, raised, memory_bytes))
    return scored


def predictions_within(
    scored: Sequence[list[Scored]], words: list[SameWord], image_ids: np.ndarray, labels: np.ndarray
) -> pd.DataFrame:
    """One row a prediction, word by word and in order of depth within each: the columns `COLUMNS`.

    `scored` has what `score_within` gave for each cell. Without a word or a cell the table is empty.
    """
    if not words or not scored:
        return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in COLUMNS.items()})
    tables = [
        predictions_table(cells, word.splits, image_ids[word.rows], labels[word.rows]).assign(word=word.word)
        for word, cells in zip(words, zip(*scored, strict=True), strict=True)
    ]
    return pd.concat(tables, ignore_index=True)[list(COLUMNS)].astype(COLUMNS)
