"""Directions of the residual stream that should turn one class into another, each of length one.

After "Line of Sight: On Linear Representations in VLLMs" (2025): the difference of the class means, of the probe's
weights and of the answers' unembedding rows. Two nulls: Gaussian directions, and differences of the means of letters
that were shuffled over photos, which lie where the data lie.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from pydantic import Field

from signbridge.causal.pairs import ClassPair, first_difference
from signbridge.causal.steering import Clamps, SteeringSweep
from signbridge.core import activations
from signbridge.core.names import (
    DIRECTIONS,
    POSITION_OF,
    RANDOM,
    SHUFFLED_MEANS,
    SteeredAt,
)
from signbridge.core.params import Section
from signbridge.probing.control_sweep import shuffle_over_photos
from signbridge.probing.probes import Probe
from signbridge.probing.whole_sample import fit_whole_sample
from signbridge.vlm.extraction import Reader
from signbridge.vlm.letter_scoring import added_tokens

MEMORY_BYTES = 2 * 2**30  # of the probe's solver beside its vectors


class FittedParams(Section):
    """The section `fitted`: what directions and erasers share."""

    C: float = Field(gt=0)  # inverse strength of the L2 penalty of their probes


class FittedClasses(NamedTuple):
    """What is fitted to the images of the fitted half at one site and position."""

    classes: list[str]  # sorted
    means: Float[np.ndarray, "classes width"]
    shuffled_means: Float[np.ndarray, "draws classes width"]  # of letters shuffled over photos
    weights: Float[np.ndarray, "classes width"]  # of the probe, on unscaled features


def fit_half_probe(
    vectors: Float[np.ndarray, "images width"], labels: np.ndarray, fitted: Bool[np.ndarray, "images"], C: float
) -> Probe:
    """A probe with inverse penalty `C` of the images that `fitted` marks."""
    return fit_whole_sample(vectors[fitted], labels[fitted], C, (), (C,), MEMORY_BYTES).probe


def fit_classes(
    vectors: Float[np.ndarray, "images width"],
    labels: np.ndarray,
    photos: np.ndarray,
    fitted: Bool[np.ndarray, "images"],
    C: float,
    draws: int,
    generator: np.random.Generator,
) -> FittedClasses:
    """Class means and a probe with penalty `C`, of the images that `fitted` marks alone.

    The probe's weights act on standardised features: divided by the scaler's scale they act on the stream itself.
    """
    rows, there = vectors[fitted].astype(np.float64), labels[fitted]
    probe = fit_half_probe(vectors, labels, fitted, C)
    letters, targets = np.unique(there, return_inverse=True)
    shuffled = [letters[shuffle_over_photos(targets, photos[fitted], generator)] for _ in range(draws)]
    means, *shuffled_means = [
        np.stack([rows[of_image == letter].mean(axis=0) for letter in letters]) for of_image in (there, *shuffled)
    ]
    return FittedClasses(probe.classes, means, np.array(shuffled_means), probe.coef / probe.scale)


def directions(
    fitted: FittedClasses,
    a: str,
    b: str,
    unembedding: Float[np.ndarray, "two width"],
    draws: int,
    generator: np.random.Generator,
) -> Float[np.ndarray, "directions width"]:
    """From class `a` to class `b`: one row for each of `all_directions`, each of length 1.

    `unembedding` has the rows of the first tokens in which the two answers differ, that of `a` first. A difference of
    zero (the same vector for every image) stays zero.
    """
    of_a, of_b = fitted.classes.index(a), fitted.classes.index(b)
    rows = [
        fitted.means[of_b] - fitted.means[of_a],
        fitted.weights[of_b] - fitted.weights[of_a],
        unembedding[1] - unembedding[0],
        *generator.normal(size=(draws, fitted.means.shape[1])),
        *(fitted.shuffled_means[:draws, of_b] - fitted.shuffled_means[:draws, of_a]),
    ]
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows, dtype=np.float64), where=lengths > 0)


def all_directions(draws: int) -> list[tuple[str, int]]:
    """The name and draw of every row of `directions`: those of the classes, then the nulls."""
    nulls = [(name, draw) for name in (RANDOM, SHUFFLED_MEANS) for draw in range(draws)]
    return [*((name, 0) for name in DIRECTIONS), *nulls]


class ClassDirections:
    """`Directed` by the vectors of each class's images, and by the answers' unembedding rows."""

    told = ("class_means", RANDOM)

    def __init__(
        self,
        reader: Reader,
        sweep: SteeringSweep,
        sites: Sequence[str],
        sample: pd.DataFrame,
        vectors: Path,
        half: Bool[np.ndarray, " images"],
        C: float,
        seed: int,
    ):
        """Fit on the images that `half` marks; `vectors` is the sample's activation folder, `C` the probe's penalty."""
        self.names = all_directions(sweep.draws)
        self._reader, self._sites, self._draws, self._seed = reader, sites, sweep.draws, seed
        self._unembedding = reader.loaded.model.get_output_embeddings().weight.float().detach().cpu().numpy()
        ids, labels, photos = (sample[name].to_numpy() for name in ("image_id", "label", "photo"))
        self._fitted = {
            (site, position): fit_classes(
                activations.read(vectors, site, position, list(ids)), labels, photos, half, C, sweep.draws,
                np.random.default_rng([seed, *site.encode(), *position.encode()]),
            )
            for site in sites for position in {POSITION_OF[at] for at in sweep.at}
        }  # fmt: skip

    def between(self, pair: ClassPair, at: SteeredAt, number: int) -> dict[str, Float[np.ndarray, "directions width"]]:
        """By site in order of depth; the random ones depend on the number of the pair and on the depth."""
        rows = self._unembedding[list(self._first_tokens(pair))]
        return {
            site: directions(
                self._fitted[site, POSITION_OF[at]], pair.a, pair.b, rows, self._draws,
                np.random.default_rng([self._seed, number, depth]),
            )
            for depth, site in enumerate(self._sites)
        }  # fmt: skip

    def clamps(self, pair: ClassPair, at: SteeredAt) -> Mapping[str, Clamps]:
        """None: these directions belong to no features."""
        return {}

    def _first_tokens(self, pair: ClassPair) -> tuple[int, int]:
        processor, prompt = self._reader.loaded.processor, self._reader.prompt
        a, b = (added_tokens(processor, prompt, answer, "models.yaml: <model>.prompt") for answer in pair[2:])
        ends = [*self._reader.loaded.end_tokens, processor.tokenizer.pad_token_id]
        return first_difference(a, b, ends[0])
