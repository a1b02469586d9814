"""Which features track a finger: correlations with the joint angles of drawn hands, over photos.

The images of a photo are averaged, since they show one hand. Hands are shuffled over photos, and the largest
correlation of all features, joints and places is noted for each shuffle. The p-value of a correlation is the share of
shuffles whose largest correlation is as large (Westfall and Young 1993, max-T), so it holds however many features,
joints and places are tried. Letters differ in their fingers, so a feature of a letter correlates with fingers as well.
A second test therefore looks within letters: features and angles are taken from their means over the letter, and hands
are shuffled among the photos of one letter. Each test has p-values of its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from pydantic import Field

from signbridge.core import activations
from signbridge.core.names import POSITIONS
from signbridge.core.params import Section
from signbridge.core.tables import Metric
from signbridge.datasets.hands import joint_angles

COLUMNS = ["reads", "site", "feature", "position", "finger", "joint", "r", "p", "within_r", "within_p"]
_FEATURES_AT_ONCE = 4096
_SHUFFLES_AT_ONCE = 50
_TIE = 1e-5  # shuffles are computed in float32, and with few photos a shuffle may leave the hands as they are
_STILL = 1e-9  # of a column's length: what rounding leaves of a column that does not vary


class FingerParams(Section):
    """The section `fingers` of stages/sae/params.yaml."""

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


def tracked_fingers(
    folders: Mapping[str, Path],
    sites: Sequence[str],
    sample: pd.DataFrame,
    hands: pd.DataFrame,
    settings: FingerParams,
    generator: np.random.Generator,
) -> tuple[pd.DataFrame, dict[str, Metric]]:
    """The table of features that track a joint (`COLUMNS`), and the findings; both are empty unless hands were drawn.

    `folders` has the features of the images of `sample` (image_id, label, photo), by the model that they are of.
    `hands` are the rows of `data/hands.parquet` for these images.
    """
    first = sample.drop_duplicates("photo").sort_values("photo")
    hands = hands.set_index("image_id").loc[first["image_id"]]
    if not hands["drawn"].all():
        return pd.DataFrame(columns=COLUMNS), {}
    ids, photos, letters = sample["image_id"].tolist(), sample["photo"].to_numpy(), first["label"].to_numpy()
    found, counts = [], {}
    for reads, folder in folders.items():
        places = [
            Place(
                site, position,
                lambda folder=folder, site=site, position=position: by_photo(
                    activations.read(folder, site, position, ids), photos
                ),
            )
            for site in sites for position in POSITIONS
        ]  # fmt: skip
        rows, of_places = tracking_table(reads, places, Hands(joint_angles(hands), letters), settings, generator)
        found += [rows] if len(rows) else []
        counts |= of_places
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=COLUMNS)
    return table, finger_metrics(counts)


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
    """The rows of the table, and by reads, site and position how many features track a joint there.

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
    """For each model and position: of the features that vary, the share that tracks a joint, at the last site."""
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
