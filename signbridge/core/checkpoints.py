"""Checkpoints of training that takes long: folders, there whole or not at all, of which the last alone is kept."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from signbridge.core.tables import whole_folder

SECONDS_BETWEEN_CHECKPOINTS = 120  # at least; 0: one after every step
MOST_TIME_WRITING = 0.02  # of all time: what a kill loses at most is the rest of it, between two checkpoints


class Checkpoints:
    """The checkpoints of one run in `folder`.

    None is due sooner than after `seconds`, nor before the last one's writing is `MOST_TIME_WRITING` of the time since
    it began: some are 8 to 15 GB.
    """

    def __init__(self, folder: Path, seconds: float | None = None):
        """The clock starts now; without `seconds` it is `SECONDS_BETWEEN_CHECKPOINTS`."""
        seconds = SECONDS_BETWEEN_CHECKPOINTS if seconds is None else seconds
        self._folder, self._seconds, self._last, self._pause = folder, seconds, time.monotonic(), seconds

    @property
    def is_due(self) -> bool:
        """Whether it is time for one."""
        return time.monotonic() - self._last >= self._pause

    def last_folder(self) -> Path | None:
        """The folder of the last one, or None."""
        there = sorted(self._folder.glob("step-*"))
        return there[-1] if there else None

    @contextmanager
    def writing(self, steps: int) -> Iterator[Path]:
        """Yield the folder to write what there is after `steps` to; then the checkpoint before goes."""
        began = time.monotonic()
        before = list(self._folder.glob("step-*"))
        with whole_folder(self._folder / f"step-{steps:09d}") as unfinished:
            yield unfinished
        for path in before:
            shutil.rmtree(path)
        self._last = time.monotonic()
        if self._seconds:
            self._pause = max(self._seconds, (self._last - began) * (1 / MOST_TIME_WRITING - 1))
