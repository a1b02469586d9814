"""Hand shape and movement of each gloss, by a table of the user's: `attributes` of an entry of recorded clips.

A CSV with the columns gloss, shape and movement, and kind if it is known; others are ignored. It can be made of the
hand shapes and movements of ASL-LEX 2.0 (https://asl-lex.org). Two signs of one shape and another movement are a
minimal pair in movement; a sign that the table lacks is in no pair.
"""

import csv
import io
from pathlib import Path
from typing import NamedTuple

from signbridge.core.errors import SignBridgeError, place_tried, refusal

COLUMNS = ("gloss", "shape", "movement")


class Attributes(NamedTuple):
    """What is known of a sign."""

    shape: str | None = None
    movement: str | None = None
    kind: str | None = None


def rows_of_csv(content: bytes, name: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a CSV in UTF-8, cells without blanks around them; a last row that is empty is none.

    Raises `SignBridgeError` naming the column that is missing, or the row that lacks a cell of `columns`.
    """
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header = [cell.strip() for cell in reader.fieldnames or ()]
        if missing := [column for column in columns if column not in header]:
            raise SignBridgeError(
                f"{name}: no column '{missing[0]}'; there are: {', '.join(header)[:200] or 'none'}. Its first line "
                f"must name {', '.join(columns)}."
            )
        reader.fieldnames = header
        rows = [{key: (cell or "").strip() for key, cell in row.items() if isinstance(key, str)} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SignBridgeError(f"{name}: no CSV in UTF-8 ({error}). Save it as one, with commas.") from None
    for number, row in enumerate(rows, start=2):
        if empty := [column for column in columns if not row[column]]:
            raise SignBridgeError(f"{name}, row {number}: no {empty[0]}. Fill that cell, or remove the row.")
    return rows


def read_attributes(path: Path) -> dict[str, Attributes]:
    """What the table at `path` says, by gloss. Raises `SignBridgeError` if it is missing, or says two things of one."""
    try:
        content = path.expanduser().read_bytes()
    except FileNotFoundError:
        raise SignBridgeError(
            f"datasets.yaml: attributes: no file '{path}'. Correct it, or leave it empty.{place_tried(path)}"
        ) from None
    except OSError as error:
        raise refusal(error, path) or error from None
    found: dict[str, Attributes] = {}
    for row in rows_of_csv(content, path.name, COLUMNS):
        said = Attributes(row["shape"], row["movement"], row.get("kind") or None)
        if found.setdefault(row["gloss"], said) != said:
            raise SignBridgeError(f"{path.name}: '{row['gloss']}' is there twice, and differs. Remove one of the rows.")
    return found
