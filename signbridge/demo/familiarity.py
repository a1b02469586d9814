"""Is a picture like the hands of the study? One verdict over all sites, with a known share of false alarms.

A probe names a letter for anything. What a model was not probed on lies far from the sample at some site, not at each:
noise looks usual at `pixels` and strange in the decoder. So the verdict is that of the worst site.

At each site and position the distance to the nearest images of other photos is taken twice: in the features that the
probe sees, and as an angle after whitening (k nearest neighbours of unit features: Sun et al. 2022,
"Out-of-Distribution Detection with Deep Nearest Neighbors"; the covariance is shrunk as in Ledoit and Wolf 2004). The
first finds what lies far out, the second what deviates where hands never differ. The logarithm of each, standardised by
the sample's own, is how unusual the picture is there; the largest of all is its score.

The same score is taken of every image of the sample, with all copies of its photo left out. The share of the sample
that scores lower is the verdict, which is a conformal p-value (Bates et al. 2023, "Testing for Outliers with Conformal
p-values"): of new hands like the sample's about 1 - FAR are called unusual, however many sites are looked at.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from sklearn.model_selection import GroupKFold

from signbridge.demo.neighbours import NEIGHBOURS, standardised
from signbridge.demo.study import Place
from signbridge.probing.probes import Probe

FAR = 0.95  # of the sample's images are less unusual: do not believe the letter
RATHER_FAR = 0.8
FOLDS = 5
MOST_IMAGES = 600  # of the sample that are compared: enough for the shares, and few enough for wide models


class Familiarity(NamedTuple):
    """How unusual a picture is beside the sample."""

    share: float  # of the sample's images that are less unusual, 0 to 1
    where: Place  # at which it is most unusual
    images: int  # of the sample that it was compared with

    @property
    def level(self) -> str:
        """`familiar`, `careful`, `unfamiliar`, or `untold` where so few images could not tell."""
        if self.images < FAR / (1 - FAR):
            return "untold"
        if self.share >= FAR:
            return "unfamiliar"
        return "careful" if self.share >= RATHER_FAR else "familiar"


class Comparison:
    """The sample at every site and position, to be compared with pictures."""

    def __init__(
        self,
        vectors: Callable[[Place, Int[np.ndarray, "rows"]], Float[np.ndarray, "rows width"]],
        probes: dict[Place, Probe],
        photos: np.ndarray,
    ):
        """`vectors` reads rows of the sample at a place; `photos` names the photo of each of the sample's images."""
        rows = np.arange(len(photos))
        if len(rows) > MOST_IMAGES:
            rows = np.sort(np.random.default_rng(0).choice(rows, MOST_IMAGES, replace=False))
        self.photos = photos[rows]
        folds = min(FOLDS, len(set(self.photos)))
        split = GroupKFold(folds).split(rows, groups=self.photos) if folds > 1 else []
        self.folds = [(training, held_out) for training, held_out in split]
        self.places: dict[Place, _AtPlace] = {}
        for place, probe in probes.items():
            here = _AtPlace(standardised(vectors(place, rows), probe), probe, self.folds)
            if here.sees:
                self.places[place] = here
        of_sample = [here.scores.max(axis=1) for here in self.places.values()]
        self.scores = np.max(of_sample, axis=0) if of_sample else np.zeros(0)

    def familiarity(self, vectors: dict[Place, Float[np.ndarray, "_width"]], photo: str | None = None) -> Familiarity:
        """Of a picture, by its vectors at all places; `photo` is its own if it is one of the sample's."""
        used = [fold for fold, (_, out) in enumerate(self.folds) if photo in self.photos[out]]
        used = used or list(range(len(self.folds)))
        unusual = {place: here.score(vectors[place], used) for place, here in self.places.items()}
        if not unusual:
            return Familiarity(0.0, next(iter(vectors)), 0)
        where = max(unusual, key=lambda place: unusual[place])
        below = int((self.scores < unusual[where]).sum())
        return Familiarity(below / (len(self.scores) + 1), where, len(self.scores))


class _AtPlace:
    """The sample at one site and position, and how unusual each of its images is there."""

    def __init__(self, rows: Float[np.ndarray, "images width"], probe: Probe, folds: list):
        self.rows, self.probe = rows, probe
        gram = rows @ rows.T
        norms = np.diag(gram)
        self.folds = [_Fold(gram[np.ix_(training, training)], training, rows.shape[1]) for training, _ in folds]
        distances = np.zeros((len(rows), 2))
        for fold, (training, out) in zip(self.folds, folds, strict=True):
            distances[out] = fold.distances(gram[np.ix_(out, training)], norms[out])
        # A site whose vectors repeat from photo to photo does not see the picture, or no more of it than the answer.
        self.sees = bool(folds) and bool((distances > 1e-6).all())
        if self.sees:
            logs = np.log(distances)
            self.mean, self.deviation = logs.mean(axis=0), np.maximum(logs.std(axis=0), 1e-6)
            self.scores = (logs - self.mean) / self.deviation

    def score(self, vector: Float[np.ndarray, "width"], folds: list[int]) -> float:
        """The larger of the two, each averaged over `folds`."""
        vector = standardised(vector[None], self.probe)
        products, norm = vector @ self.rows.T, (vector**2).sum(axis=1)
        taken = [self.folds[fold] for fold in folds]
        distances = np.mean([fold.distances(products[:, fold.training], norm)[0] for fold in taken], axis=0)
        return float(((np.log(np.maximum(distances, 1e-12)) - self.mean) / self.deviation).max())


class _Fold:
    """The images outside one fold. All follows from their products with one another and with the picture.

    With the covariance S = V diag(l) V' shrunk to (1 - s) S + s m I, the product of x and y after whitening is, up to a
    factor, x'y - sum_i w_i (x'v_i)(v_i'y), where w = (1 - s) l / ((1 - s) l + s m); and V follows from the products.
    """

    def __init__(self, gram: Float[np.ndarray, "images images"], training: Int[np.ndarray, "images"], width: int):
        self.training, self.norms = training, np.diag(gram)
        self.means, self.mean = gram.mean(axis=0), gram.mean()
        centred = gram - self.means - self.means[:, None] + self.mean
        eigenvalues, vectors = np.linalg.eigh(centred)
        kept = eigenvalues > max(eigenvalues[-1], 1e-12) * 1e-9
        self.eigenvalues, self.vectors = eigenvalues[kept], vectors[:, kept]
        shrinkage, scale = _ledoit_wolf(centred, width)
        variances = (1 - shrinkage) * self.eigenvalues / len(gram)
        self.weights = variances / (variances + max(shrinkage, 1e-6) * scale + 1e-300)
        self.whitened = np.diag(centred) - (self.vectors**2 * self.weights * self.eigenvalues).sum(axis=1)

    def distances(
        self, products: Float[np.ndarray, "rows images"], norms: Float[np.ndarray, "rows"]
    ) -> Float[np.ndarray, "rows 2"]:
        """Mean distance to the nearest images as they are, and as unit vectors after whitening."""
        plain = np.sqrt(np.maximum(norms[:, None] - 2 * products + self.norms, 0))
        mean = products.mean(axis=1)
        along = (products - mean[:, None] - self.means + self.mean) @ self.vectors
        inner = products - mean[:, None] - self.means + self.mean - along * self.weights @ self.vectors.T
        own = norms - 2 * mean + self.mean - (along**2 * self.weights / self.eigenvalues).sum(axis=1)
        lengths = np.maximum(own, 1e-12)[:, None] * np.maximum(self.whitened, 1e-12)
        turned = np.sqrt(np.maximum(2 - 2 * inner / np.sqrt(lengths), 0))
        near = min(NEIGHBOURS, products.shape[1])
        return np.stack([np.sort(far, axis=1)[:, :near].mean(axis=1) for far in (plain, turned)], axis=1)


def _ledoit_wolf(centred: Float[np.ndarray, "images images"], width: int) -> tuple[float, float]:
    """The shrinkage of Ledoit and Wolf (2004) and the variance that it shrinks to, from products of centred rows."""
    images = len(centred)
    variance = np.trace(centred) / images / width
    squared = (centred**2).sum() / images**2
    spread = (squared - width * variance**2) / width
    noise = ((np.diag(centred) ** 2).sum() / images - squared) / (width * images)
    return (float(min(noise, spread) / spread) if spread > 0 else 1.0), float(variance)
