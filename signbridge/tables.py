"""Parquet tables, each with what made it in its file metadata.

One writer for all, so that equal rows give equal bytes: zstd, no clock, no host name.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from signbridge.errors import SignBridgeError
from signbridge.whole_file import whole_file

_KEY = b"signbridge"


def write(table: pa.Table | pd.DataFrame, path: Path | str, made_by: dict[str, Any]) -> None:
    """Write `table` to `path` whole or not at all, with `made_by` (JSON-able) in its file metadata."""
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    table = table.replace_schema_metadata({_KEY: json.dumps(made_by, sort_keys=True)})
    with whole_file(path) as unfinished:
        pq.write_table(table, unfinished, compression="zstd")


def write_csv(table: pd.DataFrame, path: Path | str) -> None:
    """Write `table` to `path` whole or not at all, as DVC's plots take it: no index, shares to six digits."""
    with whole_file(path) as unfinished:
        table.round(6).to_csv(unfinished, index=False, lineterminator="\n")


def read(path: Path | str, columns: list[str] | None = None) -> pd.DataFrame:
    """Read the table at `path`. Raises `SignBridgeError` if it is missing or no Parquet file."""
    return _open(path, columns).to_pandas()


def read_arrow(path: Path | str, columns: list[str] | None = None) -> pa.Table:
    """Read the table at `path` as Arrow, for vectors that should not become Python objects."""
    return _open(path, columns)


def made_by(path: Path | str) -> dict[str, Any]:
    """What made the table at `path`: the dictionary it was written with."""
    return json.loads(_schema(path).metadata[_KEY])


def _schema(path: Path | str) -> pa.Schema:
    return _parquet(pq.read_schema, path)


def _open(path: Path | str, columns: list[str] | None) -> pa.Table:
    return _parquet(lambda where: pq.read_table(where, columns=columns), path)


def _parquet(reader: Any, path: Path | str) -> Any:
    try:
        return reader(path)
    except FileNotFoundError:
        raise SignBridgeError(f"{path}: no such table. Make it with `dvc repro`, or get it with `dvc pull`.") from None
    except pa.ArrowInvalid as error:
        first_line = str(error).splitlines()[0]
        raise SignBridgeError(
            f"{path}: not a readable Parquet table ({first_line}). Delete it and `dvc repro`."
        ) from None
