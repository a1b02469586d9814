"""A probe of some of the images, with a penalty that is given."""

import numpy as np
from jaxtyping import Bool, Float

from signbridge.probing.probes import Probe
from signbridge.probing.whole_sample import fit_whole_sample

MEMORY_BYTES = 2 * 2**30  # of the solver beside its vectors


def fit_half_probe(
    vectors: Float[np.ndarray, "images width"], labels: np.ndarray, fitted: Bool[np.ndarray, "images"], C: float
) -> Probe:
    """A probe with inverse penalty `C` of the images that `fitted` marks."""
    return fit_whole_sample(vectors[fitted], labels[fitted], C, (), (C,), MEMORY_BYTES).probe
