"""Fit and test a probe at every site and position on the same splits.

What depends on the vectors alone (scalers of all folds, the reduction of each) is done once and shared by whatever
labels and C are asked of it.
"""

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from signbridge.probing.logistic_regression import decision, fit, probabilities
from signbridge.probing.probes import Probe
from signbridge.probing.protocols import Split
from signbridge.probing.reduction import reduce
from signbridge.probing.standardising import centre, scalers


class Cell(NamedTuple):
    """One place to probe: a column of the sweep."""

    site: str
    position: str
    vectors: Float[np.ndarray, "images width"]


class Scored(NamedTuple):
    """What the probes of one cell said of the tested images, split after split, in table order within each."""

    site: str
    position: str
    predicted: list[Int[np.ndarray, "tested"]]  # one array a split: index of the letter
    probability: list[Float[np.ndarray, "tested"]]  # of the true letter
    probes: dict[str, Probe]  # by what they were fitted on; those of the splits that are to be kept


def sweep(
    cells: Iterable[Cell],
    labels: np.ndarray,
    splits: list[Split],
    C: float,
    kept: dict[str, Split],
    workers: int | None = None,
) -> Iterator[Scored]:
    """Score every cell on every split, in the order of `cells`, several cells at once.

    `labels` are the letters; `kept` names the splits whose probes are returned. Each process computes with one
    thread, which is both faster than two threads on products this small and independent of how many processors
    there are.
    """
    jobs = Parallel(n_jobs=workers or _processors(), return_as="generator")
    return jobs(delayed(score)(cell, labels, splits, C, kept) for cell in cells)


def score(cell: Cell, labels: np.ndarray, splits: list[Split], C: float, kept: dict[str, Split]) -> Scored:
    """Fit and test one cell on every split; fit the probes that are to be kept."""
    letters, targets = np.unique(labels, return_inverse=True)
    fits = [*splits, *kept.values()]
    with threadpool_limits(1, user_api="blas"):
        centred = centre(cell.vectors)
        shift, scale = scalers(centred, np.stack([split.train for split in fits]))
        predicted, probability, probes = [], [], {}
        for number, split in enumerate(fits):
            reduced = reduce(centred, shift[number], scale[number], split.train, split.test)
            present, known = np.unique(targets[split.train], return_inverse=True)
            model = fit(reduced, known, len(present), C)
            if number < len(splits):
                chance = np.zeros((split.test.sum(), len(letters)))  # a letter not trained on stays at 0
                chance[:, present] = probabilities(decision(model, reduced.test))
                predicted.append(chance.argmax(axis=1))
                probability.append(chance[np.arange(len(chance)), targets[split.test]])
            else:
                coef = reduced.features.weights(model.weights)
                name = list(kept)[number - len(splits)]
                mean = centred.origin + shift[number]
                probes[name] = Probe(list(letters[present]), coef, model.intercept, mean, scale[number])
    return Scored(cell.site, cell.position, predicted, probability, probes)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
