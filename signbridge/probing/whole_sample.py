"""The probe of every image, for those who want to use one, and what it takes to send the letters."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from signbridge.probing.description_length import Block, shortest_description
from signbridge.probing.folds import has_many_rows
from signbridge.probing.logistic_regression import fit
from signbridge.probing.many_rows import fit_and_test
from signbridge.probing.probes import Probe
from signbridge.probing.reduction import reduce, weights_on_features
from signbridge.probing.standardising import centre, scalers


class WholeSample(NamedTuple):
    """What was learnt from all images together."""

    probe: Probe
    bits: float  # description length of the letters, mean over the orders of sending; NaN without any


def fit_whole_sample(
    vectors: Float[np.ndarray, "images width"],
    labels: np.ndarray,
    C: float,
    orders: Sequence[Sequence[Block]],
    Cs: Sequence[float],
    memory_bytes: int,
) -> WholeSample:
    """Fit all images with penalty `C`, and send the letters in each of `orders` with the best of `Cs`.

    Description lengths need a probe a block and C: of many wide rows (`has_many_rows`) they are left out.
    """
    letters, targets = np.unique(labels, return_inverse=True)
    if has_many_rows(vectors):
        every = np.ones((1, len(vectors)), dtype=bool)
        [found] = fit_and_test(vectors, targets, every, ~every, len(letters), C, memory_bytes, progress=True)
        return WholeSample(Probe(list(letters), found.coef, found.intercept, found.mean, found.scale), np.nan)
    centred = centre(vectors)
    shift, scale = scalers(centred, np.ones((1, len(vectors)), dtype=bool))
    rows = (centred.rows - shift[0]) / scale[0]
    coordinates = reduce(rows, rows[:0])
    model = fit(coordinates, targets, len(letters), C)
    coef = weights_on_features(coordinates, rows, model.weights)
    probe = Probe(list(letters), coef, model.intercept - coef @ coordinates.centre, centred.origin + shift[0], scale[0])
    bits = [shortest_description(coordinates.train, targets, blocks, Cs) for blocks in orders]
    return WholeSample(probe, float(np.mean(bits)) if bits else np.nan)
