"""The text index of the run before, kept in the scratch folder for the next one to copy from.

The vectors' files are hard links where that is possible: no second copy. `rows.parquet` beside them has sentence and
position of every row, and in its metadata what made the vectors, and the blocks of the corpus that were full.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from signbridge import tables
from signbridge.errors import SignBridgeError
from signbridge.text_index.contexts import Context
from signbridge.text_index.stored_vectors import StoredVectors
from signbridge.whole_folder import whole_folder

_ROWS = "rows.parquet"


class FullBlock(NamedTuple):
    """A block that no appended phrase changes."""

    digest: str  # as `Block`
    rows: int  # of the index


class LastIndex(NamedTuple):
    """The index of the run before, opened."""

    rows: pd.DataFrame  # sentence, position: of the corpus; a row a vector
    vectors: dict[str, StoredVectors]  # by text site
    blocks: list[FullBlock]

    def known(self, number: int, digest: str) -> dict[tuple[int, int], int]:
        """The rows of block `number` by sentence and position; none if it is not the one of that digest."""
        if number >= len(self.blocks) or self.blocks[number].digest != digest:
            return {}
        first = sum(block.rows for block in self.blocks[:number])
        places = self.rows.iloc[first : first + self.blocks[number].rows]
        return {
            place: first + row for row, place in enumerate(zip(places["sentence"], places["position"], strict=True))
        }


def open_last(folder: Path, made_by: str) -> LastIndex | None:
    """The index in `folder`; None if there is none, or none that was made by the same and is whole."""
    try:
        kept = tables.made_by(folder / _ROWS)
        if kept["made_by"] != made_by:
            return None
        rows = tables.read(folder / _ROWS)
        vectors = {site: StoredVectors.open(folder / f"{site}.safetensors") for site in kept["sites"]}
    except SignBridgeError:
        return None
    whole = all(of_site.rows == len(rows) for of_site in vectors.values())
    return LastIndex(rows, vectors, [FullBlock(*block) for block in kept["blocks"]]) if whole else None


def keep(
    folder: Path,
    index: Path,
    sites: Sequence[str],
    contexts: Sequence[Context],
    blocks: Sequence[FullBlock],
    made_by: str,
) -> None:
    """Keep the vectors of the index in the folder `index` in `folder`, in place of those of the one before it."""
    places = pd.DataFrame([context[1:3] for context in contexts], columns=["sentence", "position"])
    with whole_folder(folder) as unfinished:
        for site in sites:
            _link(index / f"{site}.safetensors", unfinished / f"{site}.safetensors")
        tables.write(places, unfinished / _ROWS, {"made_by": made_by, "sites": list(sites), "blocks": list(blocks)})


def _link(file: Path, link: Path) -> None:
    try:
        os.link(file, link)
    except OSError:  # another disk, or a file system without hard links
        shutil.copy2(file, link)
