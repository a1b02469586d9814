"""How well single features tell classes apart, by the order in which they put images."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

_FEATURES_AT_ONCE = 4096


def aucs(
    vectors: Float[np.ndarray, "images features"], labels: np.ndarray, classes: Sequence
) -> Float[np.ndarray, "classes features"]:
    """The area under the ROC curve of every feature for each of `classes` against all other images.

    That is how often the feature is stronger in an image of the class than in another, ties counted as half.
    """
    is_of_class = np.array([labels == name for name in classes], dtype=np.float64)
    own = is_of_class.sum(1, keepdims=True)
    parts = [np.empty((len(classes), 0))]
    for start in range(0, vectors.shape[1], _FEATURES_AT_ONCE):
        ranks = rankdata(vectors[:, start : start + _FEATURES_AT_ONCE], axis=0)
        parts.append((is_of_class @ ranks - own * (own + 1) / 2) / (own * (len(labels) - own)))
    return np.concatenate(parts, axis=1)
