"""The activation tables: one Parquet file a site, one row an image and position, one row group a position.

`data/activations/SITE.parquet` has the columns image_id, position and vector (fixed-size list, float16 or float32).
The file metadata of every table names all sites of the run in order of depth, so that a reader never lists the folder.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Float32
from pydantic import Field

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError
from signbridge.core.finite import check_finite

# In order of depth; the layers follow: pixels, what the vision tower hands on, the projector, block 0's input.
SITES_BEFORE_LAYERS = ("pixels", "vision", "projector", "embedding")
# Which token's vector: the last of the prompt, the last fed back while answering, the mean over image tokens.
TOKEN_POSITIONS = ("prompt_last", "answer_last", "image_mean")
# In tables of predictions, beside the sites: what was read from the text of the answer alone.
TEXT_SITE, TEXT_POSITION = "answer", "text"
NOT_FINITE = (
    "Try dtype bfloat16 or float32 for the model in models.yaml, and `dvc repro`; else its weights are damaged."
)
POSITIONS_OF_SITE = {"pixels": ("flat",), "vision": ("image_mean",), "projector": ("image_mean",)}


def layer_site(block: int) -> str:
    """The site after decoder block `block` (0-based): `layer_16`."""
    return f"layer_{block:02d}"


def block_of(site: str) -> int | None:
    """The decoder block that `site` lies behind, 0-based: 16 of `layer_16`. None before the first."""
    return int(site.removeprefix("layer_")) if site.startswith("layer_") else None


def positions_of(site: str) -> tuple[str, ...]:
    """The positions at which `site` is read."""
    return POSITIONS_OF_SITE.get(site, TOKEN_POSITIONS)


def write(
    folder: Path,
    site: str,
    image_ids: list[str],
    vectors: dict[str, Float[np.ndarray, "images width"]],
    made_by: dict[str, Any],
) -> None:
    """Write the table of one site: `vectors` by position, each in the order of `image_ids`.

    `made_by` must hold `sites`, all sites of the run in order of depth. Raises `SignBridgeError` if a number is not
    finite.
    """
    for position, rows in vectors.items():
        check_finite(rows, f"{site} at {position}", image_ids, NOT_FINITE, "image")
    stacked = np.concatenate(list(vectors.values()))
    width = stacked.shape[1]
    table = pa.table(
        {
            "image_id": image_ids * len(vectors),
            "position": np.repeat(list(vectors), len(image_ids)),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(stacked.reshape(-1)), width),
        }
    )
    tables.write(table, folder / f"{site}.parquet", made_by, rows_together=len(image_ids))


def sites(folder: Path) -> list[str]:
    """All sites of the run that wrote `folder`, in order of depth."""
    return tables.made_by(folder / "pixels.parquet")["sites"]


def read(folder: Path, site: str, position: str, image_ids: list[str]) -> Float32[np.ndarray, "images width"]:
    """The vectors of `site` at `position`, in the order of `image_ids`, as float32.

    Raises `SignBridgeError` if the site has no such position, an image has no row, or a number is not finite.
    """
    table = tables.read_arrow(folder / f"{site}.parquet", where=("position", position))
    if not len(table):
        there = ", ".join(positions_of(site))
        raise SignBridgeError(f"site '{site}' has no position '{position}'. There are: {there}.")
    row_of = {image_id: row for row, image_id in enumerate(table["image_id"].to_pylist())}
    missing = [image_id for image_id in image_ids if image_id not in row_of]
    if missing:
        raise SignBridgeError(f"{folder}/{site}.parquet: no row for image '{missing[0]}'. Rerun `dvc repro extract`.")
    vectors = table["vector"].combine_chunks()
    flat = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)
    chosen = flat[[row_of[image_id] for image_id in image_ids]]
    check_finite(chosen, f"{folder}/{site}.parquet at {position}", image_ids, NOT_FINITE, "image")
    return chosen.astype(np.float32)


Layers = Annotated[int, Field(ge=0)] | Literal["all"]  # how many, evenly spread


def evenly_spread(wanted: Layers, sites: Sequence[str]) -> list[str]:
    """`wanted` of `sites`, from the first to the last; of one alone that in the middle; of all, or more, every one."""
    number = len(sites) if wanted == "all" else min(wanted, len(sites))
    if number <= 1:
        return [sites[len(sites) // 2]] * number
    return [sites[round(index * (len(sites) - 1) / (number - 1))] for index in range(number)]
