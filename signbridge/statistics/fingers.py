"""Which features track a finger: correlations with the joint angles of drawn hands, over photos.

A photo's images are averaged, as its hand is one. Shuffled hands, each photo with the angles of another, say how large
the largest correlation of all features and joints gets by chance, at all places together, as they are shuffled alike; a
p-value is the share of shuffles whose largest is as large (Westfall and Young 1993, max-T), so it holds however many
features, joints and places were tried. As letters differ in their fingers, a feature of a letter correlates with them
all: so the same is asked within letters, where features and angles are taken from their means of each letter and hands
are shuffled among the photos of one letter. Those are two questions, each with p-values of its own.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from pydantic import Field

from signbridge.core.params import Section
from signbridge.core.tables import Metric

COLUMNS = ["reads", "site", "feature", "position", "finger", "joint", "r", "p", "within_r", "within_p"]
_FEATURES_AT_ONCE = 4096
_SHUFFLES_AT_ONCE = 50
_TIE = 1e-5  # shuffles are reckoned in float32, and of few photos many a shuffle leaves the hands as they were
_STILL = 1e-9  # of a column's length: all that rounding leaves of one that does not vary


class FingerParams(Section):
    """The section `sae_fingers`."""

    draws: int = Field(ge=1)  # of shuffled hands
    p: float = Field(gt=0, lt=1)  # below which a feature counts as tracking a joint
    listed: int = Field(ge=1)  # features of a place, at most, in the table


class Hands(NamedTuple):
    """The hands of some photos."""

    angles: pd.DataFrame  # degrees: a row a photo, a column a joint (`index_pip`)
    letters: np.ndarray  # of each photo


class Place(NamedTuple):
    """Where features are read."""

    site: str
    position: str
    features: Callable[[], Float[np.ndarray, "photos _"]]  # read when it is called: all places may be too much at once


class Tracked(NamedTuple):
    """Of each feature the joint that it goes with most."""

    joint: Int[np.ndarray, " features"]
    r: Float[np.ndarray, " features"]
    p: Float[np.ndarray, " features"]


def by_photo(values: Float[np.ndarray, "images columns"], photos: np.ndarray) -> Float[np.ndarray, "photos columns"]:
    """The mean of each photo's images, photos sorted by name."""
    places = np.unique(photos, return_inverse=True)[1]
    sums = np.zeros((places.max() + 1, values.shape[1]))
    np.add.at(sums, places, values)
    return sums / np.bincount(places)[:, None]


def tracked(
    features_of_places: Iterable[Float[np.ndarray, "photos _"]],
    hands: Hands,
    draws: int,
    generator: np.random.Generator,
    within: bool,
) -> list[Tracked]:
    """By place the strongest Pearson correlation of each feature with a joint, and its p-value, family-wise over all.

    `within` letters: of what is left without each letter's mean. A feature or joint that does not vary has r = 0.
    """
    angles = hands.angles.to_numpy(np.float64)
    groups = hands.letters if within else np.zeros(len(angles), int)
    angles = _standardised(angles, groups)
    orders = np.stack([_shuffled_within(groups, generator) for _ in range(draws)])
    found, largest = [], np.zeros(draws)
    for features in features_of_places:
        features = _standardised(features, groups)
        r = features.T @ angles
        joint = np.abs(r).argmax(1)
        found.append((joint, np.take_along_axis(r, joint[:, None], 1)[:, 0]))
        largest = np.maximum(largest, _largest_by_chance(features, angles, orders))
    largest.sort()
    return [
        Tracked(joint, r, (1 + draws - np.searchsorted(largest, np.abs(r) - _TIE)) / (1 + draws)) for joint, r in found
    ]


def tracking_table(
    reads: str, places: Sequence[Place], hands: Hands, settings: FingerParams, generator: np.random.Generator
) -> tuple[pd.DataFrame, dict[tuple[str, str, str], dict[str, float]]]:
    """The rows of `plots/sae_fingers.csv`, and by reads, site and position how many features track a joint there.

    A row a feature whose p-value is small over all photos or within letters, with its strongest correlation of either
    kind; the joint is that of the smaller p-value; place by place, strongest first. Counts: `tracking`,
    `tracking_within_letters`, and `alive`, the features that vary at all.
    """
    over, within = (
        tracked((place.features() for place in places), hands, settings.draws, generator, one) for one in (False, True)
    )
    tables, counts = [pd.DataFrame(columns=COLUMNS)], {}
    for place, of_all, of_letters in zip(places, over, within, strict=True):
        table = _table(reads, place, of_all, of_letters, np.array(hands.angles.columns))
        small = (table["p"] < settings.p) | (table["within_p"] < settings.p)
        strength = np.maximum(table["r"].abs(), table["within_r"].abs())
        listed = table.assign(strength=strength)[small].sort_values("strength", ascending=False, kind="stable")
        tables += [listed.head(settings.listed)[COLUMNS]] if small.any() else []
        counts[reads, place.site, place.position] = {
            "alive": int((np.ptp(place.features(), axis=0) > 0).sum()),
            "tracking": int((of_all.p < settings.p).sum()),
            "tracking_within_letters": int((of_letters.p < settings.p).sum()),
        }
    return pd.concat(tables[1:] or tables, ignore_index=True), counts


def _table(reads: str, place: Place, over: Tracked, within: Tracked, joints: np.ndarray) -> pd.DataFrame:
    """A row a feature."""
    told = np.where(within.p < over.p, within.joint, over.joint)
    finger, joint = np.array([name.split("_", 1) if "_" in name else (name, name) for name in joints[told]]).T
    return pd.DataFrame(
        {
            "reads": reads, "site": place.site, "feature": np.arange(len(over.r)), "position": place.position,
            "finger": finger, "joint": joint, "r": over.r, "p": over.p, "within_r": within.r, "within_p": within.p,
        }
    )  # fmt: skip


def finger_metrics(counts: dict[tuple[str, str, str], dict[str, float]]) -> dict[str, Metric]:
    """Of each that is read the share of features that vary which track a joint, at its last site; `counts` by place."""
    metrics: dict[str, Metric] = {}
    for (reads, _, position), of_place in counts.items():  # in order of depth: the last site stays
        alive = max(of_place["alive"], 1)
        for name in ("tracking", "tracking_within_letters"):
            metrics[f"fingers_{reads}_{position}_{name}"] = of_place[name] / alive
    return metrics


def _largest_by_chance(
    features: Float[np.ndarray, "photos features"],
    angles: Float[np.ndarray, "photos joints"],
    orders: Int[np.ndarray, "draws photos"],
) -> Float[np.ndarray, " draws"]:
    """The largest absolute correlation of all where hands are in another of the `orders`, by draw."""
    largest = np.zeros(len(orders))
    for start in range(0, len(orders), _SHUFFLES_AT_ONCE):
        some = orders[start : start + _SHUFFLES_AT_ONCE]
        shuffled = angles[some].transpose(1, 0, 2).reshape(len(angles), -1).astype(np.float32)
        for first in range(0, features.shape[1], _FEATURES_AT_ONCE):
            part = features[:, first : first + _FEATURES_AT_ONCE].astype(np.float32)
            found = np.abs(part.T @ shuffled).max(0).reshape(len(some), -1).max(1)
            largest[start : start + len(some)] = np.maximum(largest[start : start + len(some)], found)
    return largest


def _shuffled_within(groups: np.ndarray, generator: np.random.Generator) -> Int[np.ndarray, " photos"]:
    order = np.arange(len(groups))
    for group in np.unique(groups):
        here = np.flatnonzero(groups == group)
        order[here] = generator.permutation(here)
    return order


def _standardised(
    values: Float[np.ndarray, "photos columns"], groups: np.ndarray
) -> Float[np.ndarray, "photos columns"]:
    """Columns without the mean of each group, of length 1; those that do not vary are zeros."""
    values, places = values.astype(np.float64), np.unique(groups, return_inverse=True)[1]
    left = values - by_photo(values, groups)[places]
    lengths = np.linalg.norm(left, axis=0)
    varies = lengths > _STILL * np.linalg.norm(values, axis=0)
    return np.divide(left, lengths, out=np.zeros_like(left), where=varies)
