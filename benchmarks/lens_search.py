"""The exact search of LatentLens in one text layer, beside the published implementation's way and faiss's exact index.

    python -m benchmarks.lens_search [--keep]

A round searches 49 patches of each of 24 images. The layer is 100,000 x 4096: tokens with 20 contexts each around a
centre, and all around one direction; half of the queries lie as near to a centre as its contexts, half farther.

- **signbridge**: `nearest` on the float8 file, memory-mapped, expanded as it is read. What memory it takes is tested.
- **published** (McGill-NLP/latentlens, `ContextualIndex.search`, restated): the layer's unit vectors in float32; for
  each image the product with all of them, then the best of all scores of each query.
- **faiss**: `IndexFlatIP`, all queries in one search. It returns equal scores in no fixed order.

All search the same numbers, those of the float8 file, in turns. The rate of large matrix products says how far each is
from the least that exact search can take. Needs faiss: `pip install -e '.[lenses]'`.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.extract import matrix_product_rate
from benchmarks.machine import describe, keep
from signbridge.core.command_line import run
from signbridge.lenses.search import Neighbours, imported_faiss, nearest, nearest_approximate, recall
from signbridge.lenses.stored_vectors import StoredVectors, write

WIDTH, CONTEXTS, K, PATCHES = 4096, 20, 5, 49
MEMORY = 512 * 2**20  # that signbridge's search may take


def layer_and_queries(rows: int, count: int) -> tuple[np.ndarray, Tensor]:
    """The layer's vectors, rows x width, and what is looked for in it, count x width."""
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((rows // CONTEXTS, WIDTH), dtype=np.float32) + np.float32(0.5)
    vectors = generator.standard_normal((rows, WIDTH), dtype=np.float32)
    vectors *= 0.8
    vectors += centres.repeat(CONTEXTS, axis=0)
    distance = np.where(np.arange(count) % 2, 4, 0.8).astype(np.float32)[:, None]
    queries = centres[generator.integers(len(centres), size=count)]
    return vectors, torch.from_numpy(queries + distance * generator.standard_normal((count, WIDTH), dtype=np.float32))


def published(queries: Tensor, units: Tensor) -> Neighbours:
    """The published implementation's search, an image at a time."""
    best = [(functional.normalize(image, dim=-1) @ units.T).topk(K, dim=-1) for image in queries.split(PATCHES)]
    row = torch.cat([of_image.indices for of_image in best])
    return Neighbours(torch.cat([of_image.values for of_image in best]), row, torch.zeros_like(row))


def faiss_search(queries: Tensor, index) -> Neighbours:
    """The exact index of faiss, all queries together."""
    score, row = map(torch.from_numpy, index.search(functional.normalize(queries, dim=-1).numpy(), K))
    return Neighbours(score, row, torch.zeros_like(row))


def _timed(search: Callable[[], Neighbours]) -> tuple[float, Neighbours]:
    start = time.perf_counter()
    found = search()
    return time.perf_counter() - start, found


def main() -> None:
    """Measure and print; with --keep also append to the results."""
    arguments = _arguments()
    faiss, load_before = imported_faiss(), os.getloadavg()[0]
    vectors, queries = layer_and_queries(arguments.rows, PATCHES * arguments.images)
    truth = published(queries, functional.normalize(torch.from_numpy(vectors), dim=-1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.safetensors"
        write(path, [vectors], *vectors.shape, "float8")
        layers = {"layer": StoredVectors.open(path)}
        units = layers["layer"].block(0, arguments.rows, "cpu")
        del vectors
        index = faiss.IndexFlatIP(WIDTH)
        index.add(units.numpy())
        ways = {
            "signbridge": lambda: nearest(queries, layers, K, MEMORY),
            "published": lambda: published(queries, units),
            "faiss": lambda: faiss_search(queries, index),
        }
        rounds = [{way: _timed(search) for way, search in ways.items()} for _ in range(arguments.rounds)]
        seconds, approximate = _timed(lambda: nearest_approximate(queries, layers, K))
    best = {way: min(of_round[way][0] for of_round in rounds) for way in ways}
    found = {way: rounds[0][way][1] for way in ways}
    floor = 2 * len(queries) * arguments.rows * WIDTH / matrix_product_rate(torch.float32, torch.device("cpu"))
    lines = [
        describe(),
        f"{len(queries)} queries (of {arguments.images} images), {arguments.rows} x {WIDTH} vectors, k {K}; best of "
        f"{arguments.rounds} rounds, in turns; load {load_before:.1f} before",
        "",
        "way | s | times signbridge's | share of the product rate | other places | scores differ by at most",
    ]
    for way, of_way in found.items():
        other, apart = (of_way.row != found["signbridge"].row).sum(), (of_way.score - found["signbridge"].score).abs()
        lines.append(
            f"{way} | {best[way]:.1f} | {best[way] / best['signbridge']:.2f} | {floor / best[way]:.2f} | "
            f"{other} of {of_way.row.numel()} | {apart.max():.1e}"
        )
    lines += [
        "",
        f"recall@{K} of the float8 file against float32 vectors: {recall(found['signbridge'], truth):.4f}",
        f"approximate (faiss, 16 cells): recall@{K} {recall(approximate, found['signbridge']):.4f}, {seconds:.1f} s, "
        "most of them for the index",
    ]
    print("\n".join(lines))
    if arguments.keep:
        keep("lens_search", lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=24, help="whose patches a round searches")
    parser.add_argument("--rows", type=int, default=100_000, help="text vectors, a multiple of 20")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="append to benchmarks/results/lens_search.md")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
