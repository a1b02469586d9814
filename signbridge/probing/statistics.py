"""How sure an accuracy is, given what was tested."""

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm

Interval = tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]


def wilson(right: Int[np.ndarray, "..."], tested: Int[np.ndarray, "..."], confidence: float) -> Interval:
    """Wilson's score interval (1927) of a share: `right` of `tested` independent trials.

    It takes the trials as they are: with copies of one photo on both sides it says how far another draw of as many
    test images would scatter, not how well new photos are read.
    """
    z = norm.ppf((1 + confidence) / 2)
    share = right / tested
    middle = (share + z**2 / (2 * tested)) / (1 + z**2 / tested)
    half = z / (1 + z**2 / tested) * np.sqrt(share * (1 - share) / tested + z**2 / (4 * tested**2))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def photo_bootstrap(
    right: Float[np.ndarray, "photos curves"],
    tested: Float[np.ndarray, "photos"],
    confidence: float,
    resamples: int,
    generator: np.random.Generator,
) -> Interval:
    """Percentile interval of accuracies, resampling photos (Efron 1979; whole clusters, Davison and Hinkley 1997).

    A photo is drawn with all its images in all repeats: `right` of its `tested` predictions, one column an accuracy.
    All columns share the resamples, so that they can be compared pairwise.
    """
    photos = len(tested)
    drawn = generator.multinomial(photos, np.full(photos, 1 / photos), size=resamples)
    accuracy = (drawn @ right) / (drawn @ tested)[:, None]
    tail = (1 - confidence) / 2
    low, high = np.quantile(accuracy, [tail, 1 - tail], axis=0)
    return low, high
