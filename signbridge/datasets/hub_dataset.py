"""A dataset of the Hugging Face hub at one commit: its Parquet files, read a few rows at a time; no code of it is run.

https://huggingface.co/docs/hub/datasets-parquet: the pictures are files in a column (`bytes` and `path`), labels are
text, or numbers whose names stand in the schema.
"""

import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from signbridge.core.errors import SignBridgeError
from signbridge.datasets.downloads import COMMIT, HUB_ID, check_room, of_hub, unanswered
from signbridge.datasets.folder_layout import SPLIT_CALLED, SPLITS
from signbridge.datasets.image_folder import Images, PhotosEntry, Read, reader_of
from signbridge.datasets.images import LabelledImage, LeftOut

ROWS_TOGETHER = 16  # a camera's photos are megabytes each
BUFFER = 2**20  # bytes of a file that are read at once; a page, which may be a row group, is in memory as a whole
NO_LABEL = "without a label"
OF = re.compile(r"-\d{5}-of-(\d{5})(?=[.-])")  # how the hub's own library numbers the files of a split


class HubParams(PhotosEntry):
    """An entry of `datasets` with `source: hub`."""

    source: Literal["hub"]
    hub_id: str = Field(pattern=HUB_ID)
    revision: str = Field(pattern=COMMIT)
    files: str = "*.parquet"  # which of its files, with * and ?
    image: str = "image"  # the column of the pictures
    label: str = "label"  # and of their labels
    signer: str | None = None  # and of the people


def fetch(params: HubParams) -> Images:
    """The dataset, each image called after its split and its row in it, `train-00421`, and where it came from.

    Raises `SignBridgeError` if a file cannot be had or read, or a column is not there or of another type.
    """
    files = _by_split(_downloaded(params))
    for path in (path for paths in files.values() for path in paths):
        _check_columns(path, params)
    left_out = LeftOut()
    provenance = {"from": params.hub_id, "revision": params.revision, "left_out": left_out.found}
    return Images(_images(files, params, reader_of(params, left_out), left_out), provenance)


def _downloaded(params: HubParams) -> dict[str, Path]:
    """The files by name, in the hub client's cache; without a network, if all are there."""
    with of_hub(params.hub_id, params.revision):
        from huggingface_hub import constants, errors, snapshot_download

        is_silent = unanswered(params.hub_id, params.revision) is not None
        where = {"repo_type": "dataset", "revision": params.revision, "allow_patterns": [params.files]}
        where["local_files_only"] = is_silent
        with suppress(errors.DryRunError):  # no network: nothing is downloaded
            planned = snapshot_download(params.hub_id, **where, dry_run=True)
            missing = sum(file.file_size or 0 for file in planned if file.will_download)
            check_room(Path(constants.HF_HUB_CACHE), missing / 1e9, "HF_HOME")
        folder = Path(snapshot_download(params.hub_id, **where))
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.parquet"))
    names = [name for name in names if fnmatch(name, params.files)]
    if not names:
        raise SignBridgeError(
            f"{params.hub_id}: no file is called {params.files} at {params.revision[:12]}. Choose a commit that has "
            "Parquet files, as the branch refs/convert/parquet has, or correct `files` in datasets.yaml."
        )
    of_split = Counter(OF.sub("", name) for name in names)
    for name in names:  # a cache that was filled in part
        if (numbered := OF.search(name)) and of_split[OF.sub("", name)] < int(numbered[1]):
            raise SignBridgeError(
                f"{params.hub_id}: {name} is there, but not all {int(numbered[1])} files of that name. Run it again "
                "where there is a network."
            )
    return {name: folder / name for name in names}


def _by_split(files: dict[str, Path]) -> dict[str, list[Path]]:
    """The files of each split, by name: the split is the first word of the file's or folder's name that is one."""
    found: dict[str, list[Path]] = {}
    for name, path in files.items():
        words = re.split(r"[/._-]", "/".join(reversed(name.split("/"))).lower())
        split = next((SPLIT_CALLED[word] for word in words if word in SPLIT_CALLED), "all")
        found.setdefault(split, []).append(path)
    order = {split: place for place, split in enumerate(SPLITS)}
    return dict(sorted(found.items(), key=lambda item: order.get(item[0], len(order))))


def _check_columns(path: Path, params: HubParams) -> None:
    with _opened(path, params.hub_id) as file:
        schema = file.schema_arrow
    for key in ("image", "label", "signer"):
        name = getattr(params, key)
        if name is not None and name not in schema.names:
            raise SignBridgeError(
                f"{params.hub_id}: no column '{name}'. Set `{key}` in datasets.yaml to one of: "
                f"{', '.join(schema.names)}."
            )
    kind = schema.field(params.image).type
    if not (pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0) and not _is_binary(kind):
        raise SignBridgeError(
            f"{params.hub_id}: column '{params.image}' is {kind}, no pictures. Correct `image` in datasets.yaml."
        )
    kind = schema.field(params.label).type
    if not (pa.types.is_integer(kind) or _is_text(kind)):
        raise SignBridgeError(
            f"{params.hub_id}: column '{params.label}' is {kind}, no labels. Correct `label` in datasets.yaml."
        )


def _images(files: dict[str, list[Path]], params: HubParams, read: Read, left_out: LeftOut) -> Iterator[LabelledImage]:
    for split, paths in files.items():
        row = 0
        for path in paths:
            with _opened(path, params.hub_id) as file:
                names = _names_of_labels(file.schema_arrow, params.label)
                for cells in _rows(file, params):
                    image_id, row = f"{split}-{row:05d}", row + 1
                    label = _label(cells[params.label], names, params)
                    if label is None:
                        left_out.add(NO_LABEL, image_id)
                        continue
                    signer = None if params.signer is None else _signer(cells[params.signer], image_id, params)
                    content = _content(cells[params.image], image_id, params)
                    shown = f"{params.hub_id}, {image_id}"
                    yield LabelledImage(image_id, label, split, partial(read, content, shown, image_id), signer=signer)


def _rows(file: pq.ParquetFile, params: HubParams) -> Iterator[dict[str, Any]]:
    columns = [name for name in (params.image, params.label, params.signer) if name is not None]
    try:
        for batch in file.iter_batches(ROWS_TOGETHER, columns=columns):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise _damaged(params.hub_id, error) from None


def _opened(path: Path, hub_id: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(hub_id, error) from None


def _damaged(hub_id: str, error: Exception) -> SignBridgeError:
    reason = " ".join(str(error).split())[:100]
    return SignBridgeError(
        f"{hub_id}: a file of it is no readable Parquet ({reason}). Remove it from the hub's cache, and run it again."
    )


def _names_of_labels(schema: pa.Schema, column: str) -> list[str] | None:
    """What the numbers of a `ClassLabel` stand for; None where the schema does not say."""
    try:
        said = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return [str(name) for name in said]


def _label(cell: int | str | None, names: list[str] | None, params: HubParams) -> str | None:
    """The label; None where there is none, which the hub's library writes as -1."""
    if cell is None or cell == "" or cell == -1:
        return None
    if isinstance(cell, int) and names is not None:
        if not 0 <= cell < len(names):
            raise SignBridgeError(f"{params.hub_id}: a label is {cell}, of which there are {len(names)}.")
        cell = names[cell]
    return str(cell).upper() if params.upper else str(cell)


def _signer(cell: Any, image_id: str, params: HubParams) -> str:
    if cell is None or cell == "":
        raise SignBridgeError(
            f"{params.hub_id}, {image_id}: no signer in column '{params.signer}'. Leave `signer` out in datasets.yaml."
        )
    return str(cell)


def _content(cell: Any, image_id: str, params: HubParams) -> io.BytesIO | SignBridgeError:
    content = cell.get("bytes") if isinstance(cell, dict) else cell
    if content is None:
        return SignBridgeError(f"{params.hub_id}, {image_id}: the picture is not in the file. Set on_unreadable: skip.")
    return io.BytesIO(content)


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
