"""Directions from one class to another: of length one, fitted on the fitted half, and on the stream itself."""

import numpy as np
import pytest

from signbridge.causal.directions import (
    FittedClasses,
    all_directions,
    directions,
    fit_classes,
    fit_half_probe,
)
from signbridge.core.names import DIRECTIONS, RANDOM, SHUFFLED_MEANS

LABELS = np.repeat(list("ABC"), 10)
PHOTOS = np.arange(30).astype(str)
FITTED = np.arange(30) % 2 == 0
WIDTH = 6


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Three classes around means of their own, on features of very different spread."""
    generator = np.random.default_rng(0)
    means = generator.normal(size=(3, WIDTH))[np.unique(LABELS, return_inverse=True)[1]]
    spread = 10.0 ** np.arange(-2, WIDTH - 2)
    return ((means + generator.normal(size=(30, WIDTH))) * spread).astype(np.float32)


def fitted_to(vectors, draws=3) -> FittedClasses:
    return fit_classes(vectors, LABELS, PHOTOS, FITTED, 1.0, draws, np.random.default_rng(9))


@pytest.fixture(scope="module")
def fitted(vectors) -> FittedClasses:
    return fitted_to(vectors)


def made(fitted, a="A", b="C", draws=3, seed=0, unembedding=None) -> np.ndarray:
    rows = np.stack([np.zeros(WIDTH), np.arange(WIDTH)]) if unembedding is None else unembedding
    return directions(fitted, a, b, rows, draws, np.random.default_rng(seed))


def test_class_means_are_those_of_the_fitted_half(vectors, fitted):
    for letter, mean in zip(fitted.classes, fitted.means, strict=True):
        np.testing.assert_allclose(mean, vectors[FITTED & (letter == LABELS)].mean(axis=0), rtol=1e-5)


def test_what_the_other_half_is_makes_no_difference(vectors, fitted):
    changed = vectors.copy()
    changed[~FITTED] = 77
    again = fitted_to(changed)
    np.testing.assert_array_equal(again.means, fitted.means)
    np.testing.assert_array_equal(again.weights, fitted.weights)


def test_along_the_probes_direction_the_logit_difference_rises_by_the_weights_own_length(vectors, fitted):
    """On the stream itself: the scaler's part of the probe is undone."""
    probe = fit_half_probe(vectors, LABELS, FITTED, 1.0)
    direction = made(fitted)[DIRECTIONS.index("probe")]
    difference = fitted.weights[fitted.classes.index("C")] - fitted.weights[fitted.classes.index("A")]

    def logit_difference(rows):
        log = np.log(probe.predict_probability(rows))
        return log[:, probe.classes.index("C")] - log[:, probe.classes.index("A")]

    before = logit_difference(vectors.astype(np.float64))
    for step in (0.01, -0.02):
        after = logit_difference(vectors.astype(np.float64) + step * direction)
        np.testing.assert_allclose(after - before, step * np.linalg.norm(difference), rtol=1e-6)
    other = np.random.default_rng(1).normal(size=WIDTH)
    other /= np.linalg.norm(other)
    risen = logit_difference(vectors.astype(np.float64) + 0.01 * other) - before
    assert (risen < 0.01 * np.linalg.norm(difference)).all(), "no other step of its length raises it as much"


def test_every_direction_has_length_one_and_points_from_a_to_b(fitted):
    there, back = made(fitted, "A", "C"), made(fitted, "C", "A")
    np.testing.assert_allclose(np.linalg.norm(there, axis=1), 1)
    means, probe = DIRECTIONS.index("class_means"), DIRECTIONS.index("probe")
    step = fitted.means[2] - fitted.means[0]
    np.testing.assert_allclose(there[means] * np.linalg.norm(step), step)
    np.testing.assert_allclose(there[[means, probe]], -back[[means, probe]])


def test_the_unembedding_direction_is_from_as_answer_to_bs(fitted):
    rows = np.random.default_rng(3).normal(size=(2, WIDTH))
    found = made(fitted, unembedding=rows)[DIRECTIONS.index("unembedding")]
    assert found @ (rows[1] - rows[0]) == pytest.approx(np.linalg.norm(rows[1] - rows[0]))


def test_random_directions_follow_the_named_ones_are_all_different_and_favour_no_feature(fitted):
    drawn = made(fitted, draws=4000)[len(DIRECTIONS) :][:4000]
    assert len(drawn) == 4000
    assert len(np.unique(drawn.round(9), axis=0)) == 4000
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.04)
    np.testing.assert_allclose(drawn.T @ drawn / 4000, np.eye(WIDTH) / WIDTH, atol=0.02)


def test_random_directions_are_drawn_by_the_generator(fitted):
    np.testing.assert_array_equal(made(fitted, seed=5), made(fitted, seed=5))
    assert (made(fitted, seed=5)[len(DIRECTIONS) :] != made(fitted, seed=6)[len(DIRECTIONS) :]).any()


def test_shuffled_means_are_differences_of_means_of_letters_that_mean_nothing(vectors, fitted):
    """They lie where the data lie: on features of very different spread they favour the widest, as Gaussians do not."""
    names = all_directions(3)
    assert names == [
        *((name, 0) for name in DIRECTIONS),
        *((null, draw) for null in (RANDOM, SHUFFLED_MEANS) for draw in range(3)),
    ]
    found = made(fitted)
    assert len(found) == len(names)
    shuffled = found[[name == SHUFFLED_MEANS for name, _ in names]]
    assert len(np.unique(shuffled.round(9), axis=0)) == 3
    assert (np.abs(shuffled[:, -1]) > 0.9).all()
    np.testing.assert_allclose(
        fitted.shuffled_means.mean(axis=1), np.tile(fitted.means.mean(axis=0), (3, 1)), rtol=1e-5
    )
    assert not np.allclose(fitted.shuffled_means[0], fitted.means)


def test_a_difference_of_nothing_stays_nothing():
    """As at the last token of the embedding, which is the same vector for every image."""
    same = FittedClasses(["A", "B"], np.ones((2, WIDTH)), np.zeros((3, 2, WIDTH)), np.zeros((2, WIDTH)))
    found = made(same, "A", "B")
    assert not found[:2].any()
    assert np.isfinite(found).all()
