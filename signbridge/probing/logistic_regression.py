"""Multinomial logistic regression with an L2 penalty, to its optimum: scikit-learn's model at a fraction of the cost.

minimise  mean_i(-log softmax(W z_i + b)[y_i]) + |W|^2 / (2 C n),  b unpenalised.

The optimum is unique up to a constant on b, so any exact solver gives the predictions of
`sklearn.linear_model.LogisticRegression` with a small enough `tol`. (With its default of 1e-4 scikit-learn stops far
from the optimum when features outnumber rows: up to one prediction in fifteen differs, measured on 240 x 4096.)

Why it is quick: in coordinates along principal directions (`coordinates.py`) the curvature of the loss at zero,
(K - 1) / K^2 times the spread of each coordinate over n, is diagonal. Variables scaled by its root look alike to
L-BFGS (`descent.py`) from the first step. The first round of steps is taken in them, in float32. Fits that must go near
the optimum, or whose penalty is weak, go on in further rounds, in variables that suit the curvature where the last
round ended (`relative_loss.py`). Small fits cost more in calls than in arithmetic: they are taken many at once. Where
many rows are alike letters tie, and rounding says which is named: such fits are taken alone, with a last round in
float64.
"""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import softmax

from signbridge.probing.coordinates import Coordinates
from signbridge.probing.descent import HISTORY, descend, minimum_near
from signbridge.probing.relative_loss import RelativeLoss, Task, Weights, frames_of

# Largest entry of the gradient in scaled variables. Measured on pixels of 240 x 196 and on activations of 240 x 4096:
# logits are within 2e-4 of the optimum's for C up to 0.01 and within 1e-2 at C = 1, where they range over units.
TOLERANCE = 3e-7
TIGHT = 1e-4  # tolerances below this take several rounds
# How far float32 goes in the first variables: an order of magnitude above where its rounding shows in the gradient.
SINGLE_PRECISION_TOLERANCE = 1e-5
ROUGH = 1e-3  # where the first of several ends
# 1 / (C n) below which the first variables are alike no longer, nor their gradient says how far the optimum is. In the
# later ones logits of rows that were not trained on are off by up to the gradient over the root of the penalty.
WEAK_PENALTY = 0.03
STRONG_PENALTY = 0.3  # from here on the first variables serve to the end, and save the price of others
FIRST_ROUND, LATER_ROUND = 150, 300  # evaluations
FLOAT32_GAIN = 1e-3  # by how much float32 shrinks a gradient before its rounding shows: then a round ends
MAX_EVALUATIONS = 5000
SMALL, TOGETHER = 4000, 128  # numbers of a fit that is taken beside others, and how many fits: the cache holds them
Flat = Float[np.ndarray, "size"]
Objective = Callable[[Flat], tuple[float, Flat]]
_log = logging.getLogger(__name__)


# The C of each fit of this process that stopped before its tolerance, where single precision took it no further or
# evaluations ran out. `sweep.py`, which asks for many fits, says how many.
stopped: list[float] = []


class Model(NamedTuple):
    """A fitted regression, on the coordinates it was fitted on."""

    weights: Float[np.ndarray, "classes rank"]  # of two classes the first row is zero, as in scikit-learn
    intercept: Float[np.ndarray, "classes"]
    evaluations: int  # of the loss and its gradient


def fit(
    coordinates: Coordinates,
    labels: Int[np.ndarray, "train"],
    classes: int,
    C: float,
    start: Model | None = None,
    tolerance: float = TOLERANCE,
) -> Model:
    """Fit `labels` (0 to `classes` - 1, each present) on the training rows.

    `coordinates` do not depend on labels or `C`: share them. `start` is a model to go on from, of another C say; the
    optimum does not depend on it, only the way there.
    """
    return fit_all([Task(coordinates, labels, classes, C)], [start], tolerance)[0]


def fit_all(
    tasks: Sequence[Task], starts: Sequence[Model | None] | None = None, tolerance: float = TOLERANCE
) -> list[Model]:
    """Fit every task, as `fit` does."""
    starts = starts or [None] * len(tasks)
    models: dict[int, Model] = {}
    small = [number for number, task in enumerate(tasks) if task.size <= SMALL and not task.low_rank]
    large = [number for number in range(len(tasks)) if number not in set(small)]
    groups = [small[first : first + TOGETHER] for first in range(0, len(small), TOGETHER)]
    for number in large:
        if tasks[number].low_rank or tasks[number].penalty >= STRONG_PENALTY:
            models[number] = _plain(tasks[number], starts[number], tolerance)
        else:
            groups.append([number])
    for group in groups:
        fitted = _rounds([tasks[number] for number in group], [starts[number] for number in group], tolerance)
        models.update(zip(group, fitted, strict=True))
    return [models[number] for number in range(len(tasks))]


def decision(model: Model, rows: Float[np.ndarray, "rows rank"]) -> Float[np.ndarray, "rows classes"]:
    """The logits of each row."""
    return rows @ model.weights.T + model.intercept


def probabilities(logits: Float[np.ndarray, "rows classes"]) -> Float[np.ndarray, "rows classes"]:
    """The softmax of each row."""
    return softmax(logits, axis=1)


def _plain(task: Task, start: Model | None, tolerance: float) -> Model:
    """All rounds in the first variables, the last in float64: what is tied is decided as by one precise solver."""
    coarse = max(tolerance, SINGLE_PRECISION_TOLERANCE)
    at, evaluations, done = _in_first_variables(task, _before(task, start), coarse, FIRST_ROUND, np.float32)
    if tolerance < coarse or not done:
        at, more, done = _in_first_variables(task, at, tolerance, MAX_EVALUATIONS - evaluations, np.float64)
        evaluations += more
    if not done:
        _note(evaluations, task)
    return Model(at[:, :-1], at[:, -1], evaluations)


def _note(evaluations: int, task: Task) -> None:
    stopped.append(task.C)
    _log.debug("A probe stopped after %d evaluations (C=%g); a smaller C converges sooner.", evaluations, task.C)


def _rounds(tasks: Sequence[Task], starts: Sequence[Model | None], tolerance: float) -> list[Model]:
    """Round after round, each from where the last one ended, until every task is done."""
    weights = [_before(task, start) for task, start in zip(tasks, starts, strict=True)]
    evaluations = np.zeros(len(tasks), dtype=int)
    several = np.array([tolerance < TIGHT or task.penalty < WEAK_PENALTY for task in tasks])
    left, spent, most = np.arange(len(tasks)), 0, FIRST_ROUND
    while len(left) and spent < MAX_EVALUATIONS:
        if spent == 0:
            goals = np.where(several, max(tolerance, ROUGH), tolerance)
        else:
            goals = np.array([tolerance * min(1.0, tasks[task].penalty / WEAK_PENALTY) ** 0.5 for task in left])
        most = min(most, MAX_EVALUATIONS - spent)
        these = [tasks[task] for task in left]
        at = [weights[task] for task in left]
        if spent == 0 and len(tasks) == 1:
            found, count, whether = _in_first_variables(these[0], at[0], float(goals[0]), most, np.float32)
            at, counts, done = [found], np.array([count]), np.array([whether])
        else:
            at, counts, done = _round(these, at, goals, most, first=spent == 0)
        for task, found in zip(left, at, strict=True):
            weights[task] = found
        evaluations[left] += counts - (spent > 0)  # a round starts where the last one was evaluated
        left = left[~done | (several[left] & (spent == 0))]
        spent, most = spent + most, LATER_ROUND
    for task in left:
        _note(int(evaluations[task]), tasks[task])
    return [Model(found[:, :-1], found[:, -1], int(count)) for found, count in zip(weights, evaluations, strict=True)]


Ended = tuple[list[Weights], Int[np.ndarray, "tasks"], np.ndarray]  # weights, evaluations, whether done


def _round(
    tasks: Sequence[Task], at: Sequence[Weights], goals: Float[np.ndarray, "tasks"], most: int, first: bool
) -> Ended:
    """Improve the weights of all tasks at once."""
    frames = frames_of(tasks, at, [not first and task.penalty < STRONG_PENALTY for task in tasks])
    loss = RelativeLoss(tasks, frames)
    reached = goals
    if not first:
        reached = np.maximum(goals, FLOAT32_GAIN * np.abs(loss.gradient).max(axis=(1, 2)))
    with np.errstate(over="ignore", invalid="ignore"):  # steps that go too far; the line search turns back
        found = descend(loss, len(tasks), loss.gradient[0].size, reached, most)
    moved = found.points.reshape(loss.shape).astype(float)
    ended = [
        weights + frame.step(step[: weights.shape[0], : weights.shape[1]])
        for weights, frame, step in zip(at, frames, moved, strict=True)
    ]
    return ended, found.evaluations, found.done & (reached <= goals)


def _in_first_variables(
    task: Task, at: Weights, goal: float, most: int, precision: type[np.floating]
) -> tuple[Weights, int, bool]:
    """Improve the weights of one task: loss and weights as they are, not as differences, which takes less."""
    count, rank = task.coordinates.train.shape
    free = slice(1, None) if task.classes == 2 else slice(None)
    curvature, penalty = task.curvature_at_zero, task.penalty
    scale = 1 / np.sqrt(np.append(curvature * task.coordinates.spread / count + penalty, curvature))
    objective = _objective(task.coordinates.train, scale, task.labels, task.classes, penalty, precision)
    walk = minimum_near((at / scale)[free].ravel().astype(precision), HISTORY, float(np.finfo(precision).eps))
    point = next(walk)
    for evaluation in range(1, most + 1):
        loss, gradient = objective(point)
        done = bool(np.maximum.reduce(np.abs(gradient), initial=0) <= goal)
        if done or evaluation == most:
            break
        point = walk.send((loss, gradient))
    found = np.zeros((task.classes, rank + 1))
    found[free] = point.reshape(-1, rank + 1) * scale
    return found, evaluation, done


def _before(task: Task, start: Model | None) -> Weights:
    """The weights to begin with."""
    if start is not None:
        return np.column_stack([start.weights, start.intercept])
    return np.zeros((task.classes, task.coordinates.train.shape[1] + 1))


def _objective(
    rows: Float[np.ndarray, "train rank"],
    scale: Float[np.ndarray, "rank_and_one"],
    labels: Int[np.ndarray, "train"],
    classes: int,
    penalty: float,
    precision: type[np.floating],
) -> Objective:
    """Loss and gradient as a function of the scaled weights and intercepts of the free classes, flat."""
    count, rank = rows.shape
    free = slice(1, None) if classes == 2 else slice(None)
    scaled = (np.column_stack([rows, np.ones(count)]) * scale).astype(precision)  # the last column is the intercept's
    transposed = np.ascontiguousarray(scaled.T)
    shrink = (penalty * scale**2).astype(precision)
    shrink[rank] = 0
    target = np.zeros((classes, count), precision)
    target[labels, np.arange(count)] = 1
    logits = np.zeros((classes, count), precision)
    error, shrunk = np.empty_like(logits), np.empty((classes, rank + 1), precision)[free]

    def objective(flat: Flat) -> tuple[float, Flat]:
        weights = flat.reshape(-1, rank + 1)
        if classes == 2:
            logits[0] = 0
        np.matmul(weights, transposed, out=logits[free])
        np.subtract(logits, np.maximum.reduce(logits, axis=0), out=logits)
        loss = -float(np.vdot(logits, target))
        np.exp(logits, out=error)
        total = np.add.reduce(error, axis=0)
        np.divide(error, total, out=error)
        loss += float(np.add.reduce(np.log(total, out=total)))
        np.subtract(error, target, out=error)
        np.divide(error, count, out=error)
        np.multiply(shrink, weights, out=shrunk)
        gradient = error[free] @ scaled
        gradient += shrunk
        return loss / count + float(np.vdot(shrunk, weights)) / 2, gradient.ravel()

    return objective
