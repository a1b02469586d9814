"""The activation tables: one Parquet file a site, one row an image and position, one row group a position.

`data/activations/SITE.parquet` has the columns image_id, position and vector (fixed-size list, float16 or float32).
Of more images than `PART_IMAGES` it is a folder, `data/activations/SITE/part-00000.parquet` and so on, each part a
table of its own, with `_index.json`: their names in order, their images and digests. The file metadata of every table
names all sites of the run in order of depth, so that a reader never lists the folder.
"""

import mmap
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from pydantic import Field

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError
from signbridge.core.finite import check_finite
from signbridge.core.pipeline import repro
from signbridge.core.scratch import SCRATCH

# In order of depth; the layers follow: pixels, what the vision tower hands on, the projector, block 0's input.
SITES_BEFORE_LAYERS = ("pixels", "vision", "projector", "embedding")
# Which token's vector: the last of the prompt, the last fed back while answering, the mean over image tokens.
TOKEN_POSITIONS = ("prompt_last", "answer_last", "image_mean")
# In tables of predictions, beside the sites: what was read from the text of the answer alone.
TEXT_SITE, TEXT_POSITION = "answer", "text"
NOT_FINITE = (
    "Try dtype bfloat16 or float32 for the model in models.yaml, and `dvc repro`; else its weights are damaged."
)
PART_IMAGES = 65_536  # of one file: of a 7-billion model at three positions 1.6 GB
ROWS_TOGETHER = 4096  # that a reader holds beside what it returns
INDEX = "_index.json"  # readers of a folder of Parquet files pass over names that begin so
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


class Rows(NamedTuple):
    """Vectors that are read where they are wanted: all of them may be more than memory holds."""

    read: Callable[[int, int], Float[np.ndarray, "rows width"]]  # those from one row up to another


def write(
    folder: Path,
    site: str,
    image_ids: list[str],
    vectors: Mapping[str, Float[np.ndarray, "images width"] | Rows],
    made_by: dict[str, Any],
) -> None:
    """Write the table of one site: `vectors` by position, each in the order of `image_ids`.

    Up to `PART_IMAGES` images are one file, more of them a folder of parts and `_index.json`. One part of one position
    is in memory at a time. `made_by` must hold `sites`, all sites of the run in order of depth. Raises
    `SignBridgeError` if a number is not finite.
    """
    parts = [range(start, min(start + PART_IMAGES, len(image_ids))) for start in range(0, len(image_ids), PART_IMAGES)]
    if len(parts) <= 1:
        rows = range(len(image_ids))
        return tables.write_parts(_groups(site, image_ids, vectors, rows), folder / f"{site}.parquet", made_by)
    with tables.whole_folder(folder / site) as unfinished:
        written = []
        for number, rows in enumerate(parts):
            path = unfinished / f"part-{number:05d}.parquet"
            tables.write_parts(_groups(site, image_ids, vectors, rows), path, made_by)
            written.append({"file": path.name, "images": len(rows), "sha256": tables.file_sha256(path)})
        tables.write_json(unfinished / INDEX, {"images": len(image_ids), "parts": written})


def _groups(
    site: str, image_ids: list[str], vectors: Mapping[str, np.ndarray | Rows], rows: range
) -> Iterator[pa.Table]:
    """A row group a position, of the images in `rows`."""
    ids = image_ids[rows.start : rows.stop]
    for position, of_all in vectors.items():
        here = of_all.read(rows.start, rows.stop) if isinstance(of_all, Rows) else of_all[rows.start : rows.stop]
        check_finite(here, f"{site} at {position}", ids, NOT_FINITE, "image")
        yield pa.table(
            {
                "image_id": ids,
                "position": [position] * len(ids),
                "vector": pa.FixedSizeListArray.from_arrays(pa.array(here.reshape(-1)), here.shape[1]),
            }
        )


def files_of(folder: Path, site: str) -> list[Path]:
    """The Parquet files of one site, in order: one, or its parts.

    Raises `SignBridgeError` if a part is missing, or has other rows than the index says.
    """
    whole, index = folder / f"{site}.parquet", folder / site / INDEX
    if not index.is_file():
        return [whole]  # which may be missing: reading it says so
    said = tables.read_json(index)["parts"]
    for part in said:
        path = folder / site / part["file"]
        images = tables.count_rows(path) // len(tables.values_of_groups(path, "position"))
        if images != part["images"]:
            raise SignBridgeError(
                f"{path}: {images} images, {index} says {part['images']}. Delete {folder / site} and {repro(folder)}."
            )
    return [folder / site / part["file"] for part in said]


def check_digests(folder: Path, site: str) -> None:
    """Raises `SignBridgeError` naming a part of the site whose bytes are not those that were written."""
    index = folder / site / INDEX
    for part in tables.read_json(index)["parts"] if index.is_file() else ():
        path = folder / site / part["file"]
        if tables.file_sha256(path) != part["sha256"]:
            raise SignBridgeError(
                f"{path}: not the bytes that {index} names. Delete {folder / site} and {repro(folder)}."
            )


def sites(folder: Path) -> list[str]:
    """All sites of the run that wrote `folder`, in order of depth."""
    return made_by(folder, "pixels")["sites"]


def made_by(folder: Path, site: str) -> dict[str, Any]:
    """What made the table of one site."""
    return tables.made_by(files_of(folder, site)[0])


def check_own_basis(folder: Path) -> None:
    """Raises `SignBridgeError` if the vectors of `folder` are projected: none can be put back into the model."""
    project = made_by(folder, "pixels").get("store", {}).get("project", "none")
    if project != "none":
        raise SignBridgeError(
            f"{folder}: vectors are projected onto {project} random directions (extract.store.project in params.yaml). "
            "What edits the model needs its own: set project: none."
        )


def positions_in(folder: Path, site: str) -> list[str]:
    """The positions that `folder` has of a site."""
    return tables.values_of_groups(files_of(folder, site)[0], "position")


def image_ids(folder: Path, site: str) -> list[str]:
    """The images that `folder` has vectors of at a site, in order."""
    files, position = files_of(folder, site), positions_in(folder, site)[0]
    parts = (tables.batches(file, ["image_id"], ROWS_TOGETHER, of=("position", position)) for file in files)
    return [image_id for part in parts for batch in part for image_id in batch["image_id"].to_pylist()]


def read(
    folder: Path, site: str, position: str, image_ids: list[str], most_bytes: int | None = None
) -> Float[np.ndarray, "images width"]:
    """The vectors of `site` at `position`, in the order of `image_ids`, as float32.

    Beside what is returned a few rows are in memory. More than `most_bytes` are written to a file in scratch instead,
    in the table's own precision, and returned as a `numpy.memmap`: `discard` deletes the file. Raises
    `SignBridgeError` if the site has no such position, an image has no row, or a number is not finite.
    """
    files = files_of(folder, site)
    if position not in (there := tables.values_of_groups(files[0], "position")):
        raise SignBridgeError(f"site '{site}' has no position '{position}'. There are: {', '.join(there)}.")
    row_of = {image_id: row for row, image_id in enumerate(dict.fromkeys(image_ids))}
    vectors, missing = None, set(row_of)
    for file in files:
        for batch in tables.batches(file, ["image_id", "vector"], ROWS_TOGETHER, of=("position", position)):
            if vectors is None:
                kind = batch["vector"].type
                shape, stored = (len(row_of), kind.list_size), kind.value_type.to_pandas_dtype()
                vectors = _room_for(f"{site}-{position}", shape, stored, most_bytes)
            ids = batch["image_id"].to_pylist()
            kept = [at for at, image_id in enumerate(ids) if image_id in row_of]
            names = [ids[at] for at in kept]
            rows = batch["vector"].flatten().to_numpy(zero_copy_only=False).reshape(len(ids), -1)[kept]
            check_finite(rows, f"{file} at {position}", names, NOT_FINITE, "image")
            vectors[[row_of[name] for name in names]] = rows
            let_go(vectors)
            missing.difference_update(names)
    if missing:
        first = next(image_id for image_id in image_ids if image_id in missing)
        raise SignBridgeError(f"{files[0]}: no row for image '{first}'. Rerun {repro(folder)}.")
    if len(row_of) == len(image_ids):
        return vectors
    return vectors[[row_of[image_id] for image_id in image_ids]]


def _room_for(
    name: str, shape: tuple[int, int], stored: type, most_bytes: int | None
) -> Float[np.ndarray, "images width"]:
    """An array to be filled: in memory, or in a file of its own if it is too large.

    The file's name says which vectors it holds, and of which machine and process: `layer_16-prompt_last-x1y2@HOST@PID`.
    Other processes open it by that name, so that it cannot be unlinked before they are done.
    """
    if most_bytes is None or 4 * shape[0] * shape[1] <= most_bytes:
        return np.empty(shape, np.float32)
    (folder := SCRATCH / "vectors").mkdir(parents=True, exist_ok=True)
    handle, path = tempfile.mkstemp(f"@{platform.node()}@{os.getpid()}", f"{name}-", folder)
    os.close(handle)
    return np.memmap(path, stored, "w+", shape=shape)


def discard_orphans() -> None:
    """Delete the files of vectors that killed processes of this machine left on disk."""
    import psutil  # DVC brings it

    for path in (SCRATCH / "vectors").glob("*@*@*"):
        _, machine, process = path.name.split("@")
        if machine == platform.node() and not psutil.pid_exists(int(process)):
            path.unlink(missing_ok=True)


def let_go(vectors: np.ndarray) -> None:
    """Have vectors that lie in a file take no memory until they are looked at again."""
    if isinstance(vectors, np.memmap) and isinstance(vectors.base, mmap.mmap):
        vectors.base.madvise(mmap.MADV_DONTNEED)


def discard(vectors: np.ndarray) -> None:
    """Delete the file of vectors that `read` left on disk; of those in memory nothing."""
    if isinstance(vectors, np.memmap) and vectors.filename:
        Path(vectors.filename).unlink(missing_ok=True)


Layers = Annotated[int, Field(ge=0)] | Literal["all"]  # how many, evenly spread


def evenly_spread(wanted: Layers, sites: Sequence[str]) -> list[str]:
    """`wanted` of `sites`, from the first to the last; of one alone that in the middle; of all, or more, every one."""
    number = len(sites) if wanted == "all" else min(wanted, len(sites))
    if number <= 1:
        return [sites[len(sites) // 2]] * number
    return [sites[round(index * (len(sites) - 1) / (number - 1))] for index in range(number)]
