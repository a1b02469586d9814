"""Fit and test a probe at every site and position on the same splits, several at once.

`score` gives the predictions of one site and position and what is learnt from all images (`whole_sample.py`), `predict`
the predictions alone.
"""

import hashlib
import logging
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, Int
from joblib import Parallel, cpu_count, delayed
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from signbridge.core import activations
from signbridge.probing import logistic_regression
from signbridge.probing.description_length import Block, Code
from signbridge.probing.folds import (
    LOOSE_TOLERANCE,
    TOLERANCE_FOR_PREDICTIONS,
    Choice,
    Fold,
    Read,
    batches,
    choose_each,
    folds_of,
    likeliest,
    read_each,
)
from signbridge.probing.logistic_regression import TOLERANCE
from signbridge.probing.probes import Probe, fit_notebook_probe
from signbridge.probing.protocols import Split
from signbridge.probing.whole_sample import fit_whole_sample

T = TypeVar("T")
MEMORY_BYTES = 2 * 2**30
log = logging.getLogger(__name__)


class Cell(NamedTuple):
    """One place to probe: a column of the sweep."""

    site: str
    position: str
    vectors: Float[np.ndarray, "images width"]


class Penalties(NamedTuple):
    """The inverse strengths of the L2 penalty."""

    signbridge: float  # the notebook's
    grouped: Sequence[float]  # to choose from, inside the training images


Penalty = dict[tuple[str, str], list[float]]  # the C of each split, by site and position


class ControlSweep(NamedTuple):
    """What the model was probed on, and how."""

    image_ids: list[str]
    labels: np.ndarray
    photos: np.ndarray
    splits: list[Split]  # of `grouped`
    places: list[tuple[str, str]]  # sites and positions
    Cs: Penalty  # that the model's own probes chose
    memory_bytes: int


class Scored(NamedTuple):
    """What the probes of one cell said of the tested images, split after split, in table order within each."""

    site: str
    position: str
    predicted: list[Int[np.ndarray, "tested"]]  # one array a split: index of the letter
    probability: list[Float[np.ndarray, "tested"]]  # of the true letter
    choices: list[Choice | None]  # one a split; None where nothing was chosen
    probes: dict[str, Probe]  # by what they were fitted on: `sample`, and `signbridge` where that is a protocol
    codes: list[Code]  # of the letters, one an order of sending


def joined(scored: Sequence[Scored]) -> Scored:
    """One cell that was scored in several parts, on splits that follow each other."""
    first = scored[0]
    return first._replace(
        predicted=[predicted for part in scored for predicted in part.predicted],
        probability=[probability for part in scored for probability in part.probability],
        choices=[choice for part in scored for choice in part.choices],
    )


def cells_of(
    folder: Path, places: Iterable[tuple[str, str]], image_ids: list[str], memory_bytes: int | None = None
) -> Iterator[Cell]:
    """The sites and positions of an activation folder, each read as it is asked for.

    Vectors of more than `memory_bytes` stay on disk, in scratch, until `side_by_side` is done with them. Those that a
    killed run left there are deleted first.
    """
    if memory_bytes is not None:
        activations.discard_orphans()
    for site, position in places:
        yield Cell(site, position, activations.read(folder, site, position, image_ids, memory_bytes))


def side_by_side(
    work: Callable[..., T], cells: Iterable[object], *arguments: object, workers: int | None = None
) -> Iterator[T]:
    """`work(cell, *arguments)` of every cell, in order, several cells at once.

    Each process computes with one thread, which is both faster than two threads on products this small and independent
    of how many processors there are. A `Cell` that has the vectors of an earlier one, and of which the arguments say
    the same, is not worked on again: LLaVA's image tokens are the same behind the projector and before block 0.
    """
    places: deque[tuple[object, int]] = deque()  # of each cell that is yet to be given: its place, and its result
    known: dict[object, int] = {}
    read: deque[object] = deque()  # the cells that are being worked on

    def unlike() -> Iterator[object]:
        for number, cell in enumerate(cells):
            is_cell = isinstance(cell, Cell)
            key = _identity(cell, arguments) if is_cell else number
            is_new = key not in known
            places.append(((cell.site, cell.position) if is_cell else None, known.setdefault(key, len(known))))
            if is_new:
                read.append(cell)
                yield cell
            else:
                _free(cell)

    jobs = Parallel(n_jobs=workers or cpu_count(), return_as="generator")
    done: list[T] = []

    def given() -> Iterator[T]:
        while places and places[0][1] < len(done):
            place, number = places.popleft()
            yield _as_of(place, done[number])

    stopped: list[float] = []
    for result, of_work in jobs(delayed(_on_one_thread)(work, cell, *arguments) for cell in unlike()):
        stopped += of_work
        done.append(result)
        _free(read.popleft())
        yield from given()
    yield from given()  # those like an earlier one that were asked for after the last that is not
    if stopped:
        with tqdm.external_write_mode(sys.stderr):  # on a line of its own, whatever bar is there
            Cs = ", ".join(f"{C:g}" for C in sorted(set(stopped)))
            log.info("fits that stopped before their tolerance: %d, of C = %s (docs/study.md)", len(stopped), Cs)


def _free(cell: object) -> None:
    if isinstance(cell, Cell):
        activations.discard(cell.vectors)


def _identity(cell: Cell, arguments: Sequence[object]) -> object:
    """What the work on a cell depends on, beside what is the same for all: vectors, and what is said of its place."""
    said = [_said_of((cell.site, cell.position), argument) for argument in arguments]
    return cell.vectors.shape, str(cell.vectors.dtype), digest_of(cell.vectors), repr(said)


def digest_of(vectors: Float[np.ndarray, "images width"]) -> bytes:
    """SHA-256 of the numbers, by which vectors that two sites or two models share are told."""
    digest = hashlib.sha256()
    for start in range(0, len(vectors), activations.ROWS_TOGETHER):
        digest.update(np.ascontiguousarray(vectors[start : start + activations.ROWS_TOGETHER]))
        activations.let_go(vectors)
    return digest.digest()


def _said_of(place: tuple[str, str], argument: object) -> object:
    """What a mapping from places says of one, also where it is a field of an argument; of arrays, which they are."""
    if isinstance(argument, dict):
        said = argument.get(place)
        return said if said is None or all(isinstance(part, int | float) for part in said) else id(said)
    if isinstance(argument, tuple) and hasattr(argument, "_fields"):
        return [_said_of(place, field) for field in argument if isinstance(field, dict)]
    return None


def _as_of(place: tuple[str, str] | None, result: T) -> T:
    return result._replace(site=place[0], position=place[1]) if isinstance(result, Scored) else result


def score(
    cell: Cell,
    labels: np.ndarray,
    splits: list[Split],
    penalties: Penalties,
    orders: Sequence[Sequence[Block]] = (),
    memory_bytes: int = MEMORY_BYTES,
) -> Scored:
    """Test one cell on every split, then fit the probe of the whole sample and send the letters in each of `orders`.

    The whole sample has no images left to choose by: its C is the one that most splits chose. `memory_bytes` bounds
    what the solver takes beside the vectors where rows outnumber wide features.
    """
    letters, targets = np.unique(labels, return_inverse=True)
    grouped = folds_of(cell.vectors, [split for split in splits if split.protocol != "signbridge"], memory_bytes)
    found = _chosen_and_read(grouped, targets, penalties.grouped)
    reads, choices, probes = [], [], {}
    for split in splits:
        if split.protocol == "signbridge":
            probes["signbridge"] = fit_notebook_probe(cell.vectors, labels, split.train, penalties.signbridge)
            reads.append(_read_by(probes["signbridge"], cell.vectors[split.test], letters, targets[split.test]))
            choices.append(None)
        else:
            choice, read = next(found)
            choices.append(choice)
            reads.append(read)
    C, Cs = _commonest(choices), penalties.grouped
    if C is None:
        C, Cs = penalties.signbridge, [penalties.signbridge]
    whole = fit_whole_sample(cell.vectors, labels, C, orders, Cs, memory_bytes)
    probes["sample"] = whole.probe
    return Scored(cell.site, cell.position, *_columns(reads), choices, probes, whole.codes)


def _chosen_and_read(
    folds: Iterable[Fold], targets: Int[np.ndarray, "images"], Cs: Sequence[float]
) -> Iterator[tuple[Choice, Read]]:
    """The C of each fold and what its probe reads; few rows are fitted fold by fold."""
    for batch in batches(folds, together=1):
        choices = choose_each(batch, targets, Cs)
        labelled = [(fold, targets, choice.C) for fold, choice in zip(batch, choices, strict=True)]
        yield from zip(choices, read_each(labelled, TOLERANCE), strict=True)


def predict(
    cell: Cell,
    labels: np.ndarray,
    splits: list[Split],
    Cs: dict[tuple[str, str], Sequence[float]] | Sequence[float],
    memory_bytes: int = MEMORY_BYTES,
) -> Scored:
    """Test one cell on every split for its predictions alone, with a C of its own choice or one that is given.

    `Cs` is the list to choose from inside the training images or, as a dictionary, the C of each split by site and
    position.
    """
    targets = np.unique(labels, return_inverse=True)[1]
    reads, choices = [], []
    for batch in batches(folds_of(cell.vectors, splits, memory_bytes)):
        if isinstance(Cs, dict):
            given = Cs[cell.site, cell.position][len(reads) : len(reads) + len(batch)]
            choices += [None] * len(batch)
        else:
            choices += choose_each(batch, targets, Cs)
            given = [choice.C for choice in choices[-len(batch) :]]
        labelled = [(fold, targets, C) for fold, C in zip(batch, given, strict=True)]
        reads += read_each(labelled, TOLERANCE_FOR_PREDICTIONS)
    return Scored(cell.site, cell.position, *_columns(reads), choices, probes={}, codes=[])


def accuracy_of_labels(
    cell: Cell,
    splits: list[Split],
    Cs: dict[tuple[str, str], Sequence[float]],
    draws: Sequence[Sequence[Int[np.ndarray, "images"]]],
    memory_bytes: int = MEMORY_BYTES,
) -> list[Float[np.ndarray, "draws"]]:
    """The accuracy of probes that are trained and tested on other labels, one array a split.

    `Cs` has the C of each split by site and position; `draws` the labels (0 to letters - 1) by repeat.
    """
    accuracies = []
    for fold, C in zip(folds_of(cell.vectors, splits, memory_bytes), Cs[cell.site, cell.position], strict=True):
        of_repeat = draws[fold.split.repeat]
        reads = read_each([(fold, draw, C) for draw in of_repeat], LOOSE_TOLERANCE)
        tested = [draw[fold.split.test] for draw in of_repeat]
        right = [(read.predicted == true).mean() for read, true in zip(reads, tested, strict=True)]
        accuracies.append(np.array(right, dtype=float))
    return accuracies


def _read_by(
    probe: Probe, vectors: Float[np.ndarray, "tested width"], letters: np.ndarray, targets: Int[np.ndarray, "tested"]
) -> Read:
    """What a fitted probe says of images; a letter that it does not know has probability 0."""
    chances = np.zeros((len(vectors), len(letters)))
    chances[:, np.searchsorted(letters, probe.classes)] = probe.predict_probability(vectors)
    return likeliest(chances, targets)


def _columns(reads: list[Read]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return [read.predicted for read in reads], [read.probability for read in reads]


def _commonest(choices: list[Choice | None]) -> float | None:
    """The C chosen most often, of equals the smallest; None where nothing was chosen."""
    counts = Counter(choice.C for choice in choices if choice)
    return min(counts, key=lambda C: (-counts[C], C)) if counts else None


def _on_one_thread(work: Callable[..., T], *arguments: object) -> tuple[T, list[float]]:
    """The result, and the C of each fit that stopped early on the way to it."""
    logistic_regression.stopped.clear()
    with threadpool_limits(1, user_api="blas"):
        return work(*arguments), list(logistic_regression.stopped)
