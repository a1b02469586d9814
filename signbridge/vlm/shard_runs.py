"""Work on a list of items, shard by shard, so that a killed run goes on, and that many may share.

A shard's bytes do not depend on who makes it. Shards of batches of another size are computed again. How many items a
batch has follows from their number (`work_list.py`), and items that are alike are read once.

By default one process makes all shards. `SIGNBRIDGE_WORKERS=ray` spreads them over devices and machines
(`ray_pool.py`), and `SIGNBRIDGE_PART=3/16` makes a part of them alone (`core/scratch.py`).
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from signbridge.core.errors import PartDone
from signbridge.core.scratch import part_of_environment
from signbridge.core.shards import is_whole, made_with, shard_path, write_shard
from signbridge.vlm.extraction import Reader, Work, sites_and_answers
from signbridge.vlm.work_list import WorkList, unlike, with_copies, work_list

NOT_AT_ONCE = 1e-9  # seconds: the bar is drawn after the lines that are logged first, not before and behind them
log = logging.getLogger(__name__)


class ShardRun(NamedTuple):
    """What is the same for all shards of one run."""

    work: Work
    todo: WorkList
    folder: Path
    unit: str  # of an item, in messages

    @property
    def paths(self) -> list[Path]:
        """Where the shards lie, or will."""
        return [shard_path(self.folder, number) for number in range(len(self.todo.shards))]

    def made_as(self, reader: Reader) -> str:
        """What a shard of this run says that it was made with."""
        return reader.made_with_batches_of(self.todo.together)

    def needs(self, number: int) -> set[int]:
        """The shards before `number` that hold what items of it are copies of."""
        rows = self.todo.shards[number]
        before = {self.todo.first_like[row] for row in rows if self.todo.first_like[row] < rows[0]}
        return {other for other, of_other in enumerate(self.todo.shards[:number]) if before.intersection(of_other)}


# Makes the shards of these numbers, in any order, and yields each once it is there; the items of a shard come with it.
# It ends early where memory ran out and the reader's batches have become smaller.
MakeShards = Callable[[Reader, ShardRun, list[int], Callable[[int], list]], Iterable[int]]


def read_in_shards(
    reader: Reader,
    items: list,
    folder: Path,
    items_per_shard: int,
    work: Work | None = None,
    title: str = "extract",
    unit: str = "image",
    make: MakeShards | None = None,
) -> list[Path]:
    """Do `work` on the items into shards below `folder`, in order, and return their paths.

    Without `work` the items are images, read as `sites_and_answers` has it. `title` heads the progress bar, which
    counts each `unit`. Shards that lie there whole, and were made as `reader` makes them, are not computed again. Of
    work whose batches are filled up, items that are alike are read once. The run ends at the first numbers that are not
    finite, with a `SignBridgeError`. Raises `PartDone` where only a part of the shards is made here.
    """
    work, part = work or sites_and_answers(reader), part_of_environment()
    with tqdm(total=len(items), unit=unit, desc=title, delay=NOT_AT_ONCE) as progress:
        batches = None
        while batches != reader.batch_size:  # once, unless memory runs out on the way
            batches = reader.batch_size
            run = ShardRun(work, (work_list if work.fills else unlike)(items, batches, items_per_shard), folder, unit)
            made = run.made_as(reader)
            missing = [number for number, path in enumerate(run.paths) if not _is_done(path, made)]
            if len(missing) < len(run.paths):
                log.info("%d of %d shards already there", len(run.paths) - len(missing), len(run.paths))
            log.info("reading on %s in batches of %d", reader.loaded.device, run.todo.together)
            progress.reset()
            progress.initial = 0
            for number in set(range(len(run.paths))) - set(missing):
                _skip(progress, len(run.todo.shards[number]))
            mine = missing if part is None else [number for number in missing if part.has(number)]

            def items_of(number: int, run: ShardRun = run) -> list:
                return [items[row] for row in run.todo.read(run.todo.shards[number])]

            if make is None:
                for number in _in_order(mine, missing, run):
                    if not read_shard(reader, run, number, items_of(number), progress.update):
                        break
                    progress.update(len(run.todo.shards[number]) - len(run.todo.read(run.todo.shards[number])))
            else:
                for number in make(reader, run, mine, items_of):
                    progress.update(len(run.todo.shards[number]))
    if part is not None and any(not _is_done(path, made) for path in run.paths):
        left = sum(not _is_done(path, made) for path in run.paths)
        raise PartDone(f"{title}: part {part} is done, {left} of {len(run.paths)} shards are still to be made.")
    return run.paths


def read_shard(
    reader: Reader, run: ShardRun, number: int, items: list, on_items: Callable[[int], object] = lambda count: None
) -> bool:
    """Make one shard of the items that are read for it, and write it.

    Returns whether it was written: where memory ran out, the batches of all shards are smaller from now on.
    """
    batches, read = reader.batch_size, run.todo.read(run.todo.shards[number])
    shard = reader.read(items, run.work, on_items, read, run.unit, run.todo.together)
    if reader.batch_size != batches:  # and with it which items lie in a shard
        return False
    write_shard(shard_path(run.folder, number), with_copies(shard, number, run.todo, run.folder))
    return True


def _in_order(mine: list[int], missing: list[int], run: ShardRun) -> Iterator[int]:
    """Those that can be made here: none that holds copies of what others are still to read."""
    others = set(missing) - set(mine)
    for number in mine:
        if others and others & run.needs(number):
            others.add(number)
            continue
        yield number


def _skip(progress: tqdm, items: int) -> None:
    """Move the bar on over what was there already: done, but no part of the speed or the time left."""
    if progress.disable:  # which has none of the numbers below
        return
    progress.n += items
    progress.initial += items
    progress.last_print_n += items
    progress.refresh()


def _is_done(path: Path, made: str) -> bool:
    return is_whole(path) and made_with(path) == made
