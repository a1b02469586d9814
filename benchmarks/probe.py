"""The probe sweep against scikit-learn fitted naively per fold, side by side on the same activations.

    python -m benchmarks.probe [--sites 2] [--parts] [--keep]

240 training and 60 test images, 4096 features, 20 letters. "naive" is `StandardScaler` and `LogisticRegression` for
each fit, as a notebook would, on float32 as activations are stored: as it comes, with a thread a core (which is slower
where threads wait for each other; timed on one fold of each site, and multiplied), and with one BLAS thread. With its
default tolerance that stops short of the optimum; "at the optimum" is the same on float64 with tol=1e-8, one thread,
timed on one fold of each site, and multiplied. "ours" is `signbridge.probing`, which goes to the optimum. Three sweeps
over sites x 5 folds: the plain one; with three C; with three C and three label sets, where the reduction of a fold is
shared. Ours runs one process a core, started before the clock. `--parts` measures instead what the stages `probe` and
`controls` ask of one site and position, in seconds of one processor: nested choice in 5 x 5 folds, with three C and
with six up to 100, and draws of shuffled labels. `--keep` appends the table to
benchmarks/results/probe.md.
"""

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
from joblib import Parallel, delayed
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.machine import describe, keep
from signbridge.probing import protocols
from signbridge.probing.control_sweep import draws_by_repeat
from signbridge.probing.coordinates import centre, reduce, scalers
from signbridge.probing.folds import TOLERANCE_FOR_PREDICTIONS
from signbridge.probing.logistic_regression import decision, fit
from signbridge.probing.sweep import Cell, accuracy_of_labels, predict

IMAGES, WIDTH, LETTERS, FOLDS = 300, 4096, 20, 5
CS = (0.001, 0.01, 0.1)  # of params.yaml
LABEL_SETS = 3


def activations(generator: np.random.Generator) -> np.ndarray:
    """Rows as a decoder gives them: few strong directions, noise, scales over orders of magnitude, float16 steps."""
    labels = np.arange(IMAGES) % LETTERS
    latent = 0.5 * generator.normal(size=(LETTERS, 60))[labels] + generator.normal(size=(IMAGES, 60))
    rows = latent / np.sqrt(1 + np.arange(60)) @ generator.normal(size=(60, WIDTH))
    rows += 0.3 * generator.normal(size=rows.shape)
    scale = np.exp(generator.normal(size=WIDTH))
    return ((rows + 3 * generator.normal(size=WIDTH)) * scale).astype(np.float16).astype(np.float32)


def naive(
    vectors: np.ndarray, label_sets: np.ndarray, train: np.ndarray, cs: tuple[float, ...], tol: float = 1e-4
) -> np.ndarray:
    """Predictions of a fit from scratch for each fold, label set and C."""
    predicted = []
    for fold in train:
        for labels in label_sets:
            for c in cs:
                scaler = StandardScaler().fit(vectors[fold])
                model = LogisticRegression(C=c, tol=tol, max_iter=20_000)
                model.fit(scaler.transform(vectors[fold]), labels[fold])
                predicted.append(model.predict(scaler.transform(vectors[~fold])))
    return np.array(predicted)


def ours(vectors: np.ndarray, label_sets: np.ndarray, train: np.ndarray, cs: tuple[float, ...]) -> np.ndarray:
    """Predictions at the optimum, with one reduction a fold, each C from where the last one ended."""
    with threadpool_limits(1, user_api="blas"):
        centred = centre(vectors)
        shift, scale = scalers(centred, train)
        predicted = []
        for number, fold in enumerate(train):
            rows = (centred.rows - shift[number]) / scale[number]
            coordinates = reduce(rows[fold], rows[~fold])
            for labels in label_sets:
                model = None
                for c in cs:
                    model = fit(coordinates, labels[fold], LETTERS, c, model, TOLERANCE_FOR_PREDICTIONS)
                    predicted.append(decision(model, coordinates.test).argmax(axis=1))
    return np.array(predicted)


def parts() -> list[str]:
    """Rows of a table: seconds of one processor for what the stages ask of one site and position."""
    labels, photos = (np.arange(IMAGES) % LETTERS).astype(str), np.arange(IMAGES) % 140  # two or three images each
    splits = protocols.grouped(labels, photos, folds=FOLDS, repeats=5, inner_folds=3, seed=0)
    cell = Cell("layer_00", "prompt_last", activations(np.random.default_rng(0)))
    place, targets = (cell.site, cell.position), np.unique(labels, return_inverse=True)[1]
    lines = ["part | seconds of one processor"]
    with threadpool_limits(1, user_api="blas"):
        for cs in (CS, (*CS, 1.0, 10.0, 100.0)):
            seconds = _processor(lambda cs=cs: predict(cell, labels, splits, cs))
            lines.append(f"nested choice among {len(cs)} C up to {cs[-1]:g} | {seconds:.2f}")
        for draws, c in ((20, 0.1), (200, 0.1), (200, 100.0)):
            shuffled = draws_by_repeat(targets, photos, splits, draws, seed=0)
            given = {place: [c] * len(splits)}
            seconds = _processor(
                lambda given=given, shuffled=shuffled: accuracy_of_labels(cell, splits, given, shuffled)
            )
            lines.append(f"{draws} draws of shuffled labels, C = {c:g} | {seconds:.2f}")
    return lines


def _processor(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def product_rate() -> float:
    """Operations a second of a float64 matrix product of the Gram matrix's shape on one thread."""
    left, right = np.ones((IMAGES, WIDTH)), np.ones((WIDTH, IMAGES))
    with threadpool_limits(1, user_api="blas"):
        best = min(_seconds(lambda: left @ right)[0] for _ in range(10))
    return 2 * IMAGES**2 * WIDTH / best  # the Gram matrix itself is symmetric and costs half


def compare(sites: list[np.ndarray], label_sets: np.ndarray, train: np.ndarray, cs: tuple[float, ...]) -> list[str]:
    """One row of the table: seconds, ratios, differing predictions, and the floor of the Gram matrices."""
    cores = len(os.sched_getaffinity(0))
    pool = Parallel(n_jobs=cores)
    pool(delayed(ours)(sites[0][:, :64], label_sets[:1], train[:1], (1.0,)) for _ in range(cores))  # start the workers
    fast, mine = _seconds(lambda: pool(delayed(ours)(site, label_sets, train, cs) for site in sites))
    alone, _ = _seconds(lambda: [ours(site, label_sets, train, cs) for site in sites])
    singles = [site.astype(np.float32) for site in sites]
    as_it_comes, _ = _seconds(lambda: [naive(site, label_sets, train[:1], cs) for site in singles])
    with threadpool_limits(1, user_api="blas"):
        one_thread, default = _seconds(
            lambda: [naive(site, label_sets, train, cs) for site in tqdm(singles, desc="naive", leave=False)]
        )
        doubles = tqdm([site.astype(np.float64) for site in sites], desc="at the optimum", leave=False)
        converged, optimum = _seconds(lambda: [naive(site, label_sets, train[:1], cs, tol=1e-8) for site in doubles])
    as_it_comes, converged = as_it_comes * len(train), converged * len(train)
    first_fold = len(label_sets) * len(cs)
    from_optimum = sum(int((a != b[:first_fold]).sum()) for a, b in zip(optimum, mine, strict=True))
    from_default = sum(int((a != b).sum()) for a, b in zip(default, mine, strict=True))
    floor = len(sites) * len(train) * IMAGES**2 * WIDTH / product_rate() / cores
    cells = [
        len(sites) * len(train) * len(label_sets) * len(cs),
        *(f"{value:.2f}" for value in (as_it_comes, one_thread, converged, alone, fast)),
        *(f"{value / fast:.1f}" for value in (as_it_comes, one_thread, converged)),
        f"{from_optimum} of {sum(prediction.size for prediction in optimum)}",
        f"{from_default} of {sum(prediction.size for prediction in mine)}",
        f"{floor:.2f} ({floor / fast:.0%})",
    ]
    return [str(cell) for cell in cells]


def _seconds(call: object) -> tuple[float, object]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def main() -> None:
    """Print the table, a row as soon as it is measured; with --keep also keep it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=2, help="sites in each sweep (default 2)")
    parser.add_argument("--keep", action="store_true", help="append the table to benchmarks/results/probe.md")
    parser.add_argument("--parts", action="store_true", help="measure what the stages ask of one site instead")
    arguments = parser.parse_args()
    if arguments.parts:
        lines = [
            f"{IMAGES} images x {WIDTH} features, {LETTERS} letters, {FOLDS} x 5 folds; {describe()}",
            "",
            *parts(),
        ]
        print("\n".join(lines))
        if arguments.keep:
            keep("probe", lines)
        return

    generator = np.random.default_rng(0)
    sites = [activations(generator) for _ in range(arguments.sites)]
    labels = np.arange(IMAGES) % LETTERS
    label_sets = np.stack([labels, *(generator.permutation(labels) for _ in range(LABEL_SETS - 1))])
    train = np.ones((FOLDS, IMAGES), dtype=bool)
    for fold, (_, tested) in enumerate(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(labels, labels)):
        train[fold, tested] = False

    head = ["sweep", "fits", "naive as it comes (s)", "naive, one thread (s)", "naive to the optimum, one thread (s)"]
    head += ["ours, one process (s)", "ours (s)", "ratio as it comes", "ratio one thread", "ratio to the optimum"]
    head += ["differ from the optimum", "differ from where scikit-learn stops"]
    head += ["Gram matrices at the rate of matrix products (s, share)"]
    lines = [f"{IMAGES} images x {WIDTH} features, {LETTERS} letters, {len(sites)} sites x {FOLDS} folds; {describe()}"]
    lines += ["", " | ".join(head)]
    print("\n".join(lines))
    for name, sets, cs in (
        ("sites x folds", label_sets[:1], CS[-1:]),
        (f"x {len(CS)} C", label_sets[:1], CS),
        (f"x {len(CS)} C x {LABEL_SETS} label sets", label_sets, CS),
    ):
        lines.append(" | ".join([name, *compare(sites, sets, train, cs)]))
        print(lines[-1], flush=True)
    if arguments.keep:
        keep("probe", lines)


if __name__ == "__main__":
    main()
