"""The probe of every image, whichever solver fits it."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from signbridge.probing import folds
from signbridge.probing.description_length import online_blocks, shortest_code
from signbridge.probing.whole_sample import fit_whole_sample

MEMORY = 2**30
LABELS = np.repeat(list("ABCD"), 24)
TARGETS = np.repeat(np.arange(4), 24)
PHOTOS = np.arange(96) // 2


def vectors(letters: int = 4) -> np.ndarray:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(96, 16)) + 0.6 * generator.normal(size=(letters, 16))[TARGETS % letters]
    return (50 + rows * np.exp(generator.normal(size=16))).astype(np.float32)


@pytest.mark.parametrize("wide", [8, 1024], ids=["many rows", "few rows"])
@pytest.mark.parametrize("letters", [2, 4])
def test_the_probe_reads_vectors_as_they_are_and_as_scikit_learn_would(wide, letters, monkeypatch):
    monkeypatch.setattr(folds, "WIDE", wide)
    rows, labels = vectors(letters), np.array(list("ABCD"))[TARGETS % letters]
    whole = fit_whole_sample(rows, labels, 0.1, [], [0.1], MEMORY)
    expected = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-10, max_iter=50_000))
    expected.fit(rows.astype(np.float64), labels)
    assert whole.probe.classes == list("ABCD")[:letters]
    np.testing.assert_allclose(
        whole.probe.predict_probability(rows), expected.predict_proba(rows.astype(np.float64)), atol=1e-3
    )
    assert whole.probe.predict(rows).tolist() == expected.predict(rows.astype(np.float64)).tolist()
    assert whole.codes == []


def test_each_order_has_the_shortest_code_of_the_standardised_vectors():
    orders = [online_blocks(LABELS, PHOTOS, np.random.default_rng(seed)) for seed in range(3)]
    whole = fit_whole_sample(vectors(), LABELS, 0.1, orders, [0.01, 0.1], MEMORY)
    rows = StandardScaler().fit_transform(vectors().astype(np.float64))
    for code, blocks in zip(whole.codes, orders, strict=True):
        expected = shortest_code(rows, TARGETS, blocks, [0.01, 0.1])
        assert code[1:] == expected[1:]
        np.testing.assert_allclose(code.bits, expected.bits, rtol=1e-3)


def test_many_wide_rows_are_not_sent(monkeypatch):
    monkeypatch.setattr(folds, "WIDE", 8)
    orders = [online_blocks(LABELS, PHOTOS, np.random.default_rng(0))]
    assert fit_whole_sample(vectors(), LABELS, 0.1, orders, [0.1], MEMORY).codes == []
