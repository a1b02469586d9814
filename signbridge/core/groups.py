"""What a split keeps whole and what the statistics resample: all images of a signer, a clip or a photo.

The coarsest of these that the dataset knows: two images of one person are alike in more than their letter.
"""

from collections.abc import Container
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from signbridge.core import params, tables
from signbridge.core.errors import SignBridgeError

SAMPLE = Path("data/sample.parquet")
Kind = Literal["signer", "clip", "photo"]
KINDS: tuple[Kind, ...] = ("signer", "clip", "photo")  # the coarsest first
By = Literal["auto", "signer", "clip", "photo"]


class Groups(NamedTuple):
    """The groups of a sample."""

    kind: Kind
    of_image: np.ndarray  # a name an image

    def findings(self) -> dict[str, int | str]:
        """What pages say of them."""
        return {"groups": len(np.unique(self.of_image)), "grouped_by": self.kind}


def groups_of(images: pd.DataFrame, by: By) -> Groups:
    """The groups of a table of images with the column `photo`, and `signer` and `clip` where they are known.

    `auto` is the coarsest that is known and of which there are two or more. Clips that share a photo are one group. A
    photo under two signers stays with each of them: such images are not drawn (`sampling.py`). Raises `SignBridgeError`
    if `by` names what the dataset does not know.
    """
    known = _known(images)
    if by != "auto" and by not in known:
        raise SignBridgeError(
            f"params.yaml: probe.grouped.by: the dataset knows no {by} of its images. It knows: {', '.join(known)}."
        )
    several = [kind for kind in known if len(images[kind].unique()) > 1]
    kind = by if by != "auto" else (several or known)[0]
    names = images[kind].to_numpy()
    return Groups(kind, _joined(names, images["photo"].to_numpy()) if kind == "clip" else names)


def read_sample(columns: list[str] | None = None, path: Path = SAMPLE) -> tuple[pd.DataFrame, Groups]:
    """Those columns of the sample (or all), photo, clip and signer where they are known, and `group`; and the groups.

    What the groups are is `probe.grouped.by` of the params. Raises `SignBridgeError` as `groups_of` and as reading a
    table does.
    """
    by = params.section("probe.grouped.by", By)
    there = tables.column_names(path) if columns is None else [*columns, "photo", *_known(tables.column_names(path))]
    sample = tables.read(path, list(dict.fromkeys(there)))
    groups = groups_of(sample, by)
    return sample.assign(group=groups.of_image), groups


def _known(columns: Container[str]) -> list[Kind]:
    return [kind for kind in KINDS if kind in columns]


def _joined(groups: np.ndarray, photos: np.ndarray) -> np.ndarray:
    """The first of the groups that are linked by photos, for each image."""
    names, group = np.unique(groups, return_inverse=True)
    _, photo = np.unique(photos, return_inverse=True)
    nodes = len(names) + photo.max() + 1
    links = coo_array((np.ones(len(group), bool), (group, len(names) + photo)), shape=(nodes, nodes))
    component = connected_components(links, directed=False)[1][: len(names)]
    _, first = np.unique(component, return_index=True)  # no component is of photos alone
    return names[first[component]][group]
