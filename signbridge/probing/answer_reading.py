"""What the model's text gives away, scored as a probe is: on the same splits, and from nothing but the answer."""

from collections.abc import Sequence

import numpy as np

from signbridge.probing.protocols import Split
from signbridge.probing.sweep import Scored

SITE, POSITION = "answer", "text"


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
    return Scored(SITE, POSITION, predicted, probability, [None] * len(splits), probes={}, bits=np.nan)
