"""The strongest features of each class, by an autoencoder that others trained, and whether it fits the model at all.

As "Finding Language Concepts in a Multimodal Model" (2024) goes: the activations of a class's images are summed, and
the strongest features are listed, without those that say nothing of a class. Where the entry of the autoencoder names
such features (the published table left out ten), they are left out of the strongest. Else features that fire for every
class are left out, before the strongest are chosen. A feature fires for a class if it fires for any of its images. The
list says something only where the autoencoder reconstructs image tokens.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from pydantic import Field

from signbridge.core.errors import SignBridgeError
from signbridge.core.names import published_of_classes
from signbridge.core.params import AUTOENCODERS, Section
from signbridge.core.tables import Metric
from signbridge.statistics.autoencoders import Bounds

LISTED = ("class", "rank", "feature", "activation", "images_firing")
COLUMNS = [*LISTED, "description", "published", "fits"]
OF_KINDS = ("variance_explained", "fidelity", "zeros_cost", "l0")  # measures of how well it fits
Published = Mapping[str, Sequence[int]]  # features by class, as others published them


class ClassesParams(Section):
    """The section `classes` of stages/pretrained/params.yaml."""

    top: int = Field(ge=1)  # features listed of a class
    fits: float = Field(ge=0, le=1)  # variance explained, and fidelity, at image tokens; below, the table is marked
    shared: Bounds
    descriptions: str = Field(min_length=1)  # neuronpedia, none, or where an export lies


class ClassFeatures(NamedTuple):
    """The strongest features of each class, and how many features were dropped."""

    table: pd.DataFrame  # LISTED: `rank` from 1, `activation` the sum, `images_firing` the share of the class's images
    dropped: int  # features: those named, or those that fire for every class


def class_features(
    activations: Float[np.ndarray, "images features"],
    labels: Sequence[str],
    top: int,
    named: Collection[int] | None = None,
) -> ClassFeatures:
    """Up to `top` features of each class, in the order of their names; ties go to the lower index.

    The features `named` are left out of the `top`, so that fewer stay, and ranks count them, as the published code has
    it. Without names those that fire for every class are dropped first; none is where there is one class alone, which
    every feature of it would fire for. Raises `SignBridgeError` if a named one is not there.
    """
    if named and max(named) >= activations.shape[1]:
        raise SignBridgeError(
            f"{AUTOENCODERS}: dropped: there is no feature {max(named)}, they are 0 to {activations.shape[1] - 1}."
        )
    labels = np.asarray(labels)
    classes = np.unique(labels)
    fires = activations > 0
    for_class = np.stack([fires[labels == name].any(0) for name in classes])
    everywhere = for_class.all(0) if named is None and len(classes) > 1 else np.zeros(activations.shape[1], bool)
    rows = []
    for name in classes:
        of_class = labels == name
        sums = np.where(everywhere, 0, activations[of_class].sum(0, dtype=np.float64))
        strongest = np.argsort(-sums, kind="stable")[:top]
        for rank, feature in enumerate(strongest[sums[strongest] > 0], start=1):
            if named and feature in named:
                continue
            share = float(fires[of_class, feature].mean())
            rows.append((str(name), rank, int(feature), float(sums[feature]), share))
    return ClassFeatures(pd.DataFrame(rows, columns=list(LISTED)), len(named or ()) + int(everywhere.sum()))


def share_found(table: pd.DataFrame, published: Mapping[str, set[int]]) -> dict[str, float]:
    """By class, the share of its published features that `table` lists for it."""
    listed = table.groupby("class")["feature"].agg(set).to_dict()
    return {name: len(listed.get(name, set()) & features) / len(features) for name, features in published.items()}


def fit_findings(measures: pd.DataFrame) -> dict[str, Metric]:
    """How well it fits, at image and at text tokens, with intervals, from the table of `judged`; finite ones only."""
    findings: dict[str, Metric] = {}
    for row in measures[measures["measure"].isin(OF_KINDS)].itertuples():
        ends = {"": row.value, "_low": row.low, "_high": row.high}
        found = {f"{row.measure}_{row.modality}{end}": float(value) for end, value in ends.items()}
        findings |= {key: value for key, value in found.items() if np.isfinite(value)}
    return findings


def is_fitting(fit: Mapping[str, Metric], threshold: float) -> bool:
    """Whether the variance explained at image tokens and, where it is known, the fidelity there reach `threshold`."""
    explained = fit.get("variance_explained_image", -np.inf)
    return bool(explained >= threshold and fit.get("fidelity_image", threshold) >= threshold)


def with_published(table: pd.DataFrame, published: Published) -> pd.DataFrame:
    """The table with a column `published`: whether the feature is published for its class; empty for other classes."""
    of_classes = published_of_classes(published, table["class"].unique().tolist())
    known = [
        str(row["feature"] in of_classes[row["class"]]) if row["class"] in of_classes else ""
        for row in table.to_dict("records")
    ]
    return table.assign(published=known)


def published_findings(table: pd.DataFrame, published: Published) -> dict[str, Metric]:
    """For each class that has published features the share of them that `table` lists, and the mean of these shares."""
    found = share_found(table, published_of_classes(published, table["class"].unique().tolist()))
    if not found:
        return {"published_classes": 0}
    by_class = {f"published_found_{name}": share for name, share in found.items()}
    return {"published_classes": len(found), "published_found": float(np.mean(list(found.values()))), **by_class}
