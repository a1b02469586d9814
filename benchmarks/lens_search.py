"""The exact search of LatentLens in one text layer, beside the published implementation's way and faiss's exact index.

    python -m benchmarks.lens_search [--keep]

49 patches of 300 images are 14,700 queries; a round searches the patches of 24 images, and times are also given for
all 300, in proportion: each way's work is a multiple of the queries. The layer is 300,000 x 4096: tokens with 20
contexts each around a centre, and all around one direction; the queries are half contexts that the layer does not have,
half farther from the centres.

- **signbridge**: `nearest` on the float8 file, memory-mapped, expanded as it is read.
- **published** (McGill-NLP/latentlens, `ContextualIndex.search` and run_latentlens.py, restated): the layer's unit
  vectors in float32; for each image `matmul` with all of them, `topk` of each query's 300,000 scores. With one layer
  there is nothing to merge. Its loader holds the matrix twice while it normalises; here it does not.
- **faiss**: `IndexFlatIP`, all queries in one search.

All three search the same numbers: those of the float8 file. Each is a process of its own that loads, then searches when
it is its turn, with the rate of large matrix products measured just before. Memory is of the whole process while it
searches; the file's pages are the system's to take back. The floor is the scores' products at the best rate seen; only
a first pass in fewer bits could go below it, so the rates of such products are measured as well. Needs Linux and faiss.
"""

import argparse
import multiprocessing
import os
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.extract import matrix_product_rate
from benchmarks.machine import describe, keep
from signbridge.core.command_line import run
from signbridge.lenses.search import (
    Neighbours,
    block_sizes,
    nearest,
    nearest_approximate,
    recall,
)
from signbridge.lenses.stored_vectors import StoredVectors, write

ROWS, WIDTH, CONTEXTS, K = 300_000, 4096, 20, 5
PATCHES, IMAGES = 49, 300
BATCH = 5_000  # rows that are made and loaded at a time
MEMORY = 512 * 2**20  # that signbridge's search may take
Search = Callable[[Tensor], Neighbours]


class Turn(NamedTuple):
    """One search of one way."""

    seconds: float
    rate: float  # of large products just before, operations a second
    own: float  # GiB, at most, while it searched: what the process itself has taken
    resident: float  # GiB: this and the pages of files that are in memory
    found: Neighbours


def text_vectors(rows: int) -> Iterator[np.ndarray]:
    """The layer in float32, the same whenever it is asked for."""
    for start in range(0, rows, BATCH):
        batch = np.random.default_rng([1, start]).standard_normal((BATCH, WIDTH), dtype=np.float32)
        batch *= 0.8
        batch += _centres_of(start).repeat(CONTEXTS, axis=0)
        yield batch


def sought(count: int, rows: int) -> Tensor:
    """Vectors near the centres of tokens all over the layer, every other one farther."""
    generator = np.random.default_rng(2)
    starts = generator.choice(np.arange(0, rows, BATCH), size=count)
    token = generator.integers(BATCH // CONTEXTS, size=count)
    queries = generator.standard_normal((count, WIDTH), dtype=np.float32)
    queries[::2] *= 0.8
    queries[1::2] *= 4
    for start in np.unique(starts):
        queries[starts == start] += _centres_of(start)[token[starts == start]]
    return torch.from_numpy(queries)


def _centres_of(start: int) -> np.ndarray:
    generator = np.random.default_rng([0, start])
    return generator.standard_normal((BATCH // CONTEXTS, WIDTH), dtype=np.float32) + np.float32(0.5)


def signbridge_way(path: Path, rows: int) -> Search:
    """Ours, from the file."""
    layers = {"layer": StoredVectors.open(path)}
    return lambda queries: nearest(queries, layers, K, MEMORY)


def published_way(path: Path, rows: int) -> Search:
    """The published implementation's, an image at a time."""
    return _whole_matrix(_all_units(path, np.empty((rows, WIDTH), np.float32)))


def _whole_matrix(units: np.ndarray) -> Search:
    embeddings = torch.from_numpy(units)

    def search(queries: Tensor) -> Neighbours:
        best = [
            torch.matmul(functional.normalize(image, dim=-1), embeddings.T).topk(K, dim=-1)
            for image in queries.split(PATCHES)
        ]
        row = torch.cat([of_image.indices for of_image in best])
        return Neighbours(torch.cat([of_image.values for of_image in best]), row, torch.zeros_like(row))

    return search


def faiss_way(path: Path, rows: int) -> Search:
    """The exact index of faiss."""
    import faiss

    index = faiss.IndexFlatIP(WIDTH)
    index.codes.resize(rows * WIDTH * 4)  # filled in place: `add` would take the memory twice
    index.ntotal = rows
    _all_units(path, faiss.rev_swig_ptr(index.get_xb(), rows * WIDTH).reshape(rows, WIDTH))

    def search(queries: Tensor) -> Neighbours:
        score, row = index.search(functional.normalize(queries, dim=-1).numpy(), K)
        return Neighbours(torch.from_numpy(score), torch.from_numpy(row), torch.zeros(row.shape, dtype=torch.int64))

    return search


def float32_way(path: Path, rows: int) -> Search:
    """The published way on the vectors as they were before they were stored: the truth for the recall."""
    units = np.empty((rows, WIDTH), np.float32)
    for start, batch in zip(range(0, rows, BATCH), text_vectors(rows), strict=True):
        units[start : start + BATCH] = batch / np.linalg.norm(batch, axis=1, keepdims=True)
    return _whole_matrix(units)


def approximate_way(path: Path, rows: int) -> Search:
    """Ours behind the switch, which makes its index in each search."""
    layers = {"layer": StoredVectors.open(path)}
    return lambda queries: nearest_approximate(queries, layers, K)


def _all_units(path: Path, units: np.ndarray) -> np.ndarray:
    stored = StoredVectors.open(path)
    for start in range(0, stored.rows, BATCH):
        units[start : start + BATCH] = stored.block(start, min(start + BATCH, stored.rows), "cpu").numpy()
    return units


WAYS = {"signbridge": signbridge_way, "published": published_way, "faiss": faiss_way}
OTHERS = {"float32": float32_way, "approximate": approximate_way}


def take_turns(asked: Connection, way: str, path: Path, rows: int, queries: int) -> None:
    """Load, say so, and search each time that it is asked for, until None comes."""
    search, those = (WAYS | OTHERS)[way](path, rows), sought(queries, rows)
    asked.send(None)
    while asked.recv():
        rate = matrix_product_rate(torch.float32, torch.device("cpu"))
        watch = _Watch()
        began = time.perf_counter()
        found = search(those)
        seconds = time.perf_counter() - began
        asked.send(Turn(seconds, rate, *watch.stop(), Neighbours(*(values.numpy() for values in found))))


class _Watch:
    """What this process has in memory at most, looked up every hundredth of a second."""

    def __init__(self):
        self._most, self._ended = np.zeros(2), threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(0.01):
            lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
            gib = [int(lines[name].split()[0]) / 2**20 for name in ("RssAnon", "VmRSS")]
            self._most = np.maximum(self._most, gib)

    def stop(self) -> tuple[float, float]:
        self._ended.set()
        self._thread.join()
        return float(self._most[0]), float(self._most[1])


def measured(ways: list[str], path: Path, rows: int, queries: int, rounds: int) -> dict[str, list[Turn]]:
    """Each way's searches, in turns."""
    context, asked, processes = multiprocessing.get_context("spawn"), {}, []
    for way in ways:
        asked[way], theirs = context.Pipe()
        processes.append(context.Process(target=take_turns, args=(theirs, way, path, rows, queries), daemon=True))
        processes[-1].start()
        asked[way].recv()  # loaded: one at a time
    turns = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            asked[way].send(True)
            turns[way].append(asked[way].recv())
            print(f"  {way}: {turns[way][-1].seconds:.1f} s at {turns[way][-1].rate / 1e9:.0f} GFLOP/s", flush=True)
    for way, process in zip(ways, processes, strict=True):
        asked[way].send(None)
        process.join()
    return turns


def lower_precision_rates() -> str:
    """Whether a first pass in fewer bits, with the best looked at again in float32, could be twice as fast."""
    left, right = torch.randn(1024, WIDTH), torch.randn(1024, WIDTH)
    left_short, right_short = left.bfloat16(), right.bfloat16()
    torch.backends.quantized.engine = "fbgemm"
    with warnings.catch_warnings(action="ignore"):  # deprecated, but torch's only way to this product
        left_bytes = torch.quantize_per_tensor(left, 0.04, 64, torch.quint8)
        weight = torch.ops.quantized.linear_prepack(torch.quantize_per_tensor(right, 0.04, 0, torch.qint8), None)
    products = {
        "float32": lambda: left @ right.T,
        "bfloat16": lambda: left_short @ right_short.T,
        "int8 (FBGEMM)": lambda: torch.ops.quantized.linear(left_bytes, weight, 1.0, 0),
    }
    rates = {name: 2 * 1024 * 1024 * WIDTH / min(_seconds(work) for _ in range(5)) for name, work in products.items()}
    return ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in rates.items())


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print; with --keep also append to the results."""
    arguments = _arguments()
    queries, rows, load_before = PATCHES * arguments.images, arguments.rows, os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.safetensors"
        write(path, text_vectors(rows), rows, WIDTH, "float8")
        turns = measured(list(WAYS), path, rows, queries, arguments.rounds)
        truth = measured(["float32"], path, rows, queries, 1)["float32"][0].found
        approximate = measured(["approximate"], path, rows, queries, 1)["approximate"][0]
        size = path.stat().st_size / 2**30

    ours, operations = turns["signbridge"][0].found, 2 * queries * rows * WIDTH
    blocks = block_sizes(MEMORY, WIDTH, K)
    floor = operations / max(turn.rate for of_way in turns.values() for turn in of_way)
    lines = [
        describe(),
        f"{queries} queries (of {arguments.images} images), {rows} x {WIDTH} vectors, k {K}, file {size:.2f} GiB; "
        f"best of {arguments.rounds} rounds, in turns; load {load_before:.1f} before",
        f"signbridge may take {MEMORY / 2**30:.2f} GiB: blocks of {blocks.queries} queries and {blocks.rows} vectors",
        "",
        f"way | s | s for {IMAGES} images | times signbridge's | share of the product rate | other places | "
        "scores differ by at most | GiB of its own | with file pages",
    ]
    best = {way: min(turn.seconds for turn in of_way) for way, of_way in turns.items()}
    for way, of_way in turns.items():
        found = of_way[0].found
        own, resident = (
            max(of_turns) for of_turns in zip(*((turn.own, turn.resident) for turn in of_way), strict=True)
        )
        lines.append(
            f"{way} | {best[way]:.1f} | {best[way] * IMAGES / arguments.images:.0f} | "
            f"{best[way] / best['signbridge']:.2f} | {floor / best[way]:.2f} | "
            f"{(found.row != ours.row).sum()} of {ours.row.size} | {np.abs(found.score - ours.score).max():.1e} | "
            f"{own:.2f} | {resident:.2f}"
        )
    lines += [
        f"floor | {floor:.1f} | {floor * IMAGES / arguments.images:.0f} | {floor / best['signbridge']:.2f} | 1.00"
        f"   {operations / 1e12:.2f} TFLOP at {operations / floor / 1e9:.0f} GFLOP/s",
        "",
        f"recall@{K} of the float8 file against float32 vectors: {_recall(ours, truth):.4f}",
        f"approximate (faiss, 16 cells): recall@{K} {_recall(approximate.found, ours):.4f}, "
        f"{approximate.seconds:.1f} s, most of them for the index",
        f"products, GFLOP/s: {lower_precision_rates()}",
    ]
    print("\n".join(lines))
    if arguments.keep:
        keep("lens_search", lines)


def _recall(approximate: Neighbours, exact: Neighbours) -> float:
    return recall(*(Neighbours(*map(torch.from_numpy, found)) for found in (approximate, exact)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=24, help="whose patches a round searches")
    parser.add_argument("--rows", type=int, default=ROWS, help="text vectors, a multiple of 5000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="append to benchmarks/results/lens_search.md")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
