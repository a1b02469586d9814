"""The full activation patching sweep, against one forward pass a cell and against nnsight's batched ways.

    python -m benchmarks.patching [--keep]

Run it where `dvc repro` has been run. A cell is a site of the decoder, a position and a direction of a pair of images.
nnsight runs every cell, many in one forward pass, and the tower once an image: in `rows` one trace edits a batch whose
rows are each patched at their own cell, in `invokes` each cell is an invoke of the trace. Both have the batch size
that was fastest here.

All are timed in turns in this run, from images to logit differences. Their floor is the products of the model's linear
layers at the rate of large products; attention's own products are not counted.
"""

import argparse
import importlib.metadata
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks.extract import matrix_product_rate
from benchmarks.machine import describe, keep
from signbridge.causal.pairs import image_pairs
from signbridge.causal.patching import (
    PatchingParams,
    Swap,
    patch_one_by_one,
    patching_work,
    swaps,
)
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import PATCHED
from signbridge.vlm.branching import image_span
from signbridge.vlm.catalog import ModelParams
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import LoadedModel, device_from_environment, load
from signbridge.vlm.residual import decoder_sites

try:
    import nnsight
except ImportError:
    nnsight = None

SCRATCH = Path(".scratch/models")
BATCH_SIZES = (6, 13, 26, 39, 78)  # nnsight's, of a miniature pair's 78 cells

Effects = Float[np.ndarray, "swaps runs sites positions"]  # of logits, the donor's token less the receiver's


class Way(NamedTuple):
    """One way to the same numbers."""

    name: str
    model: nn.Module  # whose products are counted
    sweep: Callable[[list[Swap]], Effects]
    swaps: int  # that a round takes


class Clean(NamedTuple):
    """What nnsight's ways start from: the clean runs on a and b, and where each position is."""

    streams: list[Float[Tensor, "runs tokens width"]]  # by site
    logits: Float[Tensor, "runs vocabulary"]
    where: dict[str, slice]


def main() -> None:
    """Measure and print; with --keep also append to the results."""
    arguments = _arguments()
    name, entry = params.selected("model", params.MODELS, ModelParams)
    device, load_before = device_from_environment(), os.getloadavg()[0]
    loaded = load(entry, SCRATCH, device)
    reader = Reader(loaded, entry.prompt, entry.max_new_tokens)
    todo = pairs_to_swap(reader, arguments.pairs)
    dtype, few, work = loaded.model.dtype, arguments.pairs_a_round, patching_work(reader)
    ways = [
        Way("project", loaded.model, lambda swaps: reader.read(swaps, work).vectors["patched"], len(todo)),
        Way("one forward pass a cell", loaded.model, partial(one_by_one, reader), few),
    ]
    if nnsight is None:
        print("nnsight is not there, so it is left out. Install it: pip install '.[benchmarks]'")
    else:
        ways += nnsight_ways(reader, load(entry, SCRATCH, device), todo[:few], few)  # its own model: it leaves hooks

    seconds, found, rate = measured(ways, todo, few, arguments.rounds, partial(matrix_product_rate, dtype, device))
    ours = found["project"]
    lines = [
        f"model {name}, {describe()}, load {load_before:.2f} before",
        f"{ours[0].size} cells a pair; median of {arguments.rounds} rounds, in each of which the project patches "
        f"{len(todo)} pairs, {max(1, reader.batch_size // 8)} a batch, and each other way {few}, always others",
        f"differs by at most: from the project's {ours.size} logit differences, of {np.abs(ours).max():.1f} at most",
        "",
        "way | s a pair | times the project's | GFLOP a pair (blocks + the rest) | "
        f"share of {rate / 1e9:.0f} GFLOP/s | differs by at most",
    ]
    for way in ways:
        blocks, rest = linear_operations(loaded, way, todo[: way.swaps])
        lines.append(
            f"{way.name} | {seconds[way.name]:.4f} | {seconds[way.name] / seconds['project']:.1f} | "
            f"{blocks / 1e9:.2f} + {rest / 1e9:.2f} | {(blocks + rest) / seconds[way.name] / rate:.2f} | "
            f"{np.abs(found[way.name] - ours).max():.1e}"
        )
    print("\n".join(lines))
    if arguments.keep:
        keep("patching", lines)


def measured(
    ways: list[Way], todo: list[Swap], few: int, rounds: int, product_rate: Callable[[], float]
) -> tuple[dict[str, float], dict[str, Effects], float]:
    """Median seconds a pair and the effects of the first `rounds` x `few` pairs, by way, and the median rate.

    The ways take turns, so that what else the machine does falls on all of them.
    """
    for way in ways:
        way.sweep(todo[:few])  # warm-up
    seconds, found, rates = {way.name: [] for way in ways}, {way.name: [] for way in ways}, []
    for start in range(0, rounds * few, few):
        rates.append(product_rate())
        for way in ways:
            taken, first = (todo, start) if way.swaps == len(todo) else (todo[start : start + few], 0)
            began = time.perf_counter()
            effects = way.sweep(taken)
            seconds[way.name].append((time.perf_counter() - began) / len(taken))
            found[way.name].append(effects[first : first + few])
    return (
        {name: statistics.median(times) for name, times in seconds.items()},
        {name: np.concatenate(effects) for name, effects in found.items()},
        statistics.median(rates),
    )


def pairs_to_swap(reader: Reader, wanted: int) -> list[Swap]:
    """Pairs of the sample's images with different answers, as `stages.causal.patch` draws them."""
    sample = tables.read(Path("data/sample.parquet"))
    answers = tables.read(Path("data/answers.parquet")).set_index("image_id")["answer"]
    said, labels = answers.loc[sample["image_id"]].to_numpy(), sample["label"].to_numpy()
    generator = np.random.default_rng(params.seed())
    pairs = image_pairs(labels, sample["photo"].to_numpy(), wanted, generator, lambda a, b: said[a] != said[b])
    return swaps(reader, params.section("patching", PatchingParams, params.CAUSAL), sample["image"], labels, pairs)


@torch.inference_mode()
def one_by_one(reader: Reader, swaps: list[Swap]) -> Effects:
    """A whole forward pass a cell, and a clean one a run, which says the tokens to compare."""
    loaded, sites = reader.loaded, decoder_sites(reader.loaded.parts)
    cells = [(site, position) for site in sites for position in PATCHED]
    effects = []
    for swap in swaps:
        inputs = [_prepared(reader, loaded, [image], swap.prompt) for image in (swap.a, swap.b)]
        clean = torch.cat([loaded.model(**one, logits_to_keep=1).logits[:, -1] for one in inputs])
        runs = [torch.stack(list(patch_one_by_one(loaded, *both, cells))) for both in (inputs, inputs[::-1])]
        effects.append(_effects(clean, torch.stack(runs), swap, len(sites)))
    return np.stack(effects)


def nnsight_ways(reader: Reader, loaded: LoadedModel, few: list[Swap], at_once: int) -> list[Way]:
    """Both of nnsight's batched ways, each with the batch size that does `few` fastest."""
    model = nnsight.TransformersModel(loaded.model, task="image-text-to-text", processor=loaded.processor)
    version, ways = importlib.metadata.version("nnsight"), []
    for run_cells in (in_rows, in_invokes):

        def sweep(batch: int, swaps: list[Swap], run_cells: Callable = run_cells) -> Effects:
            return np.stack([nnsight_sweep(reader, loaded, model, run_cells, batch, swap) for swap in swaps])

        sweep(BATCH_SIZES[0], few)  # warm-up
        tried = {batch: min(_seconds(partial(sweep, batch, few)) for _ in range(3)) for batch in BATCH_SIZES}
        best = min(tried, key=tried.get)
        print(f"{run_cells.__name__}, seconds a pair:", *(f"{n}: {s / len(few):.3f}" for n, s in tried.items()))
        name = f"nnsight {version}, {best} {run_cells.__name__.removeprefix('in_')} a pass"
        ways.append(Way(name, loaded.model, partial(sweep, best), at_once))
    return ways


@torch.inference_mode()
def nnsight_sweep(reader: Reader, loaded: LoadedModel, model, run_cells: Callable, batch: int, swap: Swap) -> Effects:
    """One pair: a clean pass over both images, then every cell from the embeddings on, `batch` cells a pass."""
    takers = [model.get(path) for path in _paths(loaded)]
    inputs = _prepared(reader, loaded, [swap.a, swap.b], swap.prompt)
    with model.trace(**inputs, logits_to_keep=1):
        streams = nnsight.save([])
        for taker in takers:
            streams.append(taker.input.clone())
        logits = nnsight.save(model.output.logits[:, -1])
    last, image = inputs["input_ids"].shape[1] - 1, image_span(loaded, inputs)
    where = {"prompt_last": slice(last, None), "question": slice(image.stop, last), "image": image, "all": slice(None)}
    clean = Clean(streams, logits, where)
    cells = [(run, site, position) for run in (0, 1) for site in range(len(takers)) for position in PATCHED]
    parts = [cells[start : start + batch] for start in range(0, len(cells), batch)]
    patched = torch.cat([run_cells(model, takers, clean, part) for part in parts])
    return _effects(clean.logits, patched.reshape(2, -1, patched.shape[-1]), swap, len(takers))


def in_rows(model, takers: list, clean: Clean, cells: list[tuple[int, int, str]]) -> Float[Tensor, "cells vocabulary"]:
    """One invoke: a batch whose rows are each patched at their own cell."""
    with model.trace(inputs_embeds=clean.streams[0][[run for run, _, _ in cells]], logits_to_keep=1):
        for number, taker in enumerate(takers):
            rows = [(row, run, position) for row, (run, site, position) in enumerate(cells) if site == number]
            if rows:
                stream = taker.input
                for row, run, position in rows:
                    stream[row, clean.where[position]] = clean.streams[number][1 - run, clean.where[position]]
        logits = nnsight.save(model.output.logits[:, -1])
    return logits


def in_invokes(
    model, takers: list, clean: Clean, cells: list[tuple[int, int, str]]
) -> Float[Tensor, "cells vocabulary"]:
    """An invoke a cell, which nnsight runs as one batch."""
    with model.trace(logits_to_keep=1) as tracer:
        logits = nnsight.save([])
        for run, site, position in cells:
            with tracer.invoke(inputs_embeds=clean.streams[0][run : run + 1].clone()):
                donor = clean.streams[site][1 - run : 2 - run]
                takers[site].input[:, clean.where[position]] = donor[:, clean.where[position]]
                logits.append(model.output.logits[:, -1])
    return torch.cat(logits)


def linear_operations(loaded: LoadedModel, way: Way, swaps: list[Swap]) -> tuple[float, float]:
    """Operations a pair of the linear layers: of the decoder's blocks, and of tower, projector and unembedding."""
    paths = {id(module): path for path, module in loaded.model.named_modules()}
    blocks = tuple(f"{paths[id(block)]}." for block in loaded.parts.blocks)
    counted: dict[bool, list[int]] = {True: [], False: []}  # by whether the layer is a block's

    def count(of: list[int], layer: nn.Linear, args: tuple, output: Tensor) -> None:
        of.append(2 * layer.in_features * output.numel())

    handles = [
        module.register_forward_hook(partial(count, counted[path.startswith(blocks)]))
        for path, module in way.model.named_modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        way.sweep(swaps)
    finally:
        for handle in handles:
            handle.remove()
    return sum(counted[True]) / len(swaps), sum(counted[False]) / len(swaps)


def _effects(clean: Tensor, patched: Float[Tensor, "runs cells vocabulary"], swap: Swap, sites: int) -> np.ndarray:
    a, b = swap.tokens or clean.argmax(-1).tolist()
    towards_b = patched[..., b] - patched[..., a]
    return torch.stack([towards_b[0], -towards_b[1]]).reshape(2, sites, len(PATCHED)).float().cpu().numpy()


def _prepared(reader: Reader, loaded: LoadedModel, images: list, prompt: str):
    return reader.to_device(reader.prepare(images, [prompt] * len(images)))


def _paths(loaded: LoadedModel) -> list[str]:
    """Of the modules that take in the stream of each site."""
    paths = {id(module): path for path, module in loaded.model.named_modules()}
    return [paths[id(module)] for module in (*loaded.parts.blocks, loaded.parts.final_norm)]


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=40, help="swept by the project in each round")
    parser.add_argument("--pairs-a-round", type=int, default=2, help="of these, swept by each of the others")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--keep", action="store_true", help="append to benchmarks/results/patching.md")
    arguments = parser.parse_args()
    if arguments.rounds * arguments.pairs_a_round > arguments.pairs:
        parser.error("rounds times pairs a round are more than there are pairs")
    return arguments


if __name__ == "__main__":
    run(main)
