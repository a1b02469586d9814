"""The probe of all images, for those who want to use one, and the codes of the letters (`description_length.py`)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from signbridge.probing.coordinates import centre, reduce, scalers, weights_on_features
from signbridge.probing.description_length import Block, Code, shortest_code
from signbridge.probing.folds import has_many_rows
from signbridge.probing.logistic_regression import TOLERANCE, fit
from signbridge.probing.many_rows import fit_and_test
from signbridge.probing.probes import Probe


class WholeSample(NamedTuple):
    """What was learnt from all images together."""

    probe: Probe
    codes: list[Code]  # of the letters, one an order of sending


def fit_whole_sample(
    vectors: Float[np.ndarray, "images width"],
    labels: np.ndarray,
    C: float,
    orders: Sequence[Sequence[Block]],
    Cs: Sequence[float],
    memory_bytes: int,
    tolerance: float = TOLERANCE,
) -> WholeSample:
    """Fit all images with penalty `C`, and send the letters in each of `orders` with the best of `Cs`.

    Description lengths need a probe a block and C: of many wide rows (`has_many_rows`) they are left out.
    """
    letters, targets = np.unique(labels, return_inverse=True)
    if has_many_rows(vectors):
        every = np.ones((1, len(vectors)), dtype=bool)
        [found] = fit_and_test(vectors, targets, every, ~every, len(letters), C, memory_bytes, progress=True)
        return WholeSample(Probe(list(letters), found.coef, found.intercept, found.mean, found.scale), [])
    centred = centre(vectors)
    shift, scale = scalers(centred, np.ones((1, len(vectors)), dtype=bool))
    rows = (centred.rows - shift[0]) / scale[0]
    coordinates = reduce(rows, rows[:0])
    model = fit(coordinates, targets, len(letters), C, tolerance=tolerance)
    coef = weights_on_features(coordinates, rows, model.weights)
    probe = Probe(list(letters), coef, model.intercept - coef @ coordinates.centre, centred.origin + shift[0], scale[0])
    return WholeSample(probe, [shortest_code(coordinates.train, targets, blocks, Cs) for blocks in orders])
