"""Which features are shown: those that detect a letter best, and then the most active ones.

Features are ranked on half of the groups (photos, clips or signers) by their AUC (`statistics/ranking.py`). The best of
thousands looks better than it is on those that it was chosen by, so the AUC that is reported is that on the other half.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from pydantic import Field

from signbridge.core import activations
from signbridge.core.names import AUTOENCODER, STREAM
from signbridge.core.params import Section
from signbridge.datasets.sampling import fitted_half
from signbridge.statistics.ranking import aucs

COLUMNS = ["letter", "rank", "feature", "auc", "auc_held_out"]
POSITION = "image_mean"  # the value of a feature for an image: its mean over image tokens
SHARED, IMAGE_ONLY, TEXT_ONLY = "shared", "image only", "text only"


class ExamplesParams(Section):
    """The section `examples` of stages/sae/params.yaml."""

    letters: int = Field(ge=1)  # features of a class, at most: those that detect it best
    features: int = Field(ge=1)  # of a site: those of the classes, all of them, and the most active beside them
    images: int = Field(ge=1)  # strongest ones of a feature
    phrases: int = Field(ge=1)  # strongest ones of a feature, no two of which begin alike up to its strongest token
    images_read: int = Field(ge=1)  # of the sample, each of another photo, at most, drawn
    phrases_read: int = Field(ge=1)  # of the corpus, at most, drawn


class Halves(NamedTuple):
    """The photos that rank features, those that test them, and the letters that stand in both."""

    ranking: Bool[np.ndarray, "images"]
    testing: Bool[np.ndarray, "images"]
    letters: list[str]


def halves_of(labels: np.ndarray, groups: np.ndarray, seed: int) -> Halves:
    """Half of each letter's groups, and the others. A letter with a single group is in neither half.

    With fewer than two letters left there is nothing to tell apart, and none is named.
    """
    of_letter = pd.Series(groups).groupby(labels).nunique()
    usable = np.isin(labels, of_letter.index[of_letter >= 2])
    ranking, testing = np.zeros(len(labels), bool), np.zeros(len(labels), bool)
    if usable.any():
        half = fitted_half(labels[usable], groups[usable], seed)
        ranking[usable], testing[usable] = half, ~half
    letters = sorted(set(labels[ranking]) & set(labels[testing]))
    return Halves(ranking, testing, letters if len(letters) >= 2 else [])


def letter_features(
    vectors: Float[np.ndarray, "images features"], labels: np.ndarray, halves: Halves, most: int
) -> pd.DataFrame:
    """A row a letter and rank, `COLUMNS`: up to `most` features that are stronger in its images than in others.

    Of features with the same AUC that comes first whose means are further apart, in standard deviations.
    """
    if not halves.letters:
        return pd.DataFrame(columns=COLUMNS).astype({"rank": int, "feature": int, "auc": float, "auc_held_out": float})
    found = aucs(vectors[halves.ranking], labels[halves.ranking], halves.letters)
    apart = _differences(vectors[halves.ranking], labels[halves.ranking], halves.letters)
    rows = []
    for letter, of_letter, differences in zip(halves.letters, found, apart, strict=True):
        order = np.lexsort((-differences, -of_letter))[:most]
        best = order[of_letter[order] > 0.5]
        (held_out,) = aucs(vectors[np.ix_(halves.testing, best)], labels[halves.testing], [letter])
        ranks = range(1, len(best) + 1)
        rows += list(zip([letter] * len(best), ranks, best.tolist(), of_letter[best], held_out, strict=True))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"auc": float, "auc_held_out": float})


def best_dimension(vectors: Float[np.ndarray, "images width"], labels: np.ndarray, halves: Halves) -> pd.DataFrame:
    """The same for dimensions of the stream, the best one a letter, with either sign."""
    found = letter_features(np.concatenate([vectors, -vectors], axis=1), labels, halves, most=1)
    return found.assign(feature=found["feature"] % vectors.shape[1])


def _differences(
    vectors: Float[np.ndarray, "images features"], labels: np.ndarray, letters: Sequence[str]
) -> Float[np.ndarray, "letters features"]:
    """The mean over a letter's images less that over the others, in standard deviations; 0 for what never varies."""
    spread = vectors.std(0, dtype=np.float64)
    means = [
        vectors[labels == letter].mean(0, dtype=np.float64) - vectors[labels != letter].mean(0, dtype=np.float64)
        for letter in letters
    ]
    return np.divide(means, spread, out=np.zeros((len(letters), vectors.shape[1])), where=spread > 0)


def letter_means(
    vectors: Float[np.ndarray, "images features"],
    labels: np.ndarray,
    photos: np.ndarray,
    letters: Sequence[str],
) -> Float[np.ndarray, "letters features"]:
    """The mean of each feature over a letter's photos, each photo being the mean of its images."""
    means = []
    for letter in letters:
        photo: Int[np.ndarray, images] = np.unique(photos[labels == letter], return_inverse=True)[1]
        weights = 1 / np.bincount(photo)[photo]
        means.append(np.average(vectors[labels == letter].astype(np.float64), axis=0, weights=weights))
    return np.stack(means)


def shown_features(features: pd.DataFrame, letters: pd.DataFrame, most: int) -> list[int]:
    """Of one site: the features of the letters' lists, all of them, then the most active, up to `most` in all.

    `features` is of `features.feature_rows`, `letters` of `letter_features`. The first of every list come first, then
    the second, and so on. The activity of a feature is the sum of its means over image and over text tokens. A dead
    feature fires on neither and is never added.
    """
    of_letters = letters.sort_values("rank", kind="stable")["feature"].drop_duplicates().tolist()
    alive = features[features["modality"].notna() & ~features["feature"].isin(of_letters)]
    activity = (alive["image_mean"] + alive["text_mean"]).to_numpy()
    more = alive["feature"].to_numpy()[np.argsort(-activity, kind="stable")]
    return of_letters + more[: max(most - len(of_letters), 0)].tolist()


def kind_of(modality: float, bounds: Sequence[float]) -> str:
    """The kind of a feature by its modality score; empty without a score."""
    low, high = bounds
    if np.isnan(modality):
        return ""
    return IMAGE_ONLY if modality > high else TEXT_ONLY if modality < low else SHARED


def chosen_features(
    folders: tuple[Path, Path],
    sites: Sequence[str],
    sample: pd.DataFrame,
    features: pd.DataFrame,
    settings: ExamplesParams,
    bounds: Sequence[float],
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What detects each letter (site, reads, and `COLUMNS`), and the features that are shown.

    `folders` have the features and the stream of the images of `sample`, `features` is the table of `feature_rows`.
    The second table has their rows with `kind`, and `letters`: the mean on each letter, in the order of their names.
    """
    ids, labels, photos = (sample[column].to_numpy() for column in ("image_id", "label", "photo"))
    halves, told, shown = halves_of(labels, sample["group"].to_numpy(), seed), [], []
    for site in sites:
        vectors, stream = (activations.read(folder, site, POSITION, list(ids)) for folder in folders)
        of_site = letter_features(vectors, labels, halves, settings.letters)
        told += [
            of_site.assign(site=site, reads=AUTOENCODER),
            best_dimension(stream, labels, halves).assign(site=site, reads=STREAM),
        ]
        rows = features[features["site"] == site].set_index("feature", drop=False)
        chosen = shown_features(rows, of_site, settings.features)
        means = letter_means(vectors[:, chosen], labels, photos, sorted(set(labels)))
        kinds = [kind_of(score, bounds) for score in rows.loc[chosen, "modality"]]
        shown.append(rows.loc[chosen].assign(kind=kinds, letters=list(means.T)))
    return pd.concat(told, ignore_index=True), pd.concat(shown, ignore_index=True)
