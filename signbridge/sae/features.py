"""What was read of autoencoders, as tables: by item and by feature, and the features of the sample's images."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Float, Int

from signbridge.core import activations, tables
from signbridge.core.shards import vectors_of

KINDS = ("image", "text")  # of tokens
MODEL, TWIN, STREAM = "model", "untrained_twin", "stream"  # whose features, or the model's dimensions
AUTOENCODER = "sae"  # its features, beside dimensions of the stream
POSITIONS = ("prompt_last", "image_mean")  # of which the features of the sample are kept
_AS_READ = ("tokens", "error", "active", "nll", "nll_sae", "nll_zero")


def deviations(
    tokens: Int[np.ndarray, "items"], squares: Float[np.ndarray, "items"], totals: Float[np.ndarray, "items width"]
) -> Float[np.ndarray, "items"]:
    """The squared distance of each item's vectors from the mean vector of all items, summed over its tokens.

    From each item's number of vectors, the sum of their squared entries, and their sum.
    """
    mean = totals.sum(0) / tokens.sum()
    return squares - 2 * totals @ mean + tokens * (mean @ mean)


def item_table(site: str, items: dict[str, tuple[Sequence[str], list[Path]]]) -> pa.Table:
    """A row an item of either kind, by `kind` its ids and shards (`splicing.py`), in order.

    Columns: kind, item, tokens, error, active, nll, nll_sae, nll_zero, deviation (see `deviations`) and mass, a list
    by feature: the sum of its activations over the item's tokens.
    """
    parts = []
    for kind, (ids, shards) in items.items():
        read = {name: vectors_of(shards, f"{site}.{name}") for name in (*_AS_READ, "squares", "total", "mass")}
        mass = read["mass"]
        columns = {
            "kind": [kind] * len(ids),
            "item": list(ids),
            **{name: read[name] for name in _AS_READ},
            "deviation": deviations(read["tokens"], read["squares"], read["total"]),
            "mass": pa.FixedSizeListArray.from_arrays(pa.array(mass.reshape(-1)), mass.shape[1]),
        }
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def feature_rows(site: str, shards: dict[str, list[Path]]) -> pd.DataFrame:
    """A row a feature: site, feature, by kind of token its mean activation and on what share of tokens it fires.

    `modality` is the mean on image tokens over the sum of both means, so that the kinds count as if there were as many
    tokens of either; NaN for a feature that fires on neither, which is dead.
    """
    columns: dict[str, Any] = {}
    for kind in KINDS:
        tokens = vectors_of(shards[kind], f"{site}.tokens").sum()
        for name, read in (("mean", "mass"), ("fires", "fires")):
            columns[f"{kind}_{name}"] = vectors_of(shards[kind], f"{site}.{read}").sum(0, dtype=np.float64) / tokens
    modality = modality_scores(columns["image_mean"], columns["text_mean"])
    features = len(modality)
    return pd.DataFrame({"site": [site] * features, "feature": np.arange(features), **columns, "modality": modality})


def write_features(
    folder: Path,
    sites: Collection[str],
    shards: list[Path],
    image_ids: list[str],
    made_by: dict[str, Any],
    rows: Int[np.ndarray, "images"] | None = None,
) -> None:
    """Write `SITE.parquet` to `folder`, the features of images by position, from the shards of `FeatureReader`.

    `rows` is which image of the shards each of `image_ids` has; without it they are the same, in order.
    """
    for site in sites:
        vectors = {position: vectors_of(shards, f"{site}.{position}") for position in POSITIONS}
        if rows is not None:
            vectors = {position: read[rows] for position, read in vectors.items()}
        activations.write(folder, site, image_ids, vectors, made_by)


def modality_scores(image: Float[np.ndarray, "..."], text: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Mean activation on image tokens over that on both kinds; NaN without any."""
    both = image + text
    return np.divide(image, both, out=np.full(np.shape(both), np.nan), where=both > 0)


def items_of(folder: Path, site: str) -> tuple[pd.DataFrame, Float[np.ndarray, "items features"]]:
    """The table of `item_table` without its masses, and the masses."""
    table = tables.read_arrow(folder / f"{site}.parquet")
    mass = table["mass"].combine_chunks()
    masses = mass.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)
    return table.drop_columns("mass").to_pandas(), masses
