"""What Ray costs: shards made by one process, by one actor and by two, side by side on one machine.

    python -m benchmarks.workers                    # the miniature, 1,024 drawn images; needs the extra `ray`
    python -m benchmarks.workers --keep             # append to benchmarks/results/workers.md

Every way makes the same shards, and the benchmark ends in an error if a byte differs. The floor of two actors is half
of one process's time: the images are the same, and each actor has a core. What comes on top is Ray.
"""

import argparse
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

from benchmarks.extract import SCRATCH, entry_of
from benchmarks.machine import describe, keep
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.vlm import ray_pool
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import load
from signbridge.vlm.shard_runs import read_in_shards

FOLDER = Path(".scratch/workers")


class Peak:
    """The most memory that this process and all it started take together, in MiB, sampled in a thread."""

    def __enter__(self) -> "Peak":
        self.mib, self._ended = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._ended.wait(0.2):
            found = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    found += process.memory_full_info().uss
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
            self.mib = max(self.mib, found / 2**20)


def main() -> None:
    """Measure, print, and with --keep append to the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--model", default="miniature")
    parser.add_argument("--keep", action="store_true", help="append to benchmarks/results/workers.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # one core a process, so that two actors and one process compute alike
    os.environ.update({"SIGNBRIDGE_DEVICE": "cpu", ray_pool.WORKERS: "ray"})
    entry = entry_of(arguments.model)
    loaded = load(entry, SCRATCH, torch.device("cpu"))
    reader = Reader(loaded, entry.prompt, entry.max_new_tokens, 16)
    pixels = np.random.default_rng(0).integers(0, 256, (arguments.images, 28, 28), dtype=np.uint8)
    images = [Image.fromarray(image).convert("RGB") for image in pixels]
    reader.read(images[:16])  # warm-up
    shutil.rmtree(FOLDER, ignore_errors=True)
    lines = [f"model {arguments.model}, {len(images)} images, one core a process, {describe()}"]
    shards: dict[str, bytes] = {}
    for actors in (0, 1, 2):
        with Peak() as peak:
            start = time.perf_counter()
            pool, started = None, start
            if actors:
                os.environ[ray_pool.ACTORS] = str(actors)
                pool = ray_pool.RayPool(entry, None, 1)
            paths = read_in_shards(reader, images, FOLDER / str(actors), 64, make=pool.make if pool else None)
            seconds = time.perf_counter() - started
        made = {path.name: path.read_bytes() for path in paths}
        if actors == 0:
            shards, alone = made, seconds
        elif made != shards:
            raise SignBridgeError(f"{actors} actors made other bytes than one process. Tell its authors.")
        name = f"{actors} actor{'s' if actors > 1 else ''} of Ray" if actors else "one process"
        lines.append(
            f"{name:18} {seconds:7.1f} s, {len(images) / seconds:6.1f} images/s, {seconds / alone:5.2f} times one "
            f"process, {peak.mib:6.0f} MiB in all processes"
        )
        if pool:
            pool.close()
            import ray

            ray.shutdown()
    print("\n".join(lines))
    if arguments.keep:
        keep("workers", lines)


if __name__ == "__main__":
    run(main)
