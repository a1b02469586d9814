"""One letter against the rest from k features: sparse probes as in "Are Sparse Autoencoders Useful?".

Kantamneni et al. 2025 (arXiv 2502.16681) take a binary question, choose the k features of an autoencoder whose means
differ most between the two classes of the training images, each divided by its mean where it fires, fit a logistic
regression with an L2 penalty that is chosen on held-out training images, and report the area under the ROC curve on the
tested images. Here every letter is such a question, and whole photos are tested.

Three baselines get the same k and the same freedom: single dimensions of the stream, principal components of the
stream (of the training images), and features of the untrained twin's autoencoder. Dimensions and components have either
sign, so their differences of means are divided by the standard deviation instead.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit

from signbridge.core.names import COMPONENTS, STREAM
from signbridge.probing.protocols import Split

STEPS, HALVINGS = 30, 6  # of Newton's method
TOLERANCE = 1e-6  # of a step


class OneLetterCell(NamedTuple):
    """What is read of every image at one place."""

    reads: str  # `AUTOENCODER`, `STREAM`, `COMPONENTS` or `TWIN`
    vectors: Float[np.ndarray, "images width"]  # of `COMPONENTS` the stream


def score_letters(
    cell: OneLetterCell,
    targets: Int[np.ndarray, " images"],
    splits: Sequence[Split],
    ks: Sequence[int],
    Cs: Sequence[float],
) -> dict[int, Float[np.ndarray, "repeats letters images"]]:
    """By k: how sure each letter's probe is of each image, which the probe was not fitted on.

    `splits` are those of `grouped`. Scores of one repeat come from the probes of its folds, so only images that were
    tested in one fold can be compared. A k above the width is left out.
    """
    letters = np.eye(targets.max() + 1, dtype=bool)[:, targets]
    repeats = 1 + max(split.repeat for split in splits)
    ks = [k for k in ks if k <= cell.vectors.shape[1]]
    scores = {k: np.full((repeats, *letters.shape), np.nan) for k in ks}
    for split in splits:
        columns = components(cell.vectors, split.train) if cell.reads == COMPONENTS else cell.vectors
        has_sign = cell.reads in (STREAM, COMPONENTS)
        order = ranked(columns[split.train], letters[:, split.train], has_sign)
        fitted = [split.inner[0].train, split.train]  # the penalty is chosen on one part of the training images
        for k in ks:
            chosen = np.moveaxis(columns[:, order[:, :k]], 1, 0).astype(np.float64)  # letters x images x k
            tried = {C: fit_and_score(chosen, letters, fitted[0], C) for C in (Cs if k > 1 else Cs[:1])}
            areas = np.array([held_out_areas(of_C, letters, split.inner[0].test) for of_C in tried.values()])
            best = areas.argmax(0)
            for number, C in enumerate(tried):
                mine = best == number
                if mine.any():
                    of_C = fit_and_score(chosen[mine], letters[mine], fitted[1], C)
                    scores[k][split.repeat, np.ix_(mine, split.test)[0], split.test] = of_C[:, split.test]
    return scores


def ranked(
    vectors: Float[np.ndarray, "images width"], letters: Bool[np.ndarray, "letters images"], has_sign: bool
) -> Int[np.ndarray, "letters width"]:
    """For each letter the columns, those first whose means differ most; one that never varies comes last."""
    rows = vectors.astype(np.float64)
    own = letters / np.maximum(letters.sum(1, keepdims=True), 1)
    others = ~letters / np.maximum((~letters).sum(1, keepdims=True), 1)
    fires = (rows != 0).sum(0)
    scale = rows.std(0) if has_sign else np.divide(rows.sum(0), fires, out=np.zeros(rows.shape[1]), where=fires > 0)
    gap = np.abs((own - others) @ rows)
    varies = (np.ptp(rows, axis=0) > 0) & (scale > 0)
    return np.argsort(-np.divide(gap, scale, out=np.full(gap.shape, -1.0), where=varies), axis=1, kind="stable")


def components(
    vectors: Float[np.ndarray, "images width"], train: Bool[np.ndarray, " images"]
) -> Float[np.ndarray, "images components"]:
    """All images along the principal components of the training images, the one with the most variance first.

    Zeros along those on which the training images do not vary.
    """
    rows = vectors.astype(np.float64) - vectors[train].mean(0, dtype=np.float64)
    _, lengths, directions = np.linalg.svd(rows[train], full_matrices=False)
    return rows @ directions.T * (lengths > 1e-6 * lengths[0])


def fit_and_score(
    chosen: Float[np.ndarray, "letters images k"],
    letters: Bool[np.ndarray, "letters images"],
    train: Bool[np.ndarray, " images"],
    C: float,
) -> Float[np.ndarray, "letters images"]:
    """Fit one logistic regression a letter on the training images, all at once; its score of every image."""
    mean, deviation = chosen[:, train].mean(1, keepdims=True), chosen[:, train].std(1, keepdims=True)
    rows = (chosen - mean) / np.where(deviation > 0, deviation, 1)
    rows = np.concatenate([rows, np.ones((*rows.shape[:2], 1))], axis=2)  # the intercept comes last
    weights = _newton(rows[:, train], letters[:, train].astype(np.float64), C)
    return (rows @ weights[..., None])[..., 0]


def held_out_areas(
    scores: Float[np.ndarray, "letters images"], letters: Bool[np.ndarray, "letters images"], test: np.ndarray
) -> Float[np.ndarray, " letters"]:
    """The area under the ROC curve of each letter's scores on the tested images; half without both kinds."""
    areas = []
    for of_letter, own in zip(scores[:, test], letters[:, test], strict=True):
        pairs = np.sign(of_letter[own][:, None] - of_letter[~own]) / 2 + 0.5
        areas.append(pairs.mean() if pairs.size else 0.5)
    return np.array(areas)


def _newton(
    rows: Float[np.ndarray, "letters images k"], true: Float[np.ndarray, "letters images"], C: float
) -> Float[np.ndarray, "letters k"]:
    """Minimise C times the summed logistic loss plus half the squared weights without the last, letter by letter."""
    weights = np.zeros((len(rows), rows.shape[2]))
    penalty = np.ones(rows.shape[2])
    penalty[-1] = 0
    now = _loss(rows, true, C, weights, penalty)
    for _ in range(STEPS):
        chance = expit((rows @ weights[..., None])[..., 0])
        gradient = C * ((chance - true)[:, None] @ rows)[:, 0] + penalty * weights
        curvature = C * chance * (1 - chance) + 1e-12
        hessian = (rows * curvature[..., None]).transpose(0, 2, 1) @ rows + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        size = np.ones((len(rows), 1))
        for _ in range(HALVINGS):
            then = _loss(rows, true, C, weights - size * step, penalty)
            size = np.where((then > now)[:, None], size / 2, size)
        weights, now = weights - size * step, _loss(rows, true, C, weights - size * step, penalty)
        if np.abs(size * step).max() < TOLERANCE:
            break
    return weights


def _loss(rows: np.ndarray, true: np.ndarray, C: float, weights: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    logits = (rows @ weights[..., None])[..., 0]
    return C * (np.logaddexp(0, logits) - true * logits).sum(1) + (penalty * weights**2).sum(1) / 2
