"""Files that are there whole or not at all; Parquet tables, each with what made it in its metadata; metrics.

A run that is killed leaves nothing half written behind.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from signbridge.core.errors import SignBridgeError, check_readable, refusal
from signbridge.core.pipeline import how_to_get, repro
from signbridge.core.scratch import check_may_write


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Yield where to write; what was written there becomes `path` when the block ends, and only then.

    The folder of `path` is made where it is missing. If the block raises, `path` stays as it was. Raises
    `SignBridgeError` if the operating system does not let it be written, and `PartDone` where a part alone is made.
    """
    path = Path(path)
    check_may_write(path)
    unfinished = path.with_name(f".{path.name}.unfinished")
    with _said_of(path, unfinished):
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        os.replace(unfinished, path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to write into; it becomes `path` when the block ends, in place of what was there.

    If the block raises, or is killed, `path` stays as it was. Between the two renames at the end there is none. Raises
    `SignBridgeError` if the operating system does not let it be written.
    """
    check_may_write(path)
    unfinished, replaced = (path.with_name(f".{path.name}.{state}") for state in ("unfinished", "replaced"))
    with _said_of(path, unfinished):
        for left_behind in (unfinished, replaced):
            _remove(left_behind)
        unfinished.mkdir(parents=True)
        yield unfinished
        if path.exists():
            os.replace(path, replaced)
        os.replace(unfinished, path)
    _remove(replaced)


@contextmanager
def _said_of(path: Path, unfinished: Path) -> Iterator[None]:
    """Say what the system refuses of what is written at `unfinished`, under the name it is to have; and remove that.

    An error that names another file, one that was read to write this, goes on as it is.
    """
    try:
        yield
    except Exception as error:  # of libraries that are not written in Python: any kind
        _remove(unfinished)
        named = Path(str(getattr(error, "filename", None) or unfinished))
        said = refusal(error, path if unfinished in (named, *named.parents) else None)
        if said is None:
            raise
        raise said from error


def _remove(path: Path) -> None:
    """Remove a folder, a file or a link, not what a link leads to; what cannot be removed stays."""
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink()


_KEY = b"signbridge"


def _metadata(made_by: dict[str, Any]) -> dict[bytes, str]:
    return {_KEY: json.dumps(made_by, sort_keys=True)}


def write(
    table: pa.Table | pd.DataFrame, path: Path | str, made_by: dict[str, Any], rows_together: int | None = None
) -> None:
    """Write `table` to `path` whole or not at all, with `made_by` (JSON-able) in its file metadata.

    `rows_together` is how many rows make a row group, which is the least that a reader has to take in. Vectors get no
    dictionary: their numbers hardly repeat, and looking each up would take reading five times as long (measured).
    """
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    table = table.replace_schema_metadata(_metadata(made_by))
    with whole_file(path) as unfinished:
        pq.write_table(
            table, unfinished, compression="zstd", use_dictionary=_repeating(table.schema), row_group_size=rows_together
        )


def _repeating(schema: pa.Schema) -> list[str] | bool:
    """The columns that get a dictionary, or that none does."""
    return [field.name for field in schema if not pa.types.is_fixed_size_list(field.type)] or False


def write_parts(
    parts: Iterable[pa.Table], path: Path | str, made_by: dict[str, Any] | Callable[[], dict[str, Any]]
) -> None:
    """Write a table that comes in parts, each a row group, as `write` does: no more than one part is in memory.

    `made_by` may be what tells it once all parts are written.
    """
    with whole_file(path) as unfinished, ExitStack() as opened:
        writer = None
        try:
            for part in parts:
                part = part.replace_schema_metadata(None if callable(made_by) else _metadata(made_by))
                if writer is None:
                    repeating = _repeating(part.schema)
                    file = pq.ParquetWriter(unfinished, part.schema, compression="zstd", use_dictionary=repeating)
                    writer = opened.enter_context(file)
                writer.write_table(part, row_group_size=max(1, len(part)))
            if writer is not None and callable(made_by):
                writer.add_key_value_metadata(_metadata(made_by()))
        except BaseException:
            opened.close()
            unfinished.unlink(missing_ok=True)
            raise


def write_csv(table: pd.DataFrame, path: Path | str) -> None:
    """Write `table` to `path` whole or not at all, as DVC's plots take it: no index, shares to six digits."""
    with whole_file(path) as unfinished:
        table.round(6).to_csv(unfinished, index=False, lineterminator="\n")


def read_csv(path: Path | str) -> pd.DataFrame:
    """Every cell of the CSV at `path` as the text that it is: an answer `NA` stays one. Without a header: no columns.

    Raises `SignBridgeError` if the file is missing or no CSV.
    """
    try:
        return pd.read_csv(path, dtype=object, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError:
        raise SignBridgeError(f"{path}: no such table. {how_to_get(path)}") from None
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except OSError as error:
        raise refusal(error, path) or error from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise SignBridgeError(
            f"{path}: not a readable CSV table ({first_line}). Delete it and {repro(path)}."
        ) from None


def read(path: Path | str, columns: list[str] | None = None) -> pd.DataFrame:
    """Read the table at `path`, or its `columns` alone.

    Raises `SignBridgeError` if it is missing, is no Parquet file, or lacks one of the columns.
    """
    there = set(_schema(path).names) if columns else set()
    for name in columns or ():
        if name not in there:
            raise SignBridgeError(
                f"{path}: no column '{name}'. Another version of the project wrote it: {repro(path)}."
            )
    return _parquet(lambda source: pq.read_table(source, columns=columns), path).to_pandas()


def column_names(path: Path | str) -> list[str]:
    """The columns of the table at `path`. Raises `SignBridgeError` as `read` does."""
    return _schema(path).names


def read_arrow(path: Path | str, where: tuple[str, str] | None = None) -> pa.Table:
    """Read the table at `path` as Arrow, for vectors that should not become Python objects.

    `where` is a column and the value of the rows to read: row groups without it are skipped.
    """
    filters = None if where is None else [(where[0], "==", where[1])]
    return _parquet(lambda source: pq.read_table(source, filters=filters), path)


def batches(
    path: Path | str, columns: list[str], rows_together: int = 256, of: tuple[str, str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The table at `path`, a few rows at a time, none of two row groups, for columns that do not fit into memory.

    `of` is a column that has one value in each row group, and the value of the groups to read.
    """
    file = _parquet(pq.ParquetFile, path)
    with file:
        for group in range(file.num_row_groups):
            if of is None or _value_of_group(file.metadata, group, of[0]) == of[1]:
                yield from file.iter_batches(rows_together, row_groups=[group], columns=columns)


def values_of_groups(path: Path | str, column: str) -> list[str]:
    """The value that each row group of the table at `path` has in a `column` that has one in each, in order."""
    with _parquet(pq.ParquetFile, path) as file:
        return [_value_of_group(file.metadata, group, column) for group in range(file.num_row_groups)]


def _value_of_group(metadata: pq.FileMetaData, group: int, column: str) -> str:
    """From the statistics of the file, which hold the least and the greatest value of each row group."""
    place = metadata.schema.names.index(column)
    return metadata.row_group(group).column(place).statistics.min


def read_rows(path: Path | str, rows: list[int], columns: list[str]) -> pd.DataFrame:
    """These rows of the table at `path`, in this order; of the others no more than a row group is in memory."""
    wanted, place = np.unique(np.asarray(rows, dtype=np.int64), return_inverse=True)
    with _parquet(pq.ParquetFile, path) as file:
        kept, start = [file.schema_arrow.empty_table().select(columns)], 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            here = wanted[(wanted >= start) & (wanted < end)]
            if len(here):
                kept.append(file.read_row_group(group, columns).take(pa.array(here - start)))
            start = end
    return pa.concat_tables(kept).to_pandas().iloc[place]


def count_rows(path: Path | str, size: int | None = None) -> int:
    """How many rows the table at `path` has; or how many of them take `size` bytes of it in the mean, one at least."""
    metadata = _parquet(pq.read_metadata, path)
    return metadata.num_rows if size is None else max(1, size * metadata.num_rows // Path(path).stat().st_size)


def made_by(path: Path | str) -> dict[str, Any]:
    """What made the table at `path`: the dictionary it was written with."""
    return json.loads(_parquet(pq.read_metadata, path).metadata[_KEY])


def file_sha256(path: Path | str) -> str:
    """The digest of a file, which is never in memory as a whole."""
    with Path(path).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _schema(path: Path | str) -> pa.Schema:
    return _parquet(pq.read_schema, path)


def _parquet(reader: Any, path: Path | str) -> Any:
    try:
        check_readable(path)  # of a folder, Arrow would read all files
        return reader(path)
    except FileNotFoundError:
        raise SignBridgeError(f"{path}: no such table. {how_to_get(path)}") from None
    except (pa.ArrowInvalid, OSError) as error:
        if said := refusal(error, path):
            raise said from None
        first_line = str(error).splitlines()[0]
        raise SignBridgeError(
            f"{path}: not a readable Parquet table ({first_line}). Delete it and {repro(path)}."
        ) from None


Metric = int | float | str | bool


def write_findings(path: Path | str, findings: Mapping[str, Metric]) -> None:
    """Write all that was found to the JSON file at `path`, whole or not at all: keys sorted, floats to six digits.

    `write_metrics` takes the few of them that experiments are compared by. Raises `TypeError` on None, lists and nested
    dictionaries, and on numbers that are not finite.
    """
    for name, value in findings.items():
        if not isinstance(value, Metric):
            raise TypeError(f"finding '{name}' is {type(value).__name__}, not a number or a string")
        if isinstance(value, float) and not -float("inf") < value < float("inf"):
            raise TypeError(f"finding '{name}' is {value}, which JSON cannot hold")
    write_json(path, {name: _rounded(findings[name], 6) for name in sorted(findings)})


def read_findings(path: Path | str) -> dict[str, Metric]:
    """What `write_findings` or `write_metrics` wrote.

    Raises `SignBridgeError` if the file is missing or holds anything but one flat JSON object.
    """
    found = read_json(path)
    if not isinstance(found, dict) or not all(isinstance(value, Metric) for value in found.values()):
        raise SignBridgeError(f"{path}: expected one flat JSON object. Delete it and {repro(path)}.")
    return found


def read_json(path: Path | str) -> Any:
    """What the JSON file at `path` holds. Raises `SignBridgeError` if it is missing or no JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SignBridgeError(f"{path}: not there. {how_to_get(path)}") from None
    except OSError as error:
        raise refusal(error, path) or error from None
    except ValueError as error:
        raise SignBridgeError(f"{path}: not readable as JSON ({error}). Delete it and {repro(path)}.") from None


def write_metrics(path: Path | str, findings: Mapping[str, Metric], headline: Mapping[str, str]) -> None:
    """Write the metrics file at `path`, whole or not at all: those of the findings that `headline` names.

    `headline` gives each metric's name, in the order of the file, the finding that it is; findings that are not there
    are left out. Floats keep four digits after the point: what differs beyond them differs between processors.
    """
    write_json(path, {name: _rounded(findings[key], 4) for name, key in headline.items() if key in findings})


def _rounded(value: Metric, digits: int) -> Metric:
    return round(value, digits) if isinstance(value, float) else value


def write_json(path: Path | str, values: Mapping[str, Any]) -> None:
    """Write `values` to `path` whole or not at all, as `read_json` takes them."""
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8", newline="\n")
