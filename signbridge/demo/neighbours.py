"""The sample's images that lie nearest to a picture at one site, for the page to show."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from sklearn.metrics import euclidean_distances

from signbridge.probing.probes import Probe

NEIGHBOURS = 5


class Nearest(NamedTuple):
    """The nearest images of the sample."""

    rows: list[int]  # of the sample, the nearest first
    distances: list[float]  # to these, in standard deviations: root mean square over the features


class Neighbourhood:
    """The sample's images at one site and position, in the features that the probe sees."""

    def __init__(self, vectors: Float[np.ndarray, "images width"], photos: np.ndarray, probe: Probe):
        """`photos` names the photo of each row of `vectors`; `probe` standardises them."""
        self.probe = probe
        self.photos = photos
        self.rows = standardised(vectors, probe)
        self.is_blind = bool(np.ptp(self.rows, axis=0).max() == 0)  # the same vector whatever is shown

    def nearest(self, vector: Float[np.ndarray, "width"], photo: str | None = None) -> Nearest:
        """To one picture; `photo` is its own, if it is one of the sample's, whose images then do not count."""
        distances = euclidean_distances(standardised(vector[None], self.probe), self.rows)[0] / np.sqrt(len(vector))
        if photo is not None:
            distances = np.where(self.photos == photo, np.inf, distances)
        rows = np.argsort(distances, kind="stable")[:NEIGHBOURS]
        rows = rows[np.isfinite(distances[rows])]
        return Nearest(rows.tolist(), [float(distances[row]) for row in rows])


def standardised(vectors: Float[np.ndarray, "rows width"], probe: Probe) -> Float[np.ndarray, "rows width"]:
    """Vectors as the probe sees them: mean 0 and standard deviation 1 over the sample."""
    return (vectors.astype(np.float64) - probe.mean) / probe.scale
