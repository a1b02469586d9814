"""Directions of the residual stream that should turn one class into another, each of length one.

After "Line of Sight: On Linear Representations in VLLMs" (2025): the difference of the class means, of the probe's
weights and of the answers' unembedding rows; and Gaussian directions as the null.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from signbridge.probing.probes import Probe
from signbridge.probing.whole_sample import fit_whole_sample

MEMORY_BYTES = 2 * 2**30  # of the probe's solver beside its vectors


class FittedClasses(NamedTuple):
    """What the images of the fitted half say of each class at one site and position."""

    classes: list[str]  # sorted
    means: Float[np.ndarray, "classes width"]
    weights: Float[np.ndarray, "classes width"]  # of the probe, on unscaled features


def fit_half_probe(
    vectors: Float[np.ndarray, "images width"], labels: np.ndarray, fitted: Bool[np.ndarray, "images"], C: float
) -> Probe:
    """A probe with penalty `C` of the images that `fitted` marks."""
    return fit_whole_sample(vectors[fitted], labels[fitted], C, (), (C,), MEMORY_BYTES).probe


def fit_classes(
    vectors: Float[np.ndarray, "images width"], labels: np.ndarray, fitted: Bool[np.ndarray, "images"], C: float
) -> FittedClasses:
    """Class means and a probe with penalty `C`, of the images that `fitted` marks alone.

    The probe's weights act on standardised features: divided by the scaler's scale they act on the stream itself.
    """
    rows, there = vectors[fitted].astype(np.float64), labels[fitted]
    probe = fit_half_probe(vectors, labels, fitted, C)
    means = np.stack([rows[there == letter].mean(axis=0) for letter in probe.classes])
    return FittedClasses(probe.classes, means, probe.coef / probe.scale)


def directions(
    fitted: FittedClasses,
    a: str,
    b: str,
    unembedding: Float[np.ndarray, "two width"],
    draws: int,
    generator: np.random.Generator,
) -> Float[np.ndarray, "directions width"]:
    """From class `a` to class `b`: one row for each of `DIRECTIONS`, then `draws` random ones, each of length 1.

    `unembedding` has the rows of the two answers' first tokens, that of `a` first. A difference that is nothing (the
    same vector for every image) stays nothing.
    """
    of_a, of_b = fitted.classes.index(a), fitted.classes.index(b)
    rows = [
        fitted.means[of_b] - fitted.means[of_a],
        fitted.weights[of_b] - fitted.weights[of_a],
        unembedding[1] - unembedding[0],
        *generator.normal(size=(draws, fitted.means.shape[1])),
    ]
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows, dtype=np.float64), where=lengths > 0)
