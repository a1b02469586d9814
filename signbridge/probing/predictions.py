"""The results of a sweep as tables: every prediction, every choice of a penalty, every code.

`read_answers` adds a baseline: the letter predicted from the text of the model's answer alone, on the same splits.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from signbridge.core.activations import TEXT_POSITION, TEXT_SITE
from signbridge.probing.protocols import Split
from signbridge.probing.sweep import Scored

CELL = ["protocol", "site", "position"]


def predictions_table(
    scored: Sequence[Scored], splits: list[Split], image_ids: np.ndarray, labels: np.ndarray
) -> pd.DataFrame:
    """One row a prediction: protocol, site, position, repeat, fold, image_id, label, predicted, probability.

    `scored` is in order of depth, and so are the rows.
    """
    letters = np.unique(labels)
    tested = np.concatenate([np.flatnonzero(split.test) for split in splits])
    sizes = [int(split.test.sum()) for split in splits]
    one_cell = pd.DataFrame(
        {
            "protocol": np.repeat([split.protocol for split in splits], sizes),
            "repeat": np.repeat([split.repeat for split in splits], sizes).astype(np.int16),
            "fold": np.repeat([split.fold for split in splits], sizes).astype(np.int16),
            "image_id": image_ids[tested],
            "label": labels[tested],
        }
    )
    cells = [
        one_cell.assign(
            site=cell.site,
            position=cell.position,
            predicted=letters[np.concatenate(cell.predicted)],
            probability=np.concatenate(cell.probability).astype(np.float32),
        )
        for cell in scored
    ]
    columns = [*CELL, "repeat", "fold", "image_id", "label", "predicted", "probability"]
    return pd.concat(cells, ignore_index=True)[columns] if cells else pd.DataFrame(columns=columns)


def choices_table(scored: Sequence[Scored], splits: list[Split]) -> pd.DataFrame:
    """One row a cell and split of `grouped`: protocol, site, position, repeat, fold, C, inner_accuracy, at_edge."""
    columns = [*CELL, "repeat", "fold", "C", "inner_accuracy", "at_edge"]
    rows = [
        (split.protocol, cell.site, cell.position, split.repeat, split.fold, *choice)
        for cell in scored
        for split, choice in zip(splits, cell.choices, strict=True)
        if choice
    ]
    return pd.DataFrame(rows, columns=columns).astype({"repeat": np.int16, "fold": np.int16})


def codes_table(scored: Sequence[Scored], image_ids: np.ndarray) -> pd.DataFrame:
    """One row a site, position, order of sending and image: site, position, order, C, at_edge, image_id, bits."""
    columns = ["site", "position", "order", "C", "at_edge", "image_id", "bits"]
    tables = [
        pd.DataFrame({"image_id": image_ids, "bits": code.bits.astype(np.float32)}).assign(
            site=cell.site, position=cell.position, order=order, C=code.C, at_edge=code.at_edge
        )
        for cell in scored
        for order, code in enumerate(cell.codes)
    ]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def read_answers(answers: Sequence[str], labels: np.ndarray, splits: list[Split]) -> Scored:
    """Take each answer for the letter that it most likely stands for, by Bayes' rule from the training images.

    How often each letter gets the answer is learnt in training; how common the letters are is taken from the whole
    sample, as the draw fixes it: a fold that trains on fewer images of a letter tests on more, and would be misled.
    An answer that no training image got says nothing beyond that. Of letters as likely as each other the first in the
    alphabet wins. `answers` and `labels` have one entry an image, in table order.
    """
    letters, targets = np.unique(labels, return_inverse=True)
    words, said = np.unique(np.asarray(answers), return_inverse=True)
    common = np.bincount(targets) / len(targets)
    predicted, probability = [], []
    for split in splits:
        counts = np.zeros((len(words), len(letters)))
        np.add.at(counts, (said[split.train], targets[split.train]), 1)
        likely = common * counts / np.maximum(counts.sum(axis=0), 1)
        likely[likely.sum(axis=1) == 0] = common
        share = (likely / likely.sum(axis=1, keepdims=True))[said[split.test]]
        predicted.append(share.argmax(axis=1))
        probability.append(share[np.arange(len(share)), targets[split.test]])
    return Scored(TEXT_SITE, TEXT_POSITION, predicted, probability, [None] * len(splits), probes={}, codes=[])
