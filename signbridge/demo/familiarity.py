"""How far a picture's activations lie from those that the probes were trained on.

A probe names a letter for anything. Distance to the nearest neighbours in feature space tells what is like the training
images from what is not (Sun et al. 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors"). As a percentile
it has a scale: the same distance of every image of the sample to those of other photos. It is a one-sided check: what
lies far is unlike the sample, what lies near may still be no hand.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from sklearn.metrics import euclidean_distances, pairwise_distances_chunked

from signbridge.probing.probes import Probe

NEIGHBOURS = 5
FAR = 0.95  # of the sample's images lie nearer: do not believe the letter
RATHER_FAR = 0.8


class Familiarity(NamedTuple):
    """Where a picture lies among the sample's images."""

    percentile: (
        float  # share of the sample's images that lie nearer to other photos than this one, 0 to 1; NaN: all one
    )
    nearest: list[int]  # rows of the sample, the nearest first
    distances: list[float]  # to these, in standard deviations: root mean square over the features


class Neighbourhood:
    """The sample's images at one site and position, in the features that the probe sees."""

    def __init__(self, vectors: Float[np.ndarray, "images width"], photos: np.ndarray, probe: Probe):
        """`photos` names the photo of each row of `vectors`; `probe` standardises them."""
        self.probe = probe
        self.photos = photos
        self.rows = self._standardised(vectors)

    def familiarity(self, vector: Float[np.ndarray, "width"], photo: str | None = None) -> Familiarity:
        """Of one picture; `photo` is its own, if it is one of the sample's, whose images then do not count."""
        distances = euclidean_distances(self._standardised(vector[None]), self.rows)[0] / np.sqrt(len(vector))
        if photo is not None:
            distances = np.where(self.photos == photo, np.inf, distances)
        nearest = np.argsort(distances, kind="stable")[:NEIGHBOURS]
        nearest = nearest[np.isfinite(distances[nearest])]
        percentile = float((self._own < distances[nearest].mean()).mean()) if self._own.any() else np.nan
        return Familiarity(percentile, nearest.tolist(), [float(distances[row]) for row in nearest])

    @cached_property
    def _own(self) -> Float[np.ndarray, "images"]:
        """The mean distance of each image to its nearest neighbours of other photos."""

        def to_others(distances: np.ndarray, start: int) -> np.ndarray:
            rows = slice(start, start + len(distances))
            distances[self.photos[rows, None] == self.photos] = np.inf
            near = np.partition(distances, min(NEIGHBOURS, distances.shape[1]) - 1, axis=1)[:, :NEIGHBOURS]
            return np.ma.masked_invalid(near).mean(axis=1).filled(np.inf)

        near = np.concatenate(list(pairwise_distances_chunked(self.rows, reduce_func=to_others)))
        return near / np.sqrt(self.rows.shape[1])

    def _standardised(self, vectors: Float[np.ndarray, "rows width"]) -> Float[np.ndarray, "rows width"]:
        return (vectors.astype(np.float64) - self.probe.mean) / self.probe.scale
