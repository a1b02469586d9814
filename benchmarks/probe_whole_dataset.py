"""The grouped sweep over a whole dataset, against scikit-learn on the same rows and against what the machine could do.

    python -m benchmarks.probe_whole_dataset [--sites N] [--rows N] [--width N] [--C 0.1] [--threads 1]

34,627 rows of width 4096, 24 letters, 1,732 photos of about 20 copies each, 5 folds of whole photos: a site of a model
of 7 billion parameters on all of Sign Language MNIST. Each site is timed alone, with `--threads` BLAS threads; 33 of
them are extrapolated from their mean, one to each core that a site leaves free. scikit-learn, with as many threads, is
`StandardScaler` and `LogisticRegression(C=C, max_iter=1000)` in float32, for one of the five folds: it stops at a
gradient of 1e-4, short of the minimum, so that some of its predictions differ.

The floor is the operations of the products (of every pass, of the Gram matrices and their factors) at the rate of
large float32 products in the same run. All three are in seconds of the processor, which other work on the machine
does not lengthen much; the clock stands beside them. What coordinates save is measured on a small part, with and
without them.
`--keep` appends the lines to benchmarks/results/probe_whole_dataset.md.
"""

import argparse
import os
import resource
import time
from collections.abc import Callable
from typing import TypeVar
from unittest import mock

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks.machine import describe, keep
from signbridge.core.activations import let_go
from signbridge.probing import many_rows
from signbridge.probing.many_rows import Probe, fit_and_test

ROWS, WIDTH, LETTERS, COPIES, FOLDS, SITES = 34_627, 4096, 24, 20, 5, 33
T = TypeVar("T")
SMALL_ROWS, SMALL_WIDTH, MOST_PASSES = 8_000, 1_000, 400


def photos(generator: np.random.Generator, rows: int) -> np.ndarray:
    """The photo of each row, in random order; its letter is its number modulo `LETTERS`."""
    return generator.permutation(np.arange(rows) // COPIES)


def activations(
    generator: np.random.Generator, photo: np.ndarray, width: int, into: np.ndarray | None = None
) -> np.ndarray:
    """Rows as a decoder gives them: few strong directions, noise, scales over orders of magnitude, float16."""
    count = photo.max() + 1
    strength = 1 / np.sqrt(1 + np.arange(60))
    of_photo = 0.5 * generator.normal(size=(LETTERS, 60))[np.arange(count) % LETTERS] + generator.normal(
        size=(count, 60)
    )
    directions = generator.standard_normal((60, width), np.float32)
    centre, scale = 3 * generator.normal(size=width), np.exp(generator.normal(size=width))
    vectors = np.empty((len(photo), width), np.float16) if into is None else into
    for start in range(0, len(photo), 1000):
        some = slice(start, start + 1000)
        latent = (of_photo[photo[some]] + 0.3 * generator.normal(size=(len(photo[some]), 60))) * strength
        noise = 0.3 * generator.standard_normal((len(latent), width), np.float32)
        vectors[some] = (latent.astype(np.float32) @ directions + noise + centre) * scale
        let_go(vectors)
    return vectors


def folds(photo: np.ndarray) -> np.ndarray:
    """Training masks: every fifth photo of a letter is left out."""
    return np.stack([photo // LETTERS % FOLDS != fold for fold in range(FOLDS)])


def ours(vectors: np.ndarray, photo: np.ndarray, C: float, memory_gib: float) -> list[Probe]:
    """All folds of one site."""
    train = folds(photo)
    return fit_and_test(vectors, photo % LETTERS, train, ~train, LETTERS, C, int(memory_gib * 2**30), progress=True)


def scikit_learn(vectors: np.ndarray, photo: np.ndarray, C: float) -> tuple[np.ndarray, int]:
    """Predictions of the first fold, and the iterations they took."""
    train = folds(photo)[0]
    scaler = StandardScaler().fit(vectors[train].astype(np.float32))
    model = LogisticRegression(C=C, max_iter=1000).fit(
        scaler.transform(vectors[train].astype(np.float32)), photo[train] % LETTERS
    )
    return model.predict(scaler.transform(vectors[~train].astype(np.float32))), int(model.n_iter_[0])


def operations(probes: list[Probe], rows: int, width: int) -> float:
    """Of all products: four for each pass, training row, feature and letter; Gram matrices; their Cholesky factors."""
    passes = 4 * sum(probe.passes for probe in probes) * rows * (FOLDS - 1) / FOLDS * width * LETTERS
    most = max(probe.passes for probe in probes)
    late = max(int(np.searchsorted(np.cumsum(many_rows.STAGES), most)) + 1 - many_rows.EARLY, 0)  # stages with factors
    return passes + (1 + late) * width**3 / 2 + late * width**3 / 3  # Gram matrices of half as many rows as features


def product_rate() -> float:
    """Operations of a large float32 product in a second of the processor."""
    square = np.ones((2048, 2048), np.float32)  # small, since the peak of memory is measured after it
    return 2 * 2048**3 / min(seconds(lambda: square @ square)[1] for _ in range(10))


def seconds(call: Callable[[], T]) -> tuple[float, float, T]:
    """Seconds on the clock and of the processor that a call takes, and what it returns."""
    clock, processor = time.perf_counter(), time.process_time()
    result = call()
    return time.perf_counter() - clock, time.process_time() - processor, result


class Plain:
    """Coordinates in which a step is a step, in place of `many_rows.Coordinates`."""

    def __init__(self, objective: many_rows.SoftmaxLoss, start: many_rows.Point, probes: np.ndarray, *_: object):
        """No pass over the rows."""
        self.start, self.probes, self.varies = start, probes, objective.inverse_scale[probes] > 0

    def place(self, flat: np.ndarray, into: many_rows.Point) -> None:
        """As `Coordinates.place`."""
        steps = flat.reshape(*self.start.intercept[self.probes].shape, -1)
        into.weights[self.probes] = (self.start.weights[self.probes] + steps[..., :-1]) * self.varies
        into.intercept[self.probes] = self.start.intercept[self.probes] + steps[..., -1]

    def gradient(self, gradient: many_rows.Point) -> np.ndarray:
        """As `Coordinates.gradient`."""
        both = [gradient.weights[self.probes], gradient.intercept[self.probes, :, None]]
        return np.concatenate(both, axis=2).reshape(len(self.probes), -1)


def passes_without_coordinates(vectors: np.ndarray, photo: np.ndarray, C: float) -> tuple[list[Probe], list[Probe]]:
    """Probes found with the curvature's coordinates, and by plain L-BFGS, on the same rows."""
    with_them = ours(vectors, photo, C, 2)
    with mock.patch.multiple(many_rows, STAGES=(MOST_PASSES,), Coordinates=Plain):
        return with_them, ours(vectors, photo, C, 2)


def peak() -> int:
    """The most memory that this process has held so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Measure and print; with --keep also append to the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=1, help="sites to time (default 1)")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--C", type=float, default=0.1, help="default 0.1, the hardest of params.yaml")
    parser.add_argument("--threads", type=int, default=1, help="of BLAS (default 1: cores do other sites)")
    parser.add_argument("--memory-gib", type=float, default=2, help="what the solver may take beside the vectors")
    parser.add_argument("--keep", action="store_true", help="append to benchmarks/results/probe_whole_dataset.md")
    arguments = parser.parse_args()
    lines = []

    def say(line: str) -> None:
        lines.append(line)
        print(line, flush=True)

    with threadpool_limits(arguments.threads, user_api="blas"):
        measure(arguments, say)
    if arguments.keep:
        keep("probe_whole_dataset", lines)


def measure(arguments: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Say what was measured, line by line."""
    generator = np.random.default_rng(0)
    say(f"{describe()}, load of the machine at the start {os.getloadavg()[0]:.1f}")
    say(f"{arguments.rows} rows x {arguments.width} features, {LETTERS} letters, {FOLDS} folds, C = {arguments.C:g}")
    say(f"BLAS threads: {arguments.threads}")
    rate = product_rate()
    taken = []
    for site in range(arguments.sites):
        photo = photos(generator, arguments.rows)
        vectors = activations(generator, photo, arguments.width)
        before = peak()
        clock, processor, probes = seconds(
            lambda some=vectors, of=photo: ours(some, of, arguments.C, arguments.memory_gib)
        )
        taken.append(processor / arguments.threads)
        if not site:
            above = (peak() - before) / 2**30
        right = np.mean(
            [(p.predicted == photo[~t] % LETTERS).mean() for p, t in zip(probes, folds(photo), strict=True)]
        )
        worst = max(probe.error for probe in probes)
        passes = [probe.passes for probe in probes]
        floor = operations(probes, *vectors.shape) / rate
        say(f"site {site}: {processor:.1f} s of the processor, {clock:.1f} on the clock; passes {passes}")
        say(f"        weights within {worst:.1e} of the exact ones, accuracy {right:.3f}")
        say(f"        floor {floor:.1f} s at {rate / 1e9:.0f} Gop/s, share of floor {floor / processor:.2f}")
    together = max(1, len(os.sched_getaffinity(0)) // arguments.threads)
    minutes = SITES * np.mean(taken) / together / 60
    say(f"{SITES} sites, {together} at a time, extrapolated from {len(taken)}: {minutes:.0f} minutes")
    given = f"{arguments.memory_gib:g} GiB given"
    say(f"memory above the vectors ({vectors.nbytes / 2**30:.2f} GiB): {above:.2f} of {given}")

    clock, naive, (predicted, iterations) = seconds(lambda: scikit_learn(vectors, photo, arguments.C))
    differing = int((predicted != probes[0].predicted).sum())
    say(f"scikit-learn: {naive:.1f} s of the processor, {clock:.1f} on the clock, for one fold")
    say(f"        {iterations} iterations to a gradient of 1e-4")
    say(f"        {FOLDS * naive / processor:.2f} times ours for {FOLDS} folds")
    say(f"        {differing} of {len(predicted)} predictions differ from ours")

    small = photos(generator, SMALL_ROWS)
    with_them, without = passes_without_coordinates(activations(generator, small, SMALL_WIDTH), small, arguments.C)
    for name, found in (("with coordinates", with_them), ("plain L-BFGS", without)):
        worst = max(probe.error for probe in found)
        passes = [probe.passes for probe in found]
        say(f"{SMALL_ROWS} x {SMALL_WIDTH}, {name}: passes {passes}, weights within {worst:.1e}")


if __name__ == "__main__":
    main()
