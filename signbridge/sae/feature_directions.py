"""Directions from one class to another that are single features of autoencoders, and nulls that are features too.

To steer towards class b, the feature whose mean activation on b exceeds that on a the most is pushed up, or held at a
value. To steer away from a, the feature whose mean on a exceeds that on b the most is pushed down. The decoder's rows
have length 1, and its bias is not added. Every direction is as long as the largest activation that its feature has on
any image of the fitted half, so a strength of 1 is the largest natural dose.

Nulls of the same length: Gaussian noise, features drawn from those of like activation, the feature's neighbours in
index, which have no more in common with it than any others, and noise of equal logit effect. The decoder row of a
feature that the model is about to speak of often points at the answer's own row of the unembedding. So this last null
has the same component along the direction that raises the answer's logit, and noise in place of the rest: what the
feature does beyond it does not come of writing the word itself. A null is added where the feature is pushed up, and
subtracted where the feature is pushed down.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from torch import nn

from signbridge.causal.pairs import ClassPair
from signbridge.causal.steering import Clamps
from signbridge.core.names import (
    CLAMP,
    CLAMP_DECODED,
    EQUAL_LOGIT,
    EQUAL_LOGIT_DOWN,
    FEATURE,
    FEATURE_DOWN,
    LIKE_FEATURES,
    LIKE_FEATURES_DOWN,
    NEIGHBOURS,
    NEIGHBOURS_DOWN,
    POSITION_OF,
    RANDOM,
    SteeredAt,
    published_of_classes,
)

LIKE = 20  # for each draw of the null: how many features, nearest in activation, it is drawn from


class Chosen(NamedTuple):
    """The features of a pair of classes at one place."""

    up: int
    down: int


def named(draws: int) -> list[tuple[str, int]]:
    """The name and draw of every row of `feature_directions`."""
    nulls = (RANDOM, LIKE_FEATURES, NEIGHBOURS, LIKE_FEATURES_DOWN, NEIGHBOURS_DOWN, EQUAL_LOGIT, EQUAL_LOGIT_DOWN)
    pushed = [(name, 0) for name in (FEATURE, CLAMP, CLAMP_DECODED, FEATURE_DOWN)]
    return [*pushed, *((name, draw) for name in nulls for draw in range(draws))]


def chosen_features(
    features: Float[np.ndarray, "images features"],
    labels: np.ndarray,
    pair: ClassPair,
    published: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> Chosen:
    """The features with the largest gaps between the mean activations of the two classes' images.

    Of a class that has `published` features it is one of those, as far as the autoencoder has them.
    """
    gap = features[labels == pair.b].mean(0) - features[labels == pair.a].mean(0)
    named = published_of_classes(published, [pair.a, pair.b])
    up, down = (_or_all(named.get(name, set()), len(gap)) for name in (pair.b, pair.a))
    return Chosen(int(up[gap[up].argmax()]), int(down[gap[down].argmin()]))


def _or_all(wanted: Collection[int], features: int) -> Int[np.ndarray, " some"]:
    """Those of the `features` that are `wanted`, or all if there is none."""
    there = sorted(feature for feature in wanted if 0 <= feature < features)
    return np.array(there, dtype=int) if there else np.arange(features)


def neighbours(feature: int, features: int, draws: int) -> Int[np.ndarray, " draws"]:
    """The next in index: one after, one before, two after and so on, around the ends."""
    steps = [sign * step for step in range(1, draws + 1) for sign in (1, -1)][:draws]
    return (feature + np.array(steps, dtype=int)) % features


def like_features(
    mean: Float[np.ndarray, " features"], feature: int, draws: int, generator: np.random.Generator
) -> Int[np.ndarray, " draws"]:
    """Other features drawn from the `LIKE` a draw that are nearest in mean activation; of fewer, with repeats."""
    others = np.delete(np.arange(len(mean)), feature)
    nearest = others[np.argsort(np.abs(mean[others] - mean[feature]), kind="stable")][: LIKE * draws]
    return generator.choice(nearest, size=draws, replace=len(nearest) < draws)


def equal_logit(
    row: Float[np.ndarray, " width"], toward: Float[np.ndarray, " width"], draws: int, generator: np.random.Generator
) -> Float[np.ndarray, "draws width"]:
    """Noise as long as `row` and with its component along `toward`. Along a `toward` of zeros there is none."""
    length = np.linalg.norm(toward)
    unit = toward / length if length > 0 else np.zeros_like(toward)
    along = float(row @ unit)
    noise = generator.normal(size=(draws, len(row)))
    noise -= np.outer(noise @ unit, unit)
    rest = np.sqrt(max(float(row @ row) - along**2, 0.0))
    return along * unit + rest * noise / np.linalg.norm(noise, axis=1, keepdims=True)


def feature_directions(
    decoder: Float[np.ndarray, "features width"],
    features: Float[np.ndarray, "images features"],
    chosen: Chosen,
    toward: Float[np.ndarray, " width"],
    draws: int,
    generator: np.random.Generator,
) -> Float[np.ndarray, "directions width"]:
    """One row for each of `named`, as long as the largest activation on `features` of the one that is pushed.

    The answer's logit rises along `toward`. A feature that writes nothing has a row of zeros.
    """
    mean, natural = features.mean(0), Chosen(*(float(features[:, feature].max()) for feature in chosen))
    up, down = _unit(decoder[[chosen.up]])[0], -_unit(decoder[[chosen.down]])[0]
    noise = generator.normal(size=(draws, decoder.shape[1]))
    like, like_down = (decoder[like_features(mean, feature, draws, generator)] for feature in chosen)
    near, near_down = (decoder[neighbours(feature, len(decoder), draws)] for feature in chosen)
    equal, equal_down = (equal_logit(row, toward, draws, generator) for row in (up, down))
    of_up, of_down = (np.stack([up, up, up]), noise, like, near), (-like_down, -near_down)
    pushed_up, pushed_down = _unit(np.concatenate(of_up)), _unit(np.concatenate(of_down))
    return np.concatenate([
        natural.up * pushed_up[:3], natural.down * down[None], natural.up * pushed_up[3:],
        natural.down * pushed_down, natural.up * equal, natural.down * equal_down,
    ])  # fmt: skip


def _unit(rows: Float[np.ndarray, "rows width"]) -> Float[np.ndarray, "rows width"]:
    """Each of length 1, or of zeros."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows, dtype=np.float64), where=lengths > 0)


class FeatureDirections:
    """`Directed` by features of autoencoders, chosen by what they are on the images of one half."""

    told = (FEATURE, CLAMP, CLAMP_DECODED, FEATURE_DOWN, RANDOM)

    def __init__(
        self,
        autoencoders: Mapping[str, nn.Module],
        features: Mapping[tuple[str, str], Float[np.ndarray, "images _"]],
        labels: np.ndarray,
        half: Bool[np.ndarray, " images"],
        draws: int,
        seed: int,
        toward: Callable[[str], Float[np.ndarray, " width"]],
        published: Mapping[str, Sequence[int]] = MappingProxyType({}),
    ):
        """`autoencoders` are SAELens's, by site in order of depth; `features`, by site and position, a row a label.

        `toward` an answer is the direction that raises its logit. `published` names features of classes that others
        found, which are taken instead.
        """
        self.names, self._published, self._toward = named(draws), published, toward
        self._autoencoders, self._labels, self._draws, self._seed = autoencoders, labels[half], draws, seed
        self._features = {place: rows[half] for place, rows in features.items()}

    def chosen(self, site: str, pair: ClassPair, at: SteeredAt) -> Chosen:
        """The features of a pair at one place."""
        return chosen_features(self._features[site, POSITION_OF[at]], self._labels, pair, self._published)

    def between(self, pair: ClassPair, at: SteeredAt, number: int) -> dict[str, Float[np.ndarray, "directions width"]]:
        """By site, as long as a natural dose; what is drawn depends on the number of the pair and on the depth."""
        toward = self._toward(pair.answer_b)
        return {
            site: feature_directions(
                autoencoder.W_dec.detach().float().cpu().numpy(), self._features[site, POSITION_OF[at]],
                self.chosen(site, pair, at), toward, self._draws, np.random.default_rng([self._seed, number, depth]),
            )
            for depth, (site, autoencoder) in enumerate(self._autoencoders.items())
        }  # fmt: skip

    def clamps(self, pair: ClassPair, at: SteeredAt) -> Mapping[str, Clamps]:
        """By site the feature that `CLAMP` and `CLAMP_DECODED` hold."""
        names = np.array([name for name, _ in self.names])
        held, decoded = np.isin(names, (CLAMP, CLAMP_DECODED)), names == CLAMP_DECODED
        return {
            site: Clamps(autoencoder, np.where(held, self.chosen(site, pair, at).up, -1), decoded)
            for site, autoencoder in self._autoencoders.items()
        }


def features_table(
    fitted: Sequence[FeatureDirections], places: Sequence[tuple[ClassPair, SteeredAt]], sites: Sequence[str]
) -> pd.DataFrame:
    """A row a pair, kind of token and site: a, b, at, site, `up` and `down`, the features that are pushed so."""
    rows = [
        (pair.a, pair.b, at, site, *directed.chosen(site, pair, at))
        for directed in fitted for pair, at in places for site in sites
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["a", "b", "at", "site", "up", "down"])
