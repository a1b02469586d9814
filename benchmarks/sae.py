"""Training sparse autoencoders on stored activations, beside SAELens's own loop on the same ones.

    python -m benchmarks.sae [--keep] [--rounds 3]

Two sites of 40,000 tokens lie in a file: sums of a few of many directions, read 4,480 tokens at a time as a model gives
them. Both ways train one autoencoder a site with the same settings: those of the default preset at the miniature's
width, and a width of 768 with as many more features.

- **signbridge**: `train` on `ShuffledTokens`, half of whose buffer is drawn before it is filled up again.
- **SAELens**: `MultiSAETrainer.fit` on `multi_hook_concat_split_iter`, its mixing buffer, which does the same.

Each is a process of its own that trains when it is its turn, in rounds. Time is from the first token read to the
finished autoencoders, with nothing logged to a server; memory is what the process takes at most above what it took
before, with the file's pages, which are the system's to take back. Needs Linux.
"""

import argparse
import contextlib
import io
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.machine import describe, keep
from signbridge.core.command_line import run
from signbridge.sae.settings import TopKPreset, features_of
from signbridge.sae.token_stream import ShuffledTokens, Tokens

SITES = ("layer_04", "layer_08")
TOKENS, READ_AT_ONCE, BUFFER, DIRECTIONS, ACTIVE = 40_000, 4_480, 8_192, 1_000, 10
COMMON = {"architecture": "batchtopk", "k": 32, "buffer": BUFFER, "lr": 1e-3, "warm_up": 0.05, "decay": 0.3,
          "mean_norm": "sqrt_width", "dead_after": 30}  # fmt: skip
SETTINGS = {
    192: TopKPreset(**COMMON, width="4x", batch=256, tokens=25_600),
    768: TopKPreset(**COMMON, width="4x", batch=512, tokens=10_240),
}


class Turn(NamedTuple):
    """One training of one way."""

    seconds: float
    gib: float


class StoredTokens:
    """The source of a stream: the file, from its start again when it ends."""

    def __init__(self, path: Path):
        self._vectors = np.load(path, mmap_mode="r")  # sites x tokens x width
        self.position = {"at": 0}

    def more(self) -> Tokens:
        start = self.position["at"] % (self._vectors.shape[1] - READ_AT_ONCE)
        self.position = {"at": start + READ_AT_ONCE}
        read = torch.from_numpy(np.array(self._vectors[:, start : start + READ_AT_ONCE]))
        return Tokens(dict(zip(SITES, read, strict=True)), torch.zeros(READ_AT_ONCE, dtype=torch.bool))


def signbridge_way(path: Path, preset: TopKPreset) -> None:
    """Train as the stage does."""
    from signbridge.sae.training import train

    train(ShuffledTokens(StoredTokens(path), preset.buffer, preset.batch, 0), preset, 0, torch.device("cpu"), {})


def sae_lens_way(path: Path, preset: TopKPreset) -> None:
    """Train as SAELens's runner for several sites does."""
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.training.mixing_buffer import multi_hook_concat_split_iter
    from sae_lens.training.multi_sae_trainer import MultiSAETrainer

    steps = preset.tokens // preset.batch
    source = StoredTokens(path)
    width = source.more().vectors[SITES[0]].shape[1]
    config = SAETrainerConfig(
        steps * preset.batch, preset.batch, lr=preset.lr, lr_end=preset.lr, dead_feature_window=preset.dead_after,
        lr_warm_up_steps=round(preset.warm_up * steps), lr_decay_steps=round(preset.decay * steps),
        n_batches_for_norm_estimate=BUFFER // 2 // preset.batch,
    )  # fmt: skip
    autoencoders = {
        site: BatchTopKTrainingSAE(
            BatchTopKTrainingSAEConfig(
                d_in=width, d_sae=features_of(preset, width), k=preset.k,
                normalize_activations="expected_average_only_in",
            )
        )
        for site in SITES
    }  # fmt: skip

    def reads() -> Iterator[dict[str, Tensor]]:
        while True:
            yield source.more().vectors

    batches = multi_hook_concat_split_iter(BUFFER, preset.batch, reads(), list(SITES))
    MultiSAETrainer(config, autoencoders, {site: site for site in SITES}, batches).fit()


WAYS: dict[str, Callable[[Path, TopKPreset], None]] = {"signbridge": signbridge_way, "SAELens": sae_lens_way}


def main() -> None:
    """Print tokens a second and peak memory of both ways; with --keep, append them to the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="append the result to benchmarks/results/sae.md")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    lines = [describe(), f"{len(SITES)} sites, median of {arguments.rounds} rounds, lowest and highest"]
    with tempfile.TemporaryDirectory() as folder:
        for width, preset in SETTINGS.items():
            path = Path(folder) / f"{width}.npy"
            write_tokens(path, width)
            lines.append(f"width {width}, {features_of(preset, width)} features, {preset.tokens} tokens:")
            lines += [line(way, turns, preset) for way, turns in in_turns(path, preset, arguments.rounds).items()]
    print("\n".join(lines))
    if arguments.keep:
        keep("sae", lines)


def write_tokens(path: Path, width: int) -> None:
    """Sums of a few of `DIRECTIONS`, with weights from 1 to 2."""
    generator = torch.Generator().manual_seed(0)
    vectors = []
    for _ in SITES:
        directions = torch.nn.functional.normalize(torch.randn(DIRECTIONS, width, generator=generator), dim=1)
        active = torch.rand(TOKENS, DIRECTIONS, generator=generator) < ACTIVE / DIRECTIONS
        vectors.append((active * (1 + torch.rand(TOKENS, DIRECTIONS, generator=generator))) @ directions)
    np.save(path, torch.stack(vectors).numpy())


def in_turns(path: Path, preset: TopKPreset, rounds: int) -> dict[str, list[Turn]]:
    """Every way trains once a round, each time in a new process, and in the other order every other round."""
    turns: dict[str, list[Turn]] = {way: [] for way in WAYS}
    context = multiprocessing.get_context("spawn")
    for round_ in range(rounds):
        for way in list(WAYS)[:: 1 if round_ % 2 == 0 else -1]:
            with ProcessPoolExecutor(1, mp_context=context) as process:
                turns[way].append(process.submit(one_turn, way, path, preset).result())
    return turns


def one_turn(way: str, path: Path, preset: TopKPreset) -> Turn:
    """Train once, after everything is imported and a few steps were taken: what is done once is not timed."""
    import signbridge.sae.training  # noqa: F401  and SAELens with it

    Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on
    before = _peak_gib()
    with contextlib.redirect_stderr(io.StringIO()):
        WAYS[way](path, preset.model_copy(update={"tokens": 8 * preset.batch}))
        start = time.perf_counter()
        WAYS[way](path, preset)
        return Turn(time.perf_counter() - start, _peak_gib() - before)


def line(way: str, turns: list[Turn], preset: TopKPreset) -> str:
    """What one way came to."""
    rates = sorted(preset.tokens / turn.seconds for turn in turns)
    gib = max(turn.gib for turn in turns)
    return f"  {way:10} {statistics.median(rates):6.0f} tokens/s ({rates[0]:.0f} to {rates[-1]:.0f}), {gib:.2f} GiB"


def _peak_gib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20


if __name__ == "__main__":
    run(main)
