"""All folds at once against scikit-learn, fold by fold and at convergence; and the memory that it is given."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from signbridge.core.errors import SignBridgeError
from signbridge.probing import many_rows
from signbridge.probing.many_rows import between, fit_and_test, fit_path
from signbridge.probing.softmax_loss import at_zero
from tests.probing.hard_rows import (
    columns_constant,
    columns_doubled,
    rank_two,
    rows_doubled,
    widely_scaled,
)

PLENTY = 2**31
# How near logits are to scikit-learn's, as a share of their spread: what weights within TOLERANCE leave open.
NEAR = 0.005
FOLDS = 5


def problem(rows: int, features: int, letters: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clusters of four copies of a photo along few directions, labels, and the training masks of five folds."""
    generator = np.random.default_rng(seed)
    photo = generator.permutation(np.arange(rows) // 4)
    labels = photo % letters
    latent = generator.normal(size=(letters, 8))[labels] + 2 * generator.normal(size=(rows, 8))[photo]
    latent += 0.3 * generator.normal(size=latent.shape)
    vectors = latent @ generator.normal(size=(8, features)) + generator.normal(size=(rows, features))
    return vectors, labels, np.stack([photo // letters % FOLDS != fold for fold in range(FOLDS)])


def far_from_zero(rows: np.ndarray) -> np.ndarray:
    return rows + 1e6


def one_outlier(rows: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    rows[0] *= 1e3
    return rows


def lit_in_one_fold(rows: np.ndarray) -> np.ndarray:
    """A feature that is constant in the folds that do not train on row 0."""
    rows = rows.copy()
    rows[:, 3] = 0.1
    rows[0, 3] = 1e6
    return rows


def nearly_collinear(rows: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    rows[:, 1::2] = rows[:, : rows.shape[1] - 1 : 2][:, : rows[:, 1::2].shape[1]] + 1e-3 * rows[:, 1::2]
    return rows


def as_float32(rows: np.ndarray) -> np.ndarray:
    return rows.astype(np.float32)


def as_activations(rows: np.ndarray) -> np.ndarray:
    return rows.astype(np.float16)


TWISTS = [
    np.copy,
    widely_scaled,
    far_from_zero,
    columns_doubled,
    columns_constant,
    rows_doubled,
    rank_two,
    one_outlier,
    lit_in_one_fold,
    nearly_collinear,
    as_float32,
    as_activations,
]


def scikit_learn(vectors, labels, train, C) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of the rows not trained on, in float64 and at convergence; coefficients; the letters they are of."""
    vectors = vectors.astype(np.float64)
    scaler = StandardScaler().fit(vectors[train])
    model = LogisticRegression(C=C, tol=1e-10, max_iter=100_000)
    model.fit(scaler.transform(vectors[train]), labels[train])
    logits = model.decision_function(scaler.transform(vectors[~train]))
    if logits.ndim == 1:
        return np.stack([np.zeros_like(logits), logits], axis=1), np.pad(model.coef_, ((1, 0), (0, 0))), model.classes_
    return logits, model.coef_, model.classes_


def assert_same(probe, vectors, labels, train, C):
    """The logits agree to `NEAR` of their spread, and the predictions wherever letters are not nearer than that."""
    logits, _, letters = scikit_learn(vectors, labels, train, C)
    standardised = (vectors[~train].astype(np.float64) - probe.mean) / probe.scale
    ours = (standardised @ probe.coef.T + probe.intercept)[:, letters]
    logits, ours = (each - each.mean(axis=1, keepdims=True) for each in (logits, ours))
    spread = np.abs(logits).mean(axis=1)  # a row's own, since that of an outlier is another
    near = NEAR * (spread + np.median(spread)) + 1e-4
    assert (np.abs(ours - logits).max(axis=1) <= near).all()
    ranked = np.sort(logits, axis=1)
    decided = ranked[:, -1] - ranked[:, -2] > 2 * near
    expected = letters[logits.argmax(axis=1)]
    np.testing.assert_array_equal(probe.predicted[decided], expected[decided])


@pytest.mark.parametrize("C", [0.01, 1.0])
@pytest.mark.parametrize("twist", TWISTS, ids=lambda twist: twist.__name__)
def test_every_fold_is_the_probe_that_scikit_learn_converges_to(twist, C):
    vectors, labels, train = problem(600, 40, 5)
    vectors = twist(vectors)
    probes = fit_and_test(vectors, labels, train, ~train, 5, C, PLENTY)
    for probe, rows in zip(probes, train, strict=True):
        assert probe.error <= many_rows.TOLERANCE
        assert_same(probe, vectors, labels, rows, C)


@pytest.mark.parametrize("shape", [(400, 10, 2), (600, 200, 20), (200, 300, 4), (1000, 5, 24)], ids=str)
def test_any_number_of_letters_features_and_rows_is_fitted(shape):
    vectors, labels, train = problem(*shape)
    for probe, rows in zip(fit_and_test(vectors, labels, train, ~train, shape[2], 0.1, PLENTY), train, strict=True):
        assert_same(probe, vectors, labels, rows, 0.1)


def test_probes_of_different_C_share_the_passes_without_touching_each_other():
    vectors, labels, train = problem(400, 30, 4)
    C = [0.001, 1.0, 10.0]
    three = np.stack([train[0]] * 3)
    for probe, c in zip(fit_and_test(vectors, labels, three, ~three, 4, C, PLENTY), C, strict=True):
        assert_same(probe, vectors, labels, train[0], c)


@pytest.mark.parametrize("twist", [np.copy, columns_constant, rank_two, lit_in_one_fold], ids=lambda one: one.__name__)
def test_along_a_path_of_penalties_every_probe_is_the_one_that_scikit_learn_converges_to(twist):
    vectors, labels, train = problem(400, 30, 4)
    vectors, Cs = twist(vectors), [0.001, 0.1, 1.0]
    start = at_zero(2, 4, vectors.shape[1])
    path = list(fit_path(vectors, labels, train[:2], ~train[:2], 4, Cs, PLENTY, start=start))
    assert len(path) == len(Cs)
    for C, probes in zip(Cs, path, strict=True):
        for probe, rows in zip(probes, train[:2], strict=True):
            assert probe.error <= many_rows.TOLERANCE
            assert_same(probe, vectors, labels, rows, C)


def test_each_penalty_starts_where_the_last_one_ended_and_a_looser_tolerance_ends_sooner():
    vectors, labels, train = problem(1200, 60, 6)

    def passes(tolerance: float, start: bool) -> np.ndarray:
        begin = at_zero(FOLDS, 6, 60) if start else None
        path = fit_path(vectors, labels, train, ~train, 6, [0.01, 0.1, 1.0], PLENTY, tolerance=tolerance, start=begin)
        return np.array([[probe.passes for probe in probes] for probes in path]).sum(axis=1)

    cold = [
        np.sum([probe.passes for probe in fit_and_test(vectors, labels, train, ~train, 6, C, PLENTY)]) for C in (0.1, 1)
    ]
    warm, loose = passes(many_rows.TOLERANCE, start=True), passes(0.03, start=True)
    assert (warm[1:] < cold).all()
    assert loose[0] < warm[0]  # at the strongest penalty the last digits take one or two passes of a probe's eleven
    assert (loose[1:] < 0.8 * warm[1:]).all()


def test_the_mean_of_inner_probes_is_a_start_from_which_the_same_probe_is_found_sooner():
    vectors, labels, train = problem(1200, 60, 6)
    outer = train[:1]
    inner = np.stack([outer[0] & (np.arange(1200) % 3 != part) for part in range(3)])
    labels[inner[2] & (labels == 5)] = 4  # one inner probe does not know a letter
    inside = fit_and_test(vectors, labels, inner, ~inner, 6, 1.0, PLENTY)
    [cold] = fit_and_test(vectors, labels, outer, ~outer, 6, 1.0, PLENTY)
    [warm] = fit_and_test(vectors, labels, outer, ~outer, 6, 1.0, PLENTY, start=between(inside))
    assert warm.passes < cold.passes
    assert_same(warm, vectors, labels, outer[0], 1.0)


def test_coefficients_are_those_of_scikit_learn_on_standardised_features():
    vectors, labels, train = problem(400, 30, 4)
    probe = fit_and_test(vectors, labels, train[:1], ~train[:1], 4, 0.1, PLENTY)[0]
    _, coef, _ = scikit_learn(vectors, labels, train[0], 0.1)
    scaler = StandardScaler().fit(vectors[train[0]])
    np.testing.assert_allclose(probe.mean, scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(probe.scale, scaler.scale_, rtol=1e-12)
    np.testing.assert_allclose(probe.coef, coef, atol=1e-2 * np.abs(coef).max())


def test_a_probe_of_the_whole_sample_is_tested_on_nothing():
    vectors, labels, train = problem(300, 12, 3)
    everything, nothing = np.ones_like(train[:1]), np.zeros_like(train[:1])
    probe = fit_and_test(vectors, labels, everything, nothing, 3, 1.0, PLENTY)[0]
    assert len(probe.predicted) == len(probe.probability) == 0
    _, coef, _ = scikit_learn(np.concatenate([vectors, vectors[:1]]), np.append(labels, 0), np.arange(301) < 300, 1.0)
    np.testing.assert_allclose(probe.coef, coef, atol=1e-2 * np.abs(coef).max())


def test_a_letter_that_a_fold_did_not_train_on_is_never_predicted_and_has_probability_zero():
    vectors, labels, train = problem(400, 20, 4)
    train[1] &= labels != 2
    probes = fit_and_test(vectors, labels, train, ~train, 4, 1.0, PLENTY)
    tested = labels[~train[1]]
    assert (probes[1].probability[tested == 2] == 0).all()
    assert 2 not in probes[1].predicted
    assert not probes[1].coef[2].any()
    for probe, rows in zip(probes, train, strict=True):
        assert_same(probe, vectors, labels, rows, 1.0)


def test_probabilities_are_of_the_true_letter_in_table_order():
    vectors, labels, train = problem(400, 20, 4)
    for probe, rows in zip(fit_and_test(vectors, labels, train, ~train, 4, 0.1, PLENTY), train, strict=True):
        logits, _, _ = scikit_learn(vectors, labels, rows, 0.1)
        chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        expected = chance[np.arange(len(chance)), labels[~rows]]
        np.testing.assert_allclose(probe.probability, expected, atol=2e-3)


def test_streamed_rows_in_small_blocks_give_the_held_ones_probe(monkeypatch, tmp_path):
    vectors, labels, train = problem(900, 60, 4)
    mapped = np.memmap(tmp_path / "vectors", np.float16, "w+", shape=vectors.shape)
    mapped[:] = vectors
    held = fit_and_test(mapped[:], labels, train, ~train, 4, 0.1, PLENTY)
    monkeypatch.setattr(many_rows, "_room", lambda *_: many_rows._Room(block_rows=70, held=False))
    streamed = fit_and_test(mapped, labels, train, ~train, 4, 0.1, PLENTY)
    for one, other in zip(held, streamed, strict=True):
        np.testing.assert_allclose(one.coef, other.coef, atol=1e-2 * np.abs(one.coef).max())


def test_rows_that_no_probe_uses_are_not_looked_at():
    vectors, labels, train = problem(300, 12, 3)
    used = train[0]
    vectors[~used] = np.nan
    probe = fit_and_test(vectors, labels, used[None], np.zeros_like(used)[None], 3, 1.0, PLENTY)[0]
    assert np.isfinite(probe.coef).all()


def test_a_vector_that_is_not_finite_is_named_as_the_reason():
    vectors, labels, train = problem(300, 12, 3)
    vectors[7, 3] = np.inf
    with pytest.raises(SignBridgeError, match="NaN or infinity"):
        fit_and_test(vectors, labels, train, ~train, 3, 1.0, PLENTY)


def test_too_little_memory_is_refused_with_the_least_that_would_do():
    vectors, labels, train = problem(300, 12, 3)
    with pytest.raises(SignBridgeError, match=r"probe\.memory_gib: .* need 0\.\d\d GiB") as refused:
        fit_and_test(vectors, labels, train, ~train, 3, 1.0, 1000)
    least = float(str(refused.value).split(" need ")[1].split(" GiB")[0])
    fit_and_test(vectors, labels, train, ~train, 3, 1.0, int((least + 0.01) * 2**30))


MEASURED = """
import resource, sys
import numpy as np
from threadpoolctl import threadpool_limits
from signbridge.probing.many_rows import fit_and_test
from tests.probing.hard_rows import columns_constant, columns_doubled, rank_two, rows_doubled, widely_scaled
rows, width, letters, memory = (int(number) for number in sys.argv[1:])
generator = np.random.default_rng(0)
vectors = np.empty((rows, width), np.float16)
for start in range(0, rows, 500):
    vectors[start:start + 500] = generator.normal(size=vectors[start:start + 500].shape)
labels = np.arange(rows) % letters
train = np.stack([np.arange(rows) // letters % 5 != fold for fold in range(5)])
small = slice(0, 20 * letters)
with threadpool_limits(1, user_api="blas"):
    fit_and_test(vectors[small, :8], labels[small], train[:, small], ~train[:, small], letters, 1e-4, 2**30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fit_and_test(vectors, labels, train, ~train, letters, 1e-4, memory)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.parametrize("memory_mib", [150, 400])  # rows made anew in each pass, and held
def test_no_more_memory_is_taken_than_given(memory_mib):
    memory = memory_mib * 2**20
    command = [sys.executable, "-c", MEASURED, "40000", "1024", "8", str(memory)]
    taken = int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout)
    assert taken <= memory
