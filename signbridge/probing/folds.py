"""One split of one cell: choose the penalty inside its training images, fit them all, test the rest.

The rows are standardised by all training images of the split, and the inner folds use the same scale: it depends on no
label and on no test image. So a split is reduced once, and each inner fold costs only its own small fits.

Where rows outnumber wide features (a whole dataset), reducing them costs more than fitting them; there
`many_rows.py` fits the rows as they are, and the penalty is chosen on a part of them. Everywhere else the rows are
reduced first (`coordinates.py`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from signbridge.probing.coordinates import Coordinates, centre, reduce, reduce_products, scalers
from signbridge.probing.logistic_regression import (
    SMALL,
    TOGETHER,
    TOLERANCE,
    decision,
    fit_all,
    probabilities,
)
from signbridge.probing.many_rows import between, fit_and_test, fit_path
from signbridge.probing.protocols import InnerFold, Split
from signbridge.probing.relative_loss import Task
from signbridge.probing.softmax_loss import Point, at_zero

# Of choices and of shuffled labels, where no single prediction counts. Of 17,280 inner predictions on the miniature,
# for six C, 11 differ from the optimum's; 8 do at 1e-4, which takes a third longer, and 32 at 1e-3.
LOOSE_TOLERANCE = 3e-4
# The same of many rows, on the weights. Of 3,040 inner predictions on 4,000 x 500 activations 7 to 39 differ, by C.
LOOSE_WEIGHTS = 3e-2
# Training rows by which a penalty is chosen where rows are many: at most so many a feature, or so many in all.
CHOOSE_ROWS, CHOOSE_LEAST = 3, 1000
PATIENCE = 2  # larger C that read no more, after which no larger one is tried
# Tight enough where only the likeliest letter counts, not how likely: none differed from the optimum's, C up to 0.01.
TOLERANCE_FOR_PREDICTIONS = 1e-4


class Choice(NamedTuple):
    """The penalty that read the inner folds best."""

    C: float  # of equals the smallest: the stronger penalty
    inner_accuracy: float  # share of the training images read right when they were left out
    at_edge: bool = False  # whether C is the smallest or the largest that was offered: a wider list might read more


class Nested(NamedTuple):
    """Training rows, and how they are split to choose by."""

    train: Float[np.ndarray, "train rank"]
    targets: Int[np.ndarray, "train"]
    inner: Sequence[InnerFold]  # masks over the rows of `train`


def choose(nested: Sequence[Nested], Cs: Sequence[float]) -> list[Choice]:
    """Try ever larger C on the inner folds, each from where the last one ended; the C that reads best, for each.

    A search ends once `PATIENCE` larger C in a row read no more: the weakest penalties take longest to fit.
    """
    ascending = sorted(Cs)
    owner, tasks, tested, letters = [], [], [], []
    for number, (train, targets, inner) in enumerate(nested):
        for fold in inner:
            present, known = np.unique(targets[fold.train], return_inverse=True)
            owner.append(number)
            tasks.append(Task(reduce(train[fold.train], train[fold.test]), known, len(present), ascending[0]))
            tested.append(targets[fold.test])
            letters.append(present)
    right = np.zeros((len(nested), len(ascending)), dtype=int)
    models, left = [None] * len(tasks), list(range(len(tasks)))
    for index, C in enumerate(ascending):
        fitted = fit_all([tasks[one]._replace(C=C) for one in left], [models[one] for one in left], LOOSE_TOLERANCE)
        for one, model in zip(left, fitted, strict=True):
            models[one] = model
            predicted = letters[one][decision(model, tasks[one].coordinates.test).argmax(axis=1)]
            right[owner[one], index] += (predicted == tested[one]).sum()
        goes_on = index - right[:, : index + 1].argmax(axis=1) < PATIENCE
        left = [one for one in left if goes_on[owner[one]]]
        if not left:
            break
    counts = np.bincount(owner, [len(true) for true in tested], len(nested))
    return [best_of(ascending, of_one, int(count)) for of_one, count in zip(right, counts, strict=True)]


def best_of(ascending: Sequence[float], right: Shaped[np.ndarray, "penalties"], tested: int) -> Choice:
    """The C that read most of the `tested` images right, of equals the first."""
    best = int(right.argmax())
    return Choice(float(ascending[best]), float(right[best] / tested), at_edge(ascending, best))


def at_edge(offered: Sequence[float], chosen: int) -> bool:
    """Whether the penalty with the index `chosen` is an end of the list; of a list of one nothing was chosen."""
    return len(offered) > 1 and offered[chosen] in (min(offered), max(offered))


def within(inner: Sequence[InnerFold], train: Bool[np.ndarray, "images"]) -> list[InnerFold]:
    """Inner folds as masks over the training images alone."""
    return [InnerFold(fold.train[train], fold.test[train]) for fold in inner]


def read_letters(
    labelled: Sequence[tuple[Coordinates, Int[np.ndarray, "_train"], float]], letters: int, tolerance: float = TOLERANCE
) -> list[Float[np.ndarray, "_test _letters"]]:
    """Fit training rows with labels and a C; the probability of each letter for each test row, 0 if not trained on."""
    known = [np.unique(targets, return_inverse=True) for _, targets, _ in labelled]
    tasks = [
        Task(coordinates, numbers, len(present), C)
        for (coordinates, _, C), (present, numbers) in zip(labelled, known, strict=True)
    ]
    chances = []
    for task, (present, _), model in zip(tasks, known, fit_all(tasks, tolerance=tolerance), strict=True):
        chances.append(np.zeros((len(task.coordinates.test), letters)))
        chances[-1][:, present] = probabilities(decision(model, task.coordinates.test))
    return chances


# Measured on 2 cores: reducing 27,700 x 4096 takes minutes a split, 27,700 x 1024 seconds.
WIDE = 1024


class Read(NamedTuple):
    """What a probe said of the tested images of a split, in table order."""

    predicted: Int[np.ndarray, "tested"]
    probability: Float[np.ndarray, "tested"]  # of the true letter; 0 if no training image shows it


def likeliest(chances: Float[np.ndarray, "tested letters"], targets: Int[np.ndarray, "tested"]) -> Read:
    """The likeliest letter of each image, and the probability of the true one."""
    return Read(chances.argmax(axis=1), chances[np.arange(len(chances)), targets])


class FewRows(NamedTuple):
    """A split whose rows were standardised and reduced."""

    split: Split
    coordinates: Coordinates

    def choose(self, targets: Int[np.ndarray, "images"], Cs: Sequence[float]) -> Choice:
        """The C that reads the inner folds best."""
        return choose_each([self], targets, Cs)[0]

    def read(self, targets: Int[np.ndarray, "images"], C: float, tolerance: float) -> Read:
        """Fit the training images and test the others; `targets` are 0 to letters - 1."""
        return read_each([(self, targets, C)], tolerance)[0]

    @property
    def small(self) -> bool:
        """Whether it is best fitted beside others."""
        return self.coordinates.train.size <= SMALL


@dataclass(frozen=True)
class ManyRows:
    """A split whose rows stay as they are."""

    split: Split
    vectors: Float[np.ndarray, "images width"]
    memory_bytes: int
    near: dict[float, tuple[np.ndarray, Point]] = field(default_factory=dict)  # by C: labels, and a start for them

    def choose(self, targets: Int[np.ndarray, "images"], Cs: Sequence[float]) -> Choice:
        """The C that reads the inner folds best, of equals the smallest; as `choose` of few rows does.

        Of more than `CHOOSE_ROWS` training rows a feature as many are drawn, to fit and to test by. The penalty keeps
        its proportion to the loss.
        """
        kept, classes = self._drawn(), int(targets.max()) + 1
        train, test = (
            np.stack([getattr(fold, side) & kept for fold in self.split.inner]) for side in ("train", "test")
        )
        whole = np.array([fold.train.sum() for fold in self.split.inner])
        ascending, tested = sorted(Cs), [targets[rows] for rows in test]
        path = fit_path(
            self.vectors, targets, train, test, classes, [list(C * whole / train.sum(axis=1)) for C in ascending],
            self.memory_bytes, progress=True, tolerance=LOOSE_WEIGHTS,
            start=at_zero(len(train), classes, self.vectors.shape[1]),
        )  # fmt: skip
        right = np.zeros(len(ascending), dtype=int)
        for index, probes in enumerate(path):
            right[index] = sum(int((probe.predicted == true).sum()) for probe, true in zip(probes, tested, strict=True))
            self.near[ascending[index]] = targets, between(probes)
            if index - right[: index + 1].argmax() >= PATIENCE:
                break
        return best_of(ascending, right, sum(map(len, tested)))

    def read(self, targets: Int[np.ndarray, "images"], C: float, tolerance: float) -> Read:
        """Fit the training images and test the others. The solver has a `tolerance` of its own, on the weights."""
        return read_each([(self, targets, C)], tolerance)[0]

    def start(self, targets: Int[np.ndarray, "images"], C: float) -> Point | None:
        """Weights near the minimum, if these labels and `C` were part of the choice."""
        chosen_on, near = self.near.get(C, (None, None))
        return near if chosen_on is not None and np.array_equal(chosen_on, targets) else None

    def _drawn(self) -> Bool[np.ndarray, "images"]:
        """The rows to choose by."""
        count, most = int(self.split.train.sum()), max(CHOOSE_ROWS * self.vectors.shape[1], CHOOSE_LEAST)
        drawn = np.random.default_rng([self.split.repeat, self.split.fold]).permutation(len(self.split.train))
        return drawn < most / count * len(drawn) if most < count else np.ones(len(drawn), dtype=bool)


Fold = FewRows | ManyRows


def choose_each(folds: Sequence[Fold], targets: Int[np.ndarray, "images"], Cs: Sequence[float]) -> list[Choice]:
    """`choose` of each fold, small ones at once."""
    if not all(isinstance(fold, FewRows) for fold in folds):
        return [fold.choose(targets, Cs) for fold in folds]
    splits = [fold.split for fold in folds]
    nested = [
        Nested(fold.coordinates.train, targets[split.train], within(split.inner, split.train))
        for fold, split in zip(folds, splits, strict=True)
    ]
    return choose(nested, Cs)


def read_each(labelled: Sequence[tuple[Fold, Int[np.ndarray, "images"], float]], tolerance: float) -> list[Read]:
    """`read` of each fold with the labels and the C beside it, small ones at once."""
    if not all(isinstance(fold, FewRows) for fold, _, _ in labelled):
        return _read_many(labelled)
    letters = max((int(targets.max()) for _, targets, _ in labelled), default=0) + 1
    trained = [(fold.coordinates, targets[fold.split.train], C) for fold, targets, C in labelled]
    chances = read_letters(trained, letters, tolerance)
    return [
        likeliest(of_fold, targets[fold.split.test])
        for of_fold, (fold, targets, _) in zip(chances, labelled, strict=True)
    ]


def _read_many(labelled: Sequence[tuple[ManyRows, Int[np.ndarray, "images"], float]]) -> list[Read]:
    """`read_each` of many rows: folds with the same labels and C are fitted in the same passes."""
    alike: dict[tuple[int, float], list[int]] = {}
    for number, (_, targets, C) in enumerate(labelled):
        alike.setdefault((id(targets), C), []).append(number)
    reads: list[Read | None] = [None] * len(labelled)
    for (_, C), numbers in alike.items():
        folds, targets = [labelled[number][0] for number in numbers], labelled[numbers[0]][1]
        train, test = (np.stack([getattr(fold.split, side) for fold in folds]) for side in ("train", "test"))
        starts = [fold.start(targets, C) for fold in folds]
        start = None if None in starts else Point(*map(np.concatenate, zip(*starts, strict=True)))
        classes, memory = int(targets.max()) + 1, folds[0].memory_bytes
        found = fit_and_test(folds[0].vectors, targets, train, test, classes, C, memory, progress=True, start=start)
        for number, probe in zip(numbers, found, strict=True):
            reads[number] = Read(probe.predicted, probe.probability)
    return reads


def batches(folds: Iterable[Fold], together: int = TOGETHER) -> Iterator[list[Fold]]:
    """Folds that are best fitted at once: `together` small ones, of many rows those of one repeat, others alone."""
    batch: list[Fold] = []
    for fold in folds:
        if batch and isinstance(fold, ManyRows) and fold.split.repeat != batch[0].split.repeat:
            yield batch
            batch = []
        batch.append(fold)
        if isinstance(fold, FewRows) and (len(batch) == together or not fold.small):
            yield batch
            batch = []
    if batch:
        yield batch


def has_many_rows(vectors: Float[np.ndarray, "images width"]) -> bool:
    """Whether rows outnumber features that are too many to be reduced to."""
    images, width = vectors.shape
    return images > width > WIDE


def folds_of(vectors: Float[np.ndarray, "images width"], splits: Sequence[Split], memory_bytes: int) -> Iterator[Fold]:
    """Every split, ready to be fitted. `memory_bytes` bounds what many rows take beside `vectors`."""
    if has_many_rows(vectors):
        yield from (ManyRows(split, vectors, memory_bytes) for split in splits)
        return
    if not splits:
        return
    centred = centre(vectors[:, np.ptp(vectors, axis=0) > 0])  # what never varies says nothing
    shift, scale = scalers(centred, np.stack([split.train for split in splits]))
    for number, split in enumerate(splits):
        rows = centred.rows / scale[number]
        if split.train.sum() > rows.shape[1]:
            rows -= shift[number] / scale[number]
            yield FewRows(split, reduce(rows[split.train], rows[split.test]))
        else:  # the shift is the training rows' mean, which is taken off the products
            yield FewRows(split, reduce_products(rows @ rows.T, split.train, split.test))
