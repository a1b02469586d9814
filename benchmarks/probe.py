"""The probe sweep against scikit-learn fitted naively per fold, side by side on the same activations.

    python -m benchmarks.probe [--sites 2] [--keep]

240 training and 60 test images, 4096 features, 20 letters. "naive" is `StandardScaler` and `LogisticRegression` for
each fit, as a notebook would, on float32 as activations are stored, and on float64. "ours" is `signbridge.probing`.
Three sweeps over sites x 5 folds: the plain one; with three C; with three C and three label sets, where the reduction
of a fold is shared. Naive runs twice: with one BLAS thread, and as it comes, with a thread a core, which is slower
where threads wait for each other (timed on one fold of each site, and multiplied). Ours runs one process a core,
started before the clock.
`--keep` appends the table to benchmarks/results/probe.md.
"""

import argparse
import os
import time

import numpy as np
from joblib import Parallel, delayed
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.machine import describe, keep
from signbridge.probing.logistic_regression import decision, fit
from signbridge.probing.reduction import reduce
from signbridge.probing.standardising import centre, scalers

IMAGES, WIDTH, LETTERS, FOLDS = 300, 4096, 20, 5
CS = (0.01, 1.0, 100.0)
LABEL_SETS = 3


def activations(generator: np.random.Generator) -> np.ndarray:
    """Rows as a decoder gives them: few strong directions, noise, scales over orders of magnitude, float16 steps."""
    labels = np.arange(IMAGES) % LETTERS
    latent = 0.5 * generator.normal(size=(LETTERS, 60))[labels] + generator.normal(size=(IMAGES, 60))
    rows = latent / np.sqrt(1 + np.arange(60)) @ generator.normal(size=(60, WIDTH))
    rows += 0.3 * generator.normal(size=rows.shape)
    scale = np.exp(generator.normal(size=WIDTH))
    return ((rows + 3 * generator.normal(size=WIDTH)) * scale).astype(np.float16).astype(np.float32)


def naive(vectors: np.ndarray, label_sets: np.ndarray, train: np.ndarray, cs: tuple[float, ...]) -> np.ndarray:
    """Predictions of a fit from scratch for each fold, label set and C."""
    predicted = []
    for fold in train:
        for labels in label_sets:
            for c in cs:
                scaler = StandardScaler().fit(vectors[fold])
                model = LogisticRegression(C=c, max_iter=1000)
                model.fit(scaler.transform(vectors[fold]), labels[fold])
                predicted.append(model.predict(scaler.transform(vectors[~fold])))
    return np.array(predicted)


def ours(vectors: np.ndarray, label_sets: np.ndarray, train: np.ndarray, cs: tuple[float, ...]) -> np.ndarray:
    """The same predictions, with one reduction a fold."""
    with threadpool_limits(1, user_api="blas"):
        centred = centre(vectors)
        shift, scale = scalers(centred, train)
        predicted = []
        for number, fold in enumerate(train):
            reduced = reduce(centred, shift[number], scale[number], fold, ~fold)
            for labels in label_sets:
                for c in cs:
                    model = fit(reduced, labels[fold], LETTERS, c)
                    predicted.append(decision(model, reduced.test).argmax(axis=1))
    return np.array(predicted)


def product_rate() -> float:
    """Operations a second of a float64 matrix product of the Gram matrix's shape on one thread."""
    left, right = np.ones((IMAGES, WIDTH)), np.ones((WIDTH, IMAGES))
    with threadpool_limits(1, user_api="blas"):
        best = min(_seconds(lambda: left @ right)[0] for _ in range(10))
    return 2 * IMAGES**2 * WIDTH / best


def compare(sites: list[np.ndarray], label_sets: np.ndarray, train: np.ndarray, cs: tuple[float, ...]) -> list[str]:
    """One row of the table: seconds, ratios, differing predictions, and the floor of the Gram matrices."""
    cores = len(os.sched_getaffinity(0))
    pool = Parallel(n_jobs=cores)
    pool(delayed(ours)(sites[0][:, :64], label_sets[:1], train[:1], (1.0,)) for _ in range(cores))  # start the workers
    fast, mine = _seconds(lambda: pool(delayed(ours)(site, label_sets, train, cs) for site in sites))
    alone, _ = _seconds(lambda: [ours(site, label_sets, train, cs) for site in sites])
    naive_seconds, differing = {}, {}
    for dtype in (np.float32, np.float64):
        progress = tqdm(sites, desc=f"naive, {dtype.__name__}", leave=False)
        with threadpool_limits(1, user_api="blas"):
            taken, theirs = _seconds(
                lambda rows=progress, dtype=dtype: [naive(site.astype(dtype), label_sets, train, cs) for site in rows]
            )
        naive_seconds[dtype] = taken
        differing[dtype] = sum(int((a != b).sum()) for a, b in zip(theirs, mine, strict=True))
    as_it_comes, _ = _seconds(lambda: [naive(site, label_sets, train[:1], cs) for site in sites])
    as_it_comes *= len(train)
    floor = len(sites) * len(train) * IMAGES**2 * WIDTH / product_rate() / cores
    tested = sum(prediction.size for prediction in mine)
    cells = [
        len(sites) * len(train) * len(label_sets) * len(cs),
        *(f"{value:.2f}" for value in (as_it_comes, *naive_seconds.values(), alone, fast)),
        *(f"{value / fast:.1f}" for value in (as_it_comes, *naive_seconds.values())),
        f"{differing[np.float64]} of {tested}",
        f"{differing[np.float32]} of {tested}",
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
    arguments = parser.parse_args()

    generator = np.random.default_rng(0)
    sites = [activations(generator) for _ in range(arguments.sites)]
    labels = np.arange(IMAGES) % LETTERS
    label_sets = np.stack([labels, *(generator.permutation(labels) for _ in range(LABEL_SETS - 1))])
    train = np.ones((FOLDS, IMAGES), dtype=bool)
    for fold, (_, tested) in enumerate(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(labels, labels)):
        train[fold, tested] = False

    head = ["sweep", "fits", "naive float32 as it comes (s)", "one thread (s)", "float64 one thread (s)"]
    head += ["ours, one process (s)", "ours (s)", "ratio as it comes", "ratio one thread", "ratio float64 one thread"]
    head += ["differ from float64", "differ from float32", "Gram matrices at the rate of matrix products (s, share)"]
    lines = [f"{IMAGES} images x {WIDTH} features, {LETTERS} letters, {len(sites)} sites x {FOLDS} folds; {describe()}"]
    lines += ["", " | ".join(head)]
    print("\n".join(lines))
    for name, sets, cs in (
        ("sites x folds", label_sets[:1], (1.0,)),
        (f"x {len(CS)} C", label_sets[:1], CS),
        (f"x {len(CS)} C x {LABEL_SETS} label sets", label_sets, CS),
    ):
        lines.append(" | ".join([name, *compare(sites, sets, train, cs)]))
        print(lines[-1], flush=True)
    if arguments.keep:
        keep("probe", lines)


if __name__ == "__main__":
    main()
