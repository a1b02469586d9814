"""What patching moves, from tables whose effects are known."""

import numpy as np
import pandas as pd
import pytest

from signbridge.core.names import PATCHED
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.patching_effect import COLUMNS, patching_effects

STATISTICS = StatisticsParams(confidence=0.9, resamples=200)
SITES = ["embedding", "layer_00", "layer_01", "layer_02"]
# The share that each position carries, site by site.
LAST, IMAGE = [0.0, 0.1, 0.7, 1.0], [1.0, 0.8, 0.3, 0.0]

ROUNDED = {("layer_01", "image"): 0.02, ("layer_02", "prompt_last"): 0.01}  # up in one run of a pair, down in the other


def made_up(pairs: int = 20, noise: float = 0.0, last=LAST, image=IMAGE) -> pd.DataFrame:
    """Pairs of gaps of their own, each with two runs."""
    generator = np.random.default_rng(0)
    shares = {"prompt_last": last, "question": [0.0] * len(SITES), "image": image, "all": [1.0] * len(SITES)}
    gaps = generator.uniform(1, 9, size=(pairs, 2))
    rows = [
        (pair, site, position, gaps[pair, run],
         gaps[pair, run] * (shares[position][depth] + generator.normal() * noise), position == "all" or pair % 4 == 0,
         ROUNDED.get((site, position), 0.0) * gaps[pair, run] * (-1) ** run)
        for pair in range(pairs) for run in range(2)
        for depth, site in enumerate(SITES) for position in PATCHED
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["pair", "site", "position", "gap", "moved", "says_donor", "moved_by_itself"])


def effects_of(table, seed=0):
    return patching_effects(table, STATISTICS, np.random.default_rng(seed))


def test_the_effect_is_the_share_of_the_gap_that_was_moved_at_each_site_and_position():
    curves, metrics = effects_of(made_up())
    assert list(curves.columns) == COLUMNS
    for position, shares in (("prompt_last", LAST), ("image", IMAGE), ("all", [1.0] * 4)):
        mine = curves[curves["position"] == position]
        assert mine["site"].tolist() == SITES
        assert mine["depth"].tolist() == [0, 1, 2, 3]
        for name in ("effect", "effect_low", "effect_high"):  # each pair has the same share: no doubt
            np.testing.assert_allclose(mine[name], shares, atol=1e-12)
        np.testing.assert_allclose(mine["says_donor"], 1.0 if position == "all" else 0.25)
    assert metrics["patching_pairs"] == 20


def test_the_noise_is_the_share_that_an_image_moves_itself_whichever_way_and_the_largest_is_a_finding():
    curves, metrics = effects_of(made_up())
    expected = [ROUNDED.get(place, 0.0) for place in zip(curves["site"], curves["position"], strict=True)]
    np.testing.assert_allclose(curves["noise"], expected, atol=1e-12)
    assert metrics["patching_noise"] == pytest.approx(0.02)


def test_a_pair_whose_logits_hardly_differ_does_not_outweigh_the_others():
    table = made_up(10)
    tiny_gap = table[table["pair"] == 0].assign(pair=99, gap=1e-6, moved=1.0 * (table["position"] != "all"))
    curves, _ = effects_of(pd.concat([table, tiny_gap], ignore_index=True))
    assert (curves["effect"] < 2).all(), "a mean of ratios would be a million"


def test_intervals_are_over_pairs_and_not_over_rows():
    table = made_up(noise=0.3)
    tenfold = pd.concat([table] * 10)
    once, often = effects_of(table)[0], effects_of(tenfold)[0]
    pd.testing.assert_frame_equal(once, often)
    assert (once["effect_low"] < once["effect_high"]).all()
    inside = once["effect"].between(once["effect_low"], once["effect_high"])
    assert inside.mean() > 0.9


def test_the_handover_is_the_site_from_which_on_the_last_token_carries_more_than_the_image_to_the_end():
    _, metrics = effects_of(made_up())
    assert [metrics[f"patching_handover_site{end}"] for end in ("", "_low", "_high")] == ["layer_01"] * 3
    _, back_and_forth = effects_of(made_up(last=[0.0, 0.9, 0.8, 1.0], image=[1.0, 0.1, 0.9, 0.0]))
    assert back_and_forth["patching_handover_site"] == "layer_02"
    _, late = effects_of(made_up(last=[0, 0, 0, 1.0], image=[1.0, 1.0, 1.0, 0]))
    assert late["patching_handover_site"] == "layer_02"


def test_the_largest_step_is_told_by_its_size_and_the_site_behind_it():
    _, metrics = effects_of(made_up())
    assert metrics["patching_largest_step"] == pytest.approx(0.6)
    assert [metrics[f"patching_largest_step_site{end}"] for end in ("", "_low", "_high")] == ["layer_01"] * 3


def test_sites_that_noise_could_exchange_are_told_as_an_interval():
    _, metrics = effects_of(made_up(60, noise=0.5, last=[0, 0.5, 0.55, 1.0], image=[1.0, 0.5, 0.5, 0]))
    low, high = (SITES.index(metrics[f"patching_handover_site_{end}"]) for end in ("low", "high"))
    assert low < high


def test_where_nothing_was_patched_there_is_no_row_and_no_other_number():
    curves, metrics = effects_of(made_up(0))
    assert curves.empty
    assert list(curves.columns) == COLUMNS
    assert metrics == {"patching_pairs": 0}
