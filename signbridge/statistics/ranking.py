"""How well single features separate classes: the area under the ROC curve (AUC)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

_FEATURES_AT_ONCE = 4096


def aucs(
    vectors: Float[np.ndarray, "images features"], labels: np.ndarray, classes: Sequence
) -> Float[np.ndarray, "classes features"]:
    """The area under the ROC curve of every feature for each of `classes` against all other images.

    That is how often the feature is stronger in an image of the class than in another, ties counted as half;
    NaN for a class of no image or of all.
    """
    is_of_class = np.array([labels == name for name in classes], dtype=np.float64)
    own = is_of_class.sum(1, keepdims=True)
    parts = [np.empty((len(classes), 0))]
    for start in range(0, vectors.shape[1], _FEATURES_AT_ONCE):
        ranks = rankdata(vectors[:, start : start + _FEATURES_AT_ONCE], axis=0)
        won, pairs = is_of_class @ ranks - own * (own + 1) / 2, own * (len(labels) - own)
        parts.append(np.divide(won, pairs, out=np.full(won.shape, np.nan), where=pairs > 0))
    return np.concatenate(parts, axis=1)


def weighted_aucs(
    scores: Float[np.ndarray, " images"], true: Bool[np.ndarray, " images"], weights: Float[np.ndarray, "draws images"]
) -> Float[np.ndarray, " draws"]:
    """The area under the ROC curve where images count by each row of `weights`; half where one kind has no weight."""
    above = np.sign(scores[true][:, None] - scores[~true]) / 2 + 0.5
    of_true, of_others = weights[:, true], weights[:, ~true]
    total = of_true.sum(1) * of_others.sum(1)
    won = ((of_true @ above) * of_others).sum(1)
    return np.divide(won, total, out=np.full(len(weights), 0.5), where=total > 0)
