"""How far vectors drift, on drifts that are known."""

import numpy as np
import pandas as pd
import pytest

from signbridge.statistics.drift import MOVED, PATCHING_COLUMNS, drift, in_kinds_of_weights, moved, patching_drift
from signbridge.statistics.intervals import StatisticsParams, draw_groups

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


def patches(share: float, pairs: range, noise: float = 0.0) -> pd.DataFrame:
    """Pairs of which each moves a share of its gap, at one site and position."""
    random = np.random.default_rng(2)
    gap = np.arange(1.0, 1 + 2 * len(pairs))
    runs = [(pair, f"i{pair}-{run}") for pair in pairs for run in range(2)]
    table = pd.DataFrame(runs, columns=["pair", "receiver"]).assign(site="layer_00", position="image", gap=gap)
    return table.assign(moved=gap * (share + noise * random.normal(size=len(gap))))


STATISTICS = StatisticsParams(confidence=0.95, resamples=200)


def test_what_patching_moves_is_compared_on_the_same_pairs():
    exact = patches(0.8, range(6), noise=0.1)
    [alike] = patching_drift(
        exact, exact.assign(gap=exact["gap"] * 2, moved=exact["moved"] * 2), STATISTICS, 0
    ).to_dict("records")
    assert (alike["difference"], alike["low"], alike["high"]) == pytest.approx((0, 0, 0))
    assert alike["effect"] == pytest.approx(exact["moved"].sum() / exact["gap"].sum())
    [weaker] = patching_drift(exact, exact.assign(moved=exact["moved"] / 2), STATISTICS, 0).to_dict("records")
    assert weaker["difference"] == pytest.approx(-alike["effect"] / 2)
    assert weaker["low"] < weaker["difference"] < weaker["high"] < 0, "though pairs differ more than this"
    assert weaker["pairs"] == 6


def test_a_pair_without_a_gap_in_one_kind_of_weights_is_left_out_of_both():
    exact, drifted = patches(0.8, range(6)), patches(0.8, range(6))
    exact.loc[exact["pair"] == 5, "moved"] *= 100
    [row] = patching_drift(exact, drifted[drifted["pair"] != 5], STATISTICS, 0).to_dict("records")
    assert (row["difference"], row["pairs"]) == (pytest.approx(0), 5)
    assert list(patching_drift(exact, drifted[:0], STATISTICS, 0)) == PATCHING_COLUMNS[2:]


def test_a_turn_leaves_cka_at_1_and_lowers_the_cosine_and_noise_lowers_both():
    random = np.random.default_rng(0)
    vectors, group = random.normal(size=(80, 6)), np.repeat(np.arange(40), 2)
    turn = np.linalg.qr(random.normal(size=(6, 6)))[0]
    drawn = draw_groups(40, 200, random)
    turned = dict(zip(MOVED[3:], moved(vectors, vectors @ turn, group, drawn, 0.95), strict=True))
    assert (turned["cka"], turned["cka_low"]) == pytest.approx((1, 1))
    assert turned["cosine_low"] < turned["cosine"] < turned["cosine_high"] < 0.9
    noisy = vectors + random.normal(size=vectors.shape)
    lost = dict(zip(MOVED[3:], moved(vectors, noisy, group, drawn, 0.95), strict=True))
    assert lost["cka"] == pytest.approx(drift(vectors, noisy).cka)
    assert lost["cka_low"] < lost["cka"] < lost["cka_high"] < 1
    still = dict(zip(MOVED[3:], moved(vectors, vectors, group, drawn, 0.95), strict=True))
    assert (still["relative_error"], still["cosine_low"], still["cka"]) == (0, 1, pytest.approx(1))


def test_the_jackknife_covers_cka_of_more_images_about_as_often_as_it_says():
    random = np.random.default_rng(1)
    mixing = random.normal(size=(4, 4))

    def drawn(images: int) -> tuple[np.ndarray, np.ndarray]:
        vectors = random.normal(size=(images, 4))
        return vectors, vectors @ mixing + 2 * random.normal(size=(images, 4))

    truth = drift(*drawn(1000)).cka
    resamples = draw_groups(50, 20, random)
    found = [moved(*drawn(50), np.arange(50), resamples, 0.95)[-2:] for _ in range(30)]
    assert 0.8 < np.mean([low < truth < high for low, high in found]) <= 1
