"""Where unfinished work lies, and which part of it this run does.

`SIGNBRIDGE_SCRATCH` names a folder on a shared disk in place of `.scratch/`, so that several machines work on one run.
`SIGNBRIDGE_PART=3/16` makes every sixteenth shard, from the third on, and then ends: no engine is needed to start
sixteen such runs, of a Slurm array for example. The last run, without it, finds what they made and writes the tables.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from signbridge.core.errors import PartDone, SignBridgeError

HERE = Path(".scratch")  # git does not see it
SCRATCH = Path(os.environ.get("SIGNBRIDGE_SCRATCH") or HERE).expanduser()
PART = "SIGNBRIDGE_PART"


class Part(NamedTuple):
    """Every `of`-th shard, from `number` on, counted from 1."""

    number: int
    of: int

    def has(self, shard: int) -> bool:
        """Whether shard number `shard`, from 0, is made here."""
        return shard % self.of == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def part_of_environment() -> Part | None:
    """`SIGNBRIDGE_PART`. Raises `SignBridgeError` if it names no part."""
    if not (said := os.environ.get(PART)):
        return None
    found = re.fullmatch(r"(\d+)/(\d+)", said)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise SignBridgeError(f"{PART}={said}: expected a part and how many there are, counted from 1: 3/16.")
    return Part(int(found[1]), int(found[2]))


def check_may_write(path: Path) -> None:
    """Raises `PartDone` where a run of a part would write anything but unfinished work."""
    if not os.environ.get(PART):
        return
    if not any(folder in (path, *path.parents) for folder in (SCRATCH, HERE)):
        raise PartDone(f"part {part_of_environment()}: all shards are there.")
