"""How far vectors drift, on drifts that are known."""

import numpy as np
import pytest

from signbridge.statistics.drift import drift, in_kinds_of_weights

EXACT = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
ENTRY = {"source": "hub", "hub_id": "a/b", "revision": "0", "quantization": "none", "quantize": "all",
         "dtype": "bfloat16", "prompt": "?"}  # fmt: skip


def test_equal_vectors_have_not_drifted():
    assert drift(EXACT, EXACT) == pytest.approx((0, 1, 1))


def test_a_longer_stream_has_an_error_and_the_same_directions():
    assert drift(EXACT, EXACT * np.float32(1.5)) == pytest.approx((0.5, 1, 1), abs=1e-6)


def test_a_turned_stream_has_the_same_geometry_and_other_directions():
    turned = drift(EXACT, EXACT[:, ::-1].copy())
    assert turned.cka == pytest.approx(1)
    assert turned.cosine < 0.5
    assert turned.relative_error > 1


def test_noise_is_told_in_shares_of_the_stream():
    noise = np.random.default_rng(1).normal(size=EXACT.shape).astype(np.float32)
    noise *= np.linalg.norm(EXACT) / np.linalg.norm(noise) / 10
    assert drift(EXACT, EXACT + noise).relative_error == pytest.approx(0.1, rel=1e-4)


def test_the_entry_of_most_bits_is_what_the_others_are_compared_with():
    nf4 = {**ENTRY, "quantization": "nf4"}
    entries = {
        "packed": nf4, "tower": {**nf4, "quantize": "decoder"}, "half": ENTRY, "exact": {**ENTRY, "dtype": "float32"},
        "another": {**ENTRY, "revision": "1"}, "untrained": {**ENTRY, "untrained": 0},
    }  # fmt: skip
    assert in_kinds_of_weights(entries) == {"exact": ["packed", "tower", "half"]}
    assert in_kinds_of_weights({name: entries[name] for name in ("packed", "tower")}) == {"tower": ["packed"]}
    assert in_kinds_of_weights({name: entries[name] for name in ("half", "another")}) == {}
