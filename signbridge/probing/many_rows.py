"""Multinomial logistic regression where rows outnumber features: a whole dataset, all folds at once.

minimise  f(W, b) = mean_i(-log softmax(W z_i + b)[y_i]) + |W|^2 / (2 C n),  b unpenalised,

over the n training rows of a probe, standardised by their own mean and scale: scikit-learn's `LogisticRegression`, at
convergence. The minimum is unique (but for a constant added to b), so that every exact solver gives the same probe.

Where `logistic_regression.py` reduces rows to coordinates, here they are never copied, reduced or standardised for a
fold: `row_blocks.py` hands them out in blocks, and each block is multiplied by the weights of all folds at once.

The minimum is hard to reach: copies of few photos are nearly separable, so that most of the curvature is gone by the
time the weights are right. L-BFGS therefore runs in stages, each in coordinates in which the Hessian is near the
identity where the stage starts (`curvature.py`). Several C are best fitted from the strongest penalty down, each from
where the last ended (`fit_path`). Coordinates and starts change the path, never the minimum.

When a probe is done: when its weights are within a share TOLERANCE of their length of the exact ones. The penalty makes
f strongly convex in W, so that |W - W*| <= C n |gradient| (Boyd and Vandenberghe 2004, "Convex optimization", 9.1.2);
the curvature in b, which has no such bound, is taken for 1 / classes^2.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from tqdm import tqdm

from signbridge.core.errors import SignBridgeError
from signbridge.probing.curvature import Coordinates, Gram, bytes_of
from signbridge.probing.descent import VECTOR_PAIRS, minimum_near
from signbridge.probing.row_blocks import MOMENT_ROWS, RowBlocks
from signbridge.probing.softmax_loss import (
    Point,
    SoftmaxLoss,
    at_zero,
    logits_of,
    probabilities_of,
)

TOLERANCE = 1e-3
_NO_WEIGHTS = 0.01  # shorter ones count as this long: probes of vectors that say nothing
# Passes before the coordinates are chosen anew. The EARLY stages know pairs of classes, the later ones which rows are
# still in doubt: at C = 100 that took 71 passes where the former stopped after 120, 0.5 % off (measured). After a
# later stage a probe whose error was not halved is left.
STAGES, EARLY = (8, 40, 64, 128, 256), 2
FEWEST_ROWS, MOST_ROWS = 256, 2048  # of a block: products of 256 rows run at nine tenths of the rate of large ones
BLOCK_BYTES = 4 * 2**20  # of a block: what the cache holds between the two products with it (a tenth quicker, measured)
_MARGIN = 48 * 2**20  # what products and the allocator keep for themselves
_log = logging.getLogger(__name__)


class Probe(NamedTuple):
    """One probe, fitted and tested: softmax(coef (x - mean) / scale + intercept)."""

    predicted: Int[np.ndarray, "tested"]  # class of each test row, in table order
    probability: Float[np.ndarray, "tested"]  # of its true class; 0 if the probe was not trained on it
    coef: Float[np.ndarray, "classes width"]  # 0 for a class that is not trained on, and for the first of two
    intercept: Float[np.ndarray, "classes"]  # minus infinity for a class that is not trained on
    mean: Float[np.ndarray, "width"]
    scale: Float[np.ndarray, "width"]
    error: float  # bound on the distance to the exact weights, as a share of their length
    passes: int  # over the training rows


def fit_and_test(
    vectors: Float[np.ndarray, "rows width"],
    targets: Int[np.ndarray, "rows"],
    train: Bool[np.ndarray, "probes rows"],
    test: Bool[np.ndarray, "probes rows"],
    classes: int,
    C: float | Sequence[float],
    memory_bytes: int,
    progress: bool = False,
    start: Point | None = None,
) -> list[Probe]:
    """Fit a probe on each row of `train`, all at once, and test it on that of `test`, which may be empty.

    `targets` are 0 to `classes` - 1; `C` is one for all probes or one each. At most about `memory_bytes` are taken
    beside `vectors`: rows are held in float32 if that leaves room, and made anew from `vectors` in each pass if not.
    Give the folds of one repeat, and nested ones one outer fold at a time: rows that serve the same probes go through
    one product (`RowBlocks`). From a `start` near the minimum fewer passes are needed. Raises `SignBridgeError` if
    `memory_bytes` is too small, saying how much would do.
    """
    return next(fit_path(vectors, targets, train, test, classes, [C], memory_bytes, progress, TOLERANCE, start))


def fit_path(
    vectors: Float[np.ndarray, "rows width"],
    targets: Int[np.ndarray, "rows"],
    train: Bool[np.ndarray, "probes rows"],
    test: Bool[np.ndarray, "probes rows"],
    classes: int,
    Cs: Sequence[float | Sequence[float]],
    memory_bytes: int,
    progress: bool = False,
    tolerance: float = TOLERANCE,
    start: Point | None = None,
) -> Iterator[list[Probe]]:
    """`fit_and_test` with each of `Cs` in turn, each from where the last ended: rows are moved and scaled once."""
    count = train.sum(axis=1)
    penalties = [1 / (np.broadcast_to(np.asarray(C, dtype=np.float64), len(train)) * count) for C in Cs]
    most = max(penalties, key=lambda penalty: len(_alike(penalty)))
    room = _room(vectors, int((train | test).any(axis=0).sum()), classes, most, memory_bytes)
    blocks = RowBlocks(vectors, train, test, room.block_rows, room.held)
    present = np.stack([np.bincount(targets[rows], minlength=classes) > 0 for rows in train])
    objective = SoftmaxLoss(blocks, targets, present, count, penalties[0])
    gram = Gram(objective, np.arange(len(train)))
    start = start or at_zero(len(train), classes, vectors.shape[1])
    for penalty in penalties:
        objective.penalty = penalty
        found = _minimise(objective, gram, progress, tolerance, start)
        start = found.point
        yield _tested(objective, found, test)


def between(probes: Sequence[Probe]) -> Point:
    """The mean of probes that were fitted on parts of the same rows: near the probe of all of them."""
    weights, intercept = (np.stack([getattr(probe, name) for probe in probes]) for name in ("coef", "intercept"))
    intercept = np.where(np.isfinite(intercept), intercept, 0.0)
    return Point(weights.mean(axis=0, keepdims=True), intercept.mean(axis=0, keepdims=True))


class _Room(NamedTuple):
    block_rows: int
    held: bool


def _room(vectors: np.ndarray, rows: int, classes: int, penalty: np.ndarray, memory_bytes: int) -> _Room:
    """How many rows a block may have, and whether all of them can be held."""
    width, probes = vectors.shape[1], len(penalty)
    weights = 8 * probes * classes * (width + 1)
    coordinates = bytes_of(width, classes, len(_alike(penalty)))
    moments = 8 * width * (6 * (probes + 1) + 3 * MOMENT_ROWS)
    always = _MARGIN + (2 * VECTOR_PAIRS + 16) * weights + coordinates + moments
    a_row = width * (vectors.itemsize + 4) + 4 * 6 * probes * classes  # as given, scaled for the Gram matrix, logits
    held, streamed = 4 * rows * width + FEWEST_ROWS * a_row, FEWEST_ROWS * (a_row + 4 * width)
    if memory_bytes < always + streamed:
        least = (always + streamed) / 2**30
        raise SignBridgeError(
            f"probe.memory_gib: {probes} probes of {classes} letters on {rows} x {width} numbers need {least:.2f} GiB "
            f"beside the vectors; {max(memory_bytes, 0) / 2**30:.2f} are left. Raise it, or use fewer folds at a time."
        )
    hold = memory_bytes >= always + held
    spare = memory_bytes - always - (4 * rows * width if hold else 0)
    quickest = int(np.clip(BLOCK_BYTES // (4 * width), FEWEST_ROWS, MOST_ROWS))
    return _Room(int(min(quickest, spare // (a_row if hold else a_row + 4 * width))), hold)


def _alike(penalty: Float[np.ndarray, "probes"]) -> list[Int[np.ndarray, "alike"]]:
    """Probes with about the same penalty, as folds of one C have: the same coordinates suit them."""
    order = np.argsort(penalty)
    return np.split(order, np.flatnonzero(np.diff(np.log(penalty[order])) > 0.5) + 1)


class _Found(NamedTuple):
    point: Point
    error: Float[np.ndarray, "probes"]
    passes: Int[np.ndarray, "probes"]


def _minimise(objective: SoftmaxLoss, gram: Gram, progress: bool, tolerance: float, start: Point) -> _Found:
    """Stage after stage until every probe is done, or float32 takes it no further, which is logged."""
    probes = len(objective.free)
    best = _Found(_allowed(objective, start), np.full(probes, np.inf), np.zeros(probes, dtype=np.int64))
    unfinished = np.ones(probes, dtype=bool)
    with tqdm(desc=f"{probes} probes", unit=" passes", leave=False, disable=not progress) as bar:
        for stage, passes in enumerate(STAGES):
            before, early = best.error.copy(), stage < EARLY
            _descend(objective, gram if early else None, best, unfinished, passes, bar, tolerance, anew=stage > 0)
            unfinished &= (best.error > tolerance) & ((best.error < before / 2) | early)
            if not unfinished.any():
                break
    short = best.error > tolerance
    if short.any():
        _log.warning(
            "%d of %d probes stopped with weights up to %.1g %% off the exact ones; a smaller C converges sooner.",
            *(short.sum(), probes, 100 * best.error.max()),
        )
    return best


def _allowed(objective: SoftmaxLoss, start: Point) -> Point:
    """The weights to start from, without those that a probe may not have."""
    weights = np.where(objective.inverse_scale > 0, start.weights, 0.0)
    weights[~objective.free] = 0
    return Point(weights, np.where(objective.free, start.intercept, 0.0))


def _descend(
    objective: SoftmaxLoss,
    gram: Gram | None,
    best: _Found,
    unfinished: np.ndarray,
    passes: int,
    bar: tqdm,
    tolerance: float,
    anew: bool,
) -> None:
    """One stage: improve `best` in place, each evaluation shared by all probes that are not done.

    Without a `gram` each group of probes gets one of its own, of rows as they count where the stage starts. One group
    alone goes on with the Hessian of the last stage unless it is to be made `anew`.
    """
    start = Point(best.point.weights.copy(), best.point.intercept.copy())
    penalties = objective.penalty
    groups = [np.flatnonzero(unfinished)[group] for group in _alike(penalties[unfinished])]
    anew |= len(groups) > 1
    coordinates = [
        Coordinates(objective, start, group, gram or Gram(objective, group, start), anew) for group in groups
    ]
    size = objective.free.shape[1] * (start.weights.shape[2] + 1)
    walks = {probe: minimum_near(np.zeros(size)) for probe in np.flatnonzero(unfinished)}
    steps = {probe: next(walk) for probe, walk in walks.items()}
    going = unfinished.copy()
    trial = Point(start.weights.copy(), start.intercept.copy())
    for _ in range(passes):
        for frame in coordinates:
            frame.place(np.stack([steps[probe] for probe in frame.probes]), trial)
        loss, gradient = objective(trial, going)
        best.passes[going] += 1
        bar.update()
        for frame in coordinates:
            on_steps = frame.gradient(gradient)
            for probe, on_step in zip(frame.probes, on_steps, strict=True):
                if not going[probe]:
                    continue
                going[probe] = not _keep_if_better(best, probe, trial, gradient, penalties[probe], tolerance)
                steps[probe] = walks[probe].send((loss[probe], on_step.astype(np.float64)))
        bar.set_postfix(open=int(going.sum()), off=f"{best.error.max():.0e}")
        if not going.any():
            return


def _keep_if_better(best: _Found, probe: int, trial: Point, gradient: Point, penalty: float, tolerance: float) -> bool:
    """Put a probe's trial point in `best` if its bound on the error is lower, and say whether it is low enough."""
    on_weights, on_intercept = gradient.weights[probe], gradient.intercept[probe]
    distance = np.hypot(np.linalg.norm(on_weights) / penalty, np.linalg.norm(on_intercept) * len(on_intercept) ** 2)
    error = distance / max(np.linalg.norm(trial.weights[probe]), _NO_WEIGHTS)
    if error < best.error[probe]:
        best.error[probe] = error
        best.point.weights[probe] = trial.weights[probe]
        best.point.intercept[probe] = trial.intercept[probe]
    return bool(error <= tolerance)


def _tested(objective: SoftmaxLoss, found: _Found, test: Bool[np.ndarray, "probes rows"]) -> list[Probe]:
    """Every probe with what it says of its test rows."""
    predicted = np.zeros(test.shape, dtype=np.int64)
    probability = np.zeros(test.shape)
    on_rows = objective.on_rows(found.point)
    for block in objective.blocks:
        if not len(block.tests):
            continue
        chance = probabilities_of(logits_of(block.vectors, on_rows, block.tests))
        where = np.ix_(block.tests, block.rows)
        predicted[where] = chance.argmax(axis=2).T
        probability[where] = chance[np.arange(len(chance)), :, objective.targets[block.rows]].T
    scaling = objective.blocks.scaling
    return [
        Probe(
            predicted[probe, tested],
            probability[probe, tested],
            found.point.weights[probe],
            found.point.intercept[probe] + objective.absent[probe],
            scaling.mean[probe],
            scaling.scale[probe],
            float(found.error[probe]),
            int(found.passes[probe]),
        )
        for probe, tested in enumerate(test)
    ]
