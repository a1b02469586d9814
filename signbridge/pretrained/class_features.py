"""From classes to features, as "Finding Language Concepts in a Multimodal Model" (2024) goes.

The activations of a class's images are summed, features that fire for every class are dropped, and the strongest are
listed. A feature fires for a class if it fires for any of its images.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

LISTED = ("class", "rank", "feature", "activation", "images_firing")


class ClassFeatures(NamedTuple):
    """The strongest features of each class, and how many features were dropped."""

    table: pd.DataFrame  # LISTED: `rank` from 1, `activation` the sum, `images_firing` the share of the class's images
    dropped: int  # features that fire for every class


def class_features(activations: Float[np.ndarray, "images features"], labels: Sequence[str], top: int) -> ClassFeatures:
    """Up to `top` features of each class, in the order of their names; ties go to the lower index.

    None is dropped where there is one class alone, which every feature of it would fire for.
    """
    labels = np.asarray(labels)
    classes = np.unique(labels)
    fires = activations > 0
    for_class = np.stack([fires[labels == name].any(0) for name in classes])
    everywhere = for_class.all(0) if len(classes) > 1 else np.zeros(activations.shape[1], bool)
    rows = []
    for name in classes:
        of_class = labels == name
        sums = np.where(everywhere, 0, activations[of_class].sum(0, dtype=np.float64))
        strongest = np.argsort(-sums, kind="stable")[:top]
        for rank, feature in enumerate(strongest[sums[strongest] > 0], start=1):
            share = float(fires[of_class, feature].mean())
            rows.append((str(name), rank, int(feature), float(sums[feature]), share))
    return ClassFeatures(pd.DataFrame(rows, columns=list(LISTED)), int(everywhere.sum()))


def published_of_classes(published: Mapping[str, Sequence[int]], classes: Sequence[str]) -> dict[str, set[int]]:
    """The published features of those classes that have any; `golden_retriever` is `golden retriever`."""
    by_name = {_plain(name): set(features) for name, features in published.items()}
    return {name: by_name[_plain(name)] for name in classes if _plain(name) in by_name}


def share_found(table: pd.DataFrame, published: Mapping[str, set[int]]) -> dict[str, float]:
    """By class, the share of its published features that `table` lists for it."""
    listed = table.groupby("class")["feature"].agg(set).to_dict()
    return {name: len(listed.get(name, set()) & features) / len(features) for name, features in published.items()}


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().casefold()
