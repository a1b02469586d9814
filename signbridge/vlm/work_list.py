"""Which items of a run are read, how many of them together, and in which shards their rows lie.

An item that is like an earlier one is not read: its row is a copy. How many are read together follows from their number
alone, for the whole run, and not from what is left at its end: a product of matrices of another shape may round
otherwise, so a smaller last batch would make an image's bytes depend on how many stood before it.
"""

import hashlib
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from signbridge.core.shards import Shard, answers_of, shard_path, vectors_of

T = TypeVar("T")


class WorkList(NamedTuple):
    """The items of a run, by their rows."""

    together: int  # items in a batch
    first_like: Sequence[int]  # of each row, the first whose item is like its own
    shards: list[Sequence[int]]  # the rows of each shard; the first of them is always read

    def read(self, rows: Sequence[int]) -> list[int]:
        """Those of the rows of a shard whose items are read."""
        return [row for row in rows if self.first_like[row] == row]


def even_batch(items: int, most: int) -> int:
    """How many of so many `items` are read together: no more than `most`, and such that hardly a batch is filled up.

    300 items are 5 batches of 60 rather than 4 of 64 and one of 44 that is filled up to 64.
    """
    return -(-items // -(-items // most))


def work_list(items: Sequence[Any], most: int, items_per_shard: int) -> WorkList:
    """Of items that are read one like the other; `most` of them at once, and about `items_per_shard` in a shard.

    The size of a batch goes by the number of all items, so that another order, or other copies, change no byte. Where
    all are alike, one is read alone.
    """
    first_like = _first_like(items)
    together = even_batch(len(items), most) if any(first_like) else 1
    read_in_shard = max(1, items_per_shard // together) * together
    starts, read = [], 0
    for row, first in enumerate(first_like):
        if first == row:
            if read % read_in_shard == 0:
                starts.append(row)
            read += 1
    ends = [*starts[1:], len(items)]
    return WorkList(together, first_like, [range(start, end) for start, end in zip(starts, ends, strict=True)])


def unlike(items: Sequence[Any], most: int, items_per_shard: int) -> WorkList:
    """Of items that are all read, each its own way, in shards of `items_per_shard`."""
    rows = range(len(items))
    return WorkList(most, rows, in_batches(rows, items_per_shard))


def with_copies(shard: Shard, number: int, todo: WorkList, folder: Path) -> Shard:
    """The rows of shard `number` of `folder`, in order, from those that were read for it and from earlier shards."""
    rows = todo.shards[number]
    read = todo.read(rows)
    if len(read) == len(rows):
        return shard
    sources = [todo.first_like[row] for row in rows]
    earlier = sorted({source for source in sources if source < rows[0]})
    place = {row: at for at, row in enumerate([*read, *earlier])}
    order = [place[source] for source in sources]
    there = [
        (shard_path(folder, before), at)
        for before, of_before in enumerate(todo.shards[:number])
        if (at := [row - of_before[0] for row in earlier if row in of_before])
    ]
    vectors = {
        name: np.concatenate([array, *(vectors_of([path], name)[at] for path, at in there)])[order]
        for name, array in shard.vectors.items()
    }
    answers = [*shard.answers, *(answers_of([path])[row] for path, at in there for row in at)]
    return shard._replace(vectors=vectors, answers=[answers[at] for at in order])


def in_batches(items: Sequence[T], most: int) -> list[Sequence[T]]:
    """The items in order, `most` together."""
    return [items[start : start + most] for start in range(0, len(items), most)]


def batches_of_one_length(items: list[T], lengths: Sequence[Any], most: int) -> list[list[T]]:
    """The items in order, at most `most` together and only such as follow each other with the same of `lengths`."""
    runs = groupby(zip(lengths, items, strict=True), key=lambda pair: pair[0])
    return [batch for _, run in runs for batch in in_batches([item for _, item in run], most)]


def _first_like(items: Sequence[Any]) -> list[int]:
    first: dict[Any, int] = {}
    return [first.setdefault(_identity(item), row) for row, item in enumerate(items)]


def _identity(item: Any) -> Any:
    if isinstance(item, Image.Image):
        return item.mode, item.size, hashlib.sha256(item.tobytes()).digest()
    return item
