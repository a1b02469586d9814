"""Interrupted training is kept: the autoencoders with their optimisers, the stream's buffer, and the log so far.

A checkpoint is a folder, there whole or not at all. The buffer is in it, as it cannot be had again without reading the
model from the start.
"""

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sae_lens.training.sae_trainer import SAETrainer
from safetensors.torch import load_file, save_file

from signbridge.sae.token_stream import StreamState, Tokens
from signbridge.whole_folder import whole_folder

_IS_IMAGE = "is_image"


class Checkpoint(NamedTuple):
    """What lies in a checkpoint beside the trainers."""

    path: Path
    steps: int  # that are done
    stream: StreamState
    rows: list[dict[str, Any]]  # of the log

    def restore(self, trainers: Mapping[str, SAETrainer]) -> None:
        """Set the trainers, by site, to where they were."""
        for site, trainer in trainers.items():
            trainer.load_trainer_state(self.path / site)
            trainer.sae.load_weights_from_checkpoint(self.path / site)


class Checkpoints:
    """The checkpoints of one run in `folder`: the last alone is kept, and none is due sooner than after `seconds`."""

    def __init__(self, folder: Path, seconds: float):
        """The clock starts now."""
        self._folder, self._seconds, self._last = folder, seconds, time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is time for one."""
        return time.monotonic() - self._last >= self._seconds

    def latest(self) -> Checkpoint | None:
        """The last one, or None."""
        there = sorted(self._folder.glob("step-*"))
        if not there:
            return None
        progress = json.loads((there[-1] / "progress.json").read_text(encoding="utf-8"))
        vectors = load_file(there[-1] / "buffer.safetensors")
        is_image = vectors.pop(_IS_IMAGE)
        stream = StreamState(progress["stream"], Tokens({site: vectors[site] for site in progress["sites"]}, is_image))
        return Checkpoint(there[-1], progress["steps"], stream, progress["rows"])

    def write(
        self, steps: int, trainers: Mapping[str, SAETrainer], stream: StreamState, rows: list[dict[str, Any]]
    ) -> None:
        """Keep how things are after `steps`; then the one before is deleted."""
        before = list(self._folder.glob("step-*"))
        with whole_folder(self._folder / f"step-{steps:09d}") as unfinished:
            for site, trainer in trainers.items():
                trainer.save_checkpoint(site, unfinished)
            vectors = {site: part.contiguous() for site, part in stream.waiting.vectors.items()}
            save_file({**vectors, _IS_IMAGE: stream.waiting.is_image}, unfinished / "buffer.safetensors")
            progress = {"steps": steps, "stream": stream.numbers, "sites": list(vectors), "rows": rows}
            (unfinished / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
        for path in before:
            shutil.rmtree(path)
        self._last = time.monotonic()
