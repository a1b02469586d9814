"""The contextual text vectors of one text layer, on disk in 8 or 16 bits an entry, read a block at a time.

A safetensors file with `vectors` (rows x width, float8 e4m3 or float16) and `scale` (rows, float32). Each row is
stored stretched so that its largest entry is the largest that the format is used for, and `scale` is one over the
length of what was stored: a stored row times its scale is a unit vector again, whatever rounding did to its length.

The text index on disk: what each row is in `contexts.parquet`, its vector at a text layer in `SITE.safetensors`.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from torch import Tensor

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError, check_readable, refusal
from signbridge.core.pipeline import how_to_get, repro
from signbridge.core.tables import whole_file

CONTEXTS = "contexts.parquet"  # of a text index: what each row is
# How each kind is called in the file's header, its type, and what the largest entry of a row becomes.
_STORAGE = {"float8": ("F8_E4M3", torch.float8_e4m3fn, 448.0), "float16": ("F16", torch.float16, 1.0)}
_ROWS_IN_CACHE = 1024  # expanded together: all at once leaves the cache, fewer make the threads meet more often
_ROWS_COPIED = 4096  # from file to file at once


class StoredRows(NamedTuple):
    """Rows as they lie in a file, to be written into another as they are."""

    stored: Tensor  # rows x width, in the type of the file
    scale: Float[np.ndarray, " rows"]


def write(
    path: Path | str,
    batches: Iterable[Float[np.ndarray, "_ _"] | StoredRows],
    rows: int,
    width: int,
    storage: Literal["float8", "float16"],
) -> None:
    """Write `rows` vectors of `width`, which come in batches, to `path`, whole or not at all.

    Only one batch is in memory at a time. Their lengths are not kept; a vector of zeros stays one; rows of another
    file (`stored_rows`) are copied bit by bit. Raises `SignBridgeError` for a vector that is not finite, and
    `ValueError` if the batches are not `rows` x `width` or rows were stored otherwise.
    """
    kind, dtype, largest = _STORAGE[storage]
    scale, done = np.empty(rows, np.float32), 0
    header, start = _header(kind, dtype, rows, width)
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        file.write(header)
        file.seek(start)
        for batch in batches:
            shape = tuple((batch.stored if isinstance(batch, StoredRows) else batch).shape)
            if shape[1] != width or done + shape[0] > rows:
                raise ValueError(f"a batch of {shape} after {done} rows, where {rows} x {width} were announced")
            if not isinstance(batch, StoredRows):
                batch = _stored(torch.from_numpy(batch), dtype, largest, done)
            if batch.stored.dtype != dtype:
                raise ValueError(f"rows that are stored in {batch.stored.dtype}, where {dtype} was announced")
            file.write(batch.stored.view(torch.uint8).numpy().data)
            scale[done : done + shape[0]] = batch.scale
            done += shape[0]
        if done != rows:
            raise ValueError(f"only {done} rows came, where {rows} were announced")
        file.seek(len(header))
        file.write(scale.data)


class StoredVectors:
    """The vectors in a file that `write` wrote: memory-mapped, so only the blocks that are asked for are read."""

    rows: int
    width: int

    def __init__(self, vectors, scale: Float[Tensor, " rows"]):
        """`vectors` is what safetensors' `get_slice` returns; `open` is the way to get it."""
        self.rows, self.width = vectors.get_shape()
        self._vectors = vectors
        self._scale_in_file = scale
        self._scale = scale * 256 if vectors.get_dtype() == _STORAGE["float8"][0] else scale  # see _as_float16

    @classmethod
    def open(cls, path: Path | str) -> "StoredVectors":
        """The vectors at `path`. Raises `SignBridgeError` if there are none."""
        try:
            check_readable(path)
            file = safe_open(path, framework="pt")
            vectors, scale = file.get_slice("vectors"), file.get_tensor("scale")
        except FileNotFoundError:
            raise SignBridgeError(f"{path}: no such text vectors. {how_to_get(path)}") from None
        except (SafetensorError, OSError) as error:
            if said := refusal(error, path):
                raise said from None
            first_line = str(error).splitlines()[0]
            raise SignBridgeError(
                f"{path}: no readable text vectors ({first_line}). Delete it and {repro(path)}."
            ) from None
        shape, kind = vectors.get_shape(), vectors.get_dtype()
        kinds = [name for name, *_ in _STORAGE.values()]
        if kind not in kinds or len(shape) != 2 or scale.dtype != torch.float32 or list(scale.shape) != shape[:1]:
            raise SignBridgeError(
                f"{path}: no text vectors but {kind} of shape {shape} with scales of shape {list(scale.shape)}. "
                f"Delete it and {repro(path)}."
            )
        return cls(vectors, scale)

    def block(
        self, start: int, stop: int, device: torch.device | str, out: Float[Tensor, "_ width"] | None = None
    ) -> Float[Tensor, "_ width"]:
        """Rows `start` to `stop` as unit vectors in float32 on `device`: in `out`, if given, which is far faster."""
        if out is None:
            out = torch.empty((stop - start, self.width), device=device)
        at_once = _ROWS_IN_CACHE if out.device.type == "cpu" else max(1, stop - start)
        stored, scale = self._vectors[start:stop].to(device), self._scale[start:stop, None].to(device)
        for part, of_part, unit in zip(*(rows.split(at_once) for rows in (stored, scale, out)), strict=True):
            unit.copy_(_as_float16(part)).mul_(of_part)
        return out

    def stored_rows(self, rows: Int[np.ndarray, " wanted"]) -> Iterator[StoredRows]:
        """These rows, in ascending order, as they are stored; never more than 4096 rows of the file in memory."""
        for window in np.split(rows, np.flatnonzero(np.diff(rows // _ROWS_COPIED)) + 1):
            if len(window):
                first = int(window[0])
                places = torch.from_numpy(window)
                stored = self._vectors[first : int(window[-1]) + 1][places - first]
                yield StoredRows(stored, self._scale_in_file[places].numpy())


def _header(kind: str, dtype: torch.dtype, rows: int, width: int) -> tuple[bytes, int]:
    """How a safetensors file begins, and where its vectors do: behind the scales, which need the wider alignment.

    safetensors itself writes only what is in memory as a whole.
    """
    scales, vectors = 4 * rows, dtype.itemsize * rows * width
    described = {
        "scale": {"dtype": "F32", "shape": [rows], "data_offsets": [0, scales]},
        "vectors": {"dtype": kind, "shape": [rows, width], "data_offsets": [scales, scales + vectors]},
    }
    text = json.dumps(described).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, 8 + len(text) + scales


def _stored(batch: Tensor, dtype: torch.dtype, largest: float, first: int) -> StoredRows:
    """The batch as it is stored. `first` is the number of its first row, for the message."""
    batch = batch.float()
    peak = batch.abs().amax(1, keepdim=True)
    if not peak.isfinite().all():
        place = first + int((~peak.isfinite()).nonzero()[0, 0])
        raise SignBridgeError(f"Text vector {place} is not finite: does the model overflow in half precision?")
    peak[peak == 0] = 1.0
    stored = (batch / peak * largest).to(dtype)
    length = torch.linalg.vector_norm(stored.float(), dim=1)
    return StoredRows(stored, torch.where(length > 0, 1 / length, 1.0).numpy())


def _as_float16(stored: Tensor) -> Float[Tensor, "rows width"]:
    """Float16 as it is, and 1/256 of float8: its bits moved up by 7, under the sign, are just that number's in float16.

    Torch's own conversion takes ten times as long a core (4.3 ns an entry, AVX2).
    """
    if stored.dtype == torch.float16:
        return stored
    signed = stored.view(torch.int8).to(torch.int16)  # the sign is in all the upper bits
    return signed.bitwise_left_shift_(7).bitwise_and_(~0x4000).view(torch.float16)


class TextIndex(NamedTuple):
    """An index, opened."""

    contexts: pd.DataFrame  # token_id, token, word, sentence, start, end; a row a vector
    vectors: dict[str, StoredVectors]  # by text site, in order of depth


def open_index(folder: Path) -> TextIndex:
    """The index in `folder`. Raises `SignBridgeError` if it is not there or not readable."""
    contexts = folder / CONTEXTS
    sites = tables.made_by(contexts)["sites"]
    return TextIndex(
        tables.read(contexts), {site: StoredVectors.open(folder / f"{site}.safetensors") for site in sites}
    )
