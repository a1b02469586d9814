"""The whole nested grid of one site and position: six penalties, chosen inside each fold, and what each fold reads.

    python -m benchmarks.probe_grid exact            # 6,000 x 500: the same choices and predictions as the exact way?
    python -m benchmarks.probe_grid rows --width 512 # seconds and memory from 1,000 to 100,000 rows
    python -m benchmarks.probe_grid disk             # 100,000 to 1,000,000 x 512, which stay on disk
    python -m benchmarks.probe_grid whole --folds 1  # 34,627 x 4,096: one outer fold or more

One repeat of 5 folds of whole photos, 3 inner folds, one BLAS thread; rows as in `benchmarks.probe_whole_dataset`. The
exact way fits every penalty on all rows, from zero, to the solver's tolerance. Seconds are the processor's. Memory
is how far the peak lies above that of making the rows, so narrow ones show none; rows on disk that happen to be in
memory count. The floor is the operations
of the solver's products at the rate of large float32 products in the same run; curvature and factors are left out.
`--keep` appends to benchmarks/results/probe_grid.md.
"""

import argparse
import multiprocessing
import tempfile
from collections.abc import Callable
from unittest import mock

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.machine import describe, keep
from benchmarks.probe_whole_dataset import FOLDS, LETTERS, ROWS, WIDTH, activations, folds, peak, photos, product_rate
from benchmarks.probe_whole_dataset import seconds as timed
from signbridge.probing import folds as solver
from signbridge.probing import many_rows
from signbridge.probing.folds import Choice, ManyRows, Read
from signbridge.probing.protocols import InnerFold, Split

PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
INNER = 3
Outcome = tuple[list[Choice], list[Read]]


class Counted:
    """Counts the operations of the products while a grid is fitted."""

    def __init__(self) -> None:
        """None yet."""
        self.operations, self.passes = 0.0, []
        self._minimise = many_rows._minimise

    def __call__(self, objective: many_rows.SoftmaxLoss, *rest: object) -> object:
        """As `many_rows._minimise`; the curvature is left out, which is a tenth at most."""
        found = self._minimise(objective, *rest)
        self.operations += 4 * float(found.passes @ objective.count) * objective.shift.shape[2] * LETTERS
        self.passes.append([int(passes) for passes in found.passes])
        return found


def splits_of(photo: np.ndarray) -> list[Split]:
    """One repeat: every fifth photo of a letter is left out, and inside every third of the rest."""
    splits = []
    for fold, train in enumerate(folds(photo)):
        of_letter = photo // LETTERS
        part = (of_letter // FOLDS + of_letter) % INNER
        inner = tuple(InnerFold(train & (part != number), train & (part == number)) for number in range(INNER))
        splits.append(Split("grouped", 0, fold, train, ~train, inner))
    return splits


def grid(vectors: np.ndarray, photo: np.ndarray, outer: int, memory_bytes: int) -> Outcome:
    """What the first `outer` folds choose and read."""
    targets = photo % LETTERS
    folds = [ManyRows(split, vectors, memory_bytes) for split in splits_of(photo)[:outer]]
    choices = solver.choose_each(folds, targets, PENALTIES)
    labelled = [(fold, targets, choice.C) for fold, choice in zip(folds, choices, strict=True)]
    return choices, solver.read_each(labelled, 0.0)


def exact_grid(vectors: np.ndarray, photo: np.ndarray, outer: int, memory_bytes: int) -> Outcome:
    """The same on all rows, every penalty from zero and to the end."""
    targets, choices, reads = photo % LETTERS, [], []
    for split in splits_of(photo)[:outer]:
        train, test = (np.stack([getattr(fold, side) for fold in split.inner]) for side in ("train", "test"))
        right = []
        for C in PENALTIES:
            probes = many_rows.fit_and_test(vectors, targets, train, test, LETTERS, C, memory_bytes)
            right.append(sum(int((p.predicted == targets[t]).sum()) for p, t in zip(probes, test, strict=True)))
        choices.append(solver.best_of(PENALTIES, np.array(right), int(test.sum())))
        reads.append(ManyRows(split, vectors, memory_bytes).read(targets, choices[-1].C, 0.0))
    return choices, reads


def measured(
    way: Callable[..., Outcome], rows: int, width: int, outer: int, memory_gib: float, on_disk: bool = False
) -> tuple[str, Outcome]:
    """One grid as a line, and what it gave."""
    photo = photos(np.random.default_rng(0), rows)
    with tempfile.NamedTemporaryFile() as file:
        into = np.memmap(file.name, np.float16, "w+", shape=(rows, width)) if on_disk else None
        vectors = activations(np.random.default_rng(1), photo, width, into)
        return _measured(way, vectors, photo, outer, memory_gib)


def _measured(
    way: Callable[..., Outcome], vectors: np.ndarray, photo: np.ndarray, outer: int, memory_gib: float
) -> tuple[str, Outcome]:
    rows, width = vectors.shape
    rate, counted, before = product_rate(), Counted(), peak()
    with mock.patch.object(many_rows, "_minimise", counted):
        _, processor, outcome = timed(lambda: way(vectors, photo, outer, int(memory_gib * 2**30)))
    targets = photo % LETTERS
    tested = zip(outcome[1], splits_of(photo), strict=False)
    right = np.concatenate([read.predicted == targets[split.test] for read, split in tested]).mean()
    floor = counted.operations / rate
    memory = (peak() - before) / 2**30
    return (
        f"{rows} x {width}, {outer} of {FOLDS} folds: {processor:.1f} s, floor {floor:.1f} at {rate / 1e9:.0f} Gop/s; "
        f"{memory:.2f} GiB above the vectors; C {[choice.C for choice in outcome[0]]}, reads {right:.4f}; passes of a "
        f"probe {np.mean([one for each in counted.passes for one in each]):.0f}"
    ), outcome


def _line(*given: int | float | bool) -> str:
    with threadpool_limits(1, user_api="blas"):
        return measured(grid, *given)[0]


def main() -> None:
    """Measure and print; with --keep also append to the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["exact", "rows", "disk", "whole"])
    parser.add_argument("--rows", type=int, nargs="+", help="of `rows` and `disk`")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--folds", type=int, default=FOLDS)
    parser.add_argument("--memory-gib", type=float, default=1.0)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    lines = [describe()]
    if arguments.what == "exact":
        with threadpool_limits(1, user_api="blas"):
            ours, found = measured(grid, 6000, 500, arguments.folds, arguments.memory_gib)
            theirs, exact = measured(exact_grid, 6000, 500, arguments.folds, arguments.memory_gib)
        differ = sum(
            int((one.predicted != other.predicted).sum()) for one, other in zip(found[1], exact[1], strict=True)
        )
        same = sum(one.C == other.C for one, other in zip(found[0], exact[0], strict=True))
        tested = sum(len(read.predicted) for read in exact[1])
        lines += [f"ours:  {ours}", f"exact: {theirs}"]
        lines.append(f"the same C in {same} of {len(exact[0])} folds; {differ} of {tested} predictions differ")
    else:
        usual = {"rows": [1000, 10_000, ROWS, 100_000], "disk": [100_000, 300_000, 1_000_000], "whole": [ROWS]}
        width, on_disk = WIDTH if arguments.what == "whole" else arguments.width, arguments.what == "disk"
        for rows in arguments.rows or usual[arguments.what]:
            with multiprocessing.get_context("spawn").Pool(1) as pool:  # so that its peak of memory is its own
                lines.append(pool.apply(_line, (rows, width, arguments.folds, arguments.memory_gib, on_disk)))
    print("\n".join(lines))
    if arguments.keep:
        keep("probe_grid", lines)


if __name__ == "__main__":
    main()
