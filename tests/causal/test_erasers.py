"""Erasers: what no linear probe reads any more, at the least cost, and controls that take as much of nothing."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from signbridge.causal.erasure import leace, random_subspace, spanned

LETTERS = 4


def made_up(images: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Four letters around means of their own, on features that go together, far from the origin."""
    generator = np.random.default_rng(0)
    labels = np.arange(images) % LETTERS
    means = 2 * generator.normal(size=(LETTERS, width))
    mixed = generator.normal(size=(images, width)) @ generator.normal(size=(width, width)) / np.sqrt(width)
    return (means[labels] + mixed + 5).astype(np.float32), np.array(list("ABCD"))[labels]


WIDE = {"more images than features": (120, 10), "fewer images than features": (40, 90)}
every_shape = pytest.mark.parametrize("shape", WIDE.values(), ids=WIDE)


def erased_by(eraser, vectors) -> np.ndarray:
    """In double precision, so that what is left is the eraser's and not the arithmetic's."""
    rows = vectors.astype(np.float64)
    return rows - (rows - eraser.mean) @ eraser.right.T @ eraser.left.T


def class_means(vectors, labels) -> np.ndarray:
    return np.stack([vectors[labels == letter].mean(axis=0) for letter in np.unique(labels)])


@every_shape
def test_the_erased_classes_have_one_mean_so_no_linear_probe_beats_a_constant(shape):
    vectors, labels = made_up(*shape)
    before = class_means(vectors, labels)
    assert np.ptp(before, axis=0).max() > 1
    after = class_means(erased_by(leace(spanned(vectors), labels), vectors), labels)
    np.testing.assert_allclose(
        after, np.broadcast_to(vectors.mean(axis=0), after.shape), atol=1e-6 * np.abs(after).max()
    )


@every_shape
def test_a_probe_fitted_on_erased_images_reads_nothing_of_them(shape):
    """Convex, with the gradient of the constant zero: the fitted weights are none, whatever the penalty."""
    vectors, labels = made_up(*shape)
    rows = erased_by(leace(spanned(vectors), labels), vectors)
    probe = LogisticRegression(C=1.0, max_iter=1000).fit(rows - rows.mean(axis=0), labels)
    np.testing.assert_allclose(probe.predict_proba(rows - rows.mean(axis=0)), 1 / LETTERS, atol=1e-3)
    seeing = LogisticRegression(C=1.0, max_iter=1000).fit(vectors, labels)
    assert seeing.score(vectors, labels) > 0.9


@every_shape
def test_as_many_dimensions_are_erased_as_classes_differ_in(shape):
    vectors, labels = made_up(*shape)
    eraser = leace(spanned(vectors), labels)
    assert eraser.left.shape == (shape[1], LETTERS - 1)
    assert np.linalg.matrix_rank(eraser.left @ eraser.right) == LETTERS - 1


@every_shape
def test_what_is_erased_stays_erased(shape):
    vectors, labels = made_up(*shape)
    eraser = leace(spanned(vectors), labels)
    once = erased_by(eraser, vectors)
    np.testing.assert_allclose(erased_by(eraser, once), once, atol=1e-5)


def test_the_vectors_are_changed_less_than_by_projecting_the_class_means_out():
    """Both take out the classes; LEACE is the least change in the least-squares sense (Belrose et al., theorem 4.3)."""
    vectors, labels = made_up(400, 10)
    differences = class_means(vectors, labels).astype(np.float64) - vectors.mean(axis=0)
    basis = np.linalg.svd(differences, full_matrices=False)[2][: LETTERS - 1]
    rows = vectors - vectors.mean(axis=0)
    by_projection = np.square(rows @ basis.T).sum()
    by_leace = np.square(erased_by(leace(spanned(vectors), labels), vectors) - vectors).sum()
    assert by_leace < 0.99 * by_projection


def test_what_lies_outside_the_fitted_images_span_is_left_alone():
    vectors, labels = made_up(40, 90)
    eraser = leace(spanned(vectors), labels)
    span = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=True)[2]
    outside = span[39:].astype(np.float64)
    np.testing.assert_allclose(eraser.right @ outside.T, 0, atol=1e-4 * np.abs(eraser.right).max())


@every_shape
def test_a_random_subspace_is_projected_off_orthogonally_and_its_rank_is_as_asked(shape):
    vectors, _ = made_up(*shape)
    eraser = random_subspace(spanned(vectors), 3, np.random.default_rng(1))
    projection = eraser.left @ eraser.right
    np.testing.assert_allclose(projection, projection.T, atol=1e-9)
    np.testing.assert_allclose(projection @ projection, projection, atol=1e-9)
    assert np.trace(projection) == pytest.approx(3)
    lost = np.square(erased_by(eraser, vectors) - vectors).sum()
    assert lost > 1e-3 * np.square(vectors - vectors.mean(axis=0)).sum(), "it lies where the vectors do"


def test_random_subspaces_are_drawn_by_the_generator_and_leave_the_letter_readable():
    vectors, labels = made_up(120, 30)
    first, same, other = (random_subspace(spanned(vectors), 3, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.left, same.left)
    assert not np.allclose(first.left, other.left)
    rows = erased_by(first, vectors)
    assert LogisticRegression(max_iter=1000).fit(rows, labels).score(rows, labels) > 0.9


def test_a_subspace_is_no_larger_than_what_the_vectors_span():
    vectors, _ = made_up(4, 90)
    eraser = random_subspace(spanned(vectors), 10, np.random.default_rng(0))
    assert eraser.left.shape == (90, 3)
    np.testing.assert_allclose(erased_by(eraser, vectors), np.tile(vectors.mean(axis=0), (4, 1)), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_stream_keeps_its_dtype_and_shape_and_is_erased_row_by_row(dtype):
    vectors, labels = made_up(120, 10)
    eraser = leace(spanned(vectors), labels)
    stream = torch.tensor(vectors[:6]).to(dtype).view(2, 3, 10)
    kept = stream.clone()
    found = eraser.erase(stream)
    assert (found.dtype, found.shape) == (dtype, stream.shape)
    assert torch.equal(stream, kept), "the stream that was handed in is the model's own"
    expected = torch.tensor(erased_by(eraser, stream.float().numpy().reshape(6, 10)))
    torch.testing.assert_close(
        found.view(6, 10).double(), expected, rtol=2e-2 if dtype == torch.bfloat16 else 2e-3, atol=2e-2
    )


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4 / 3])
def test_where_all_vectors_are_alike_nothing_is_erased(value):
    """As where no token before has seen the image; their mean may differ from them in the last digit."""
    vectors = np.full((30, 8), value, np.float32)
    labels = np.arange(30) % LETTERS
    for eraser in (leace(spanned(vectors), labels), random_subspace(spanned(vectors), 3, np.random.default_rng(0))):
        assert eraser.left.shape == (8, 0)
        np.testing.assert_array_equal(eraser.erase(torch.from_numpy(vectors)), vectors)
