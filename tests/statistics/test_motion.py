"""What order adds: every figure beside a plain recomputation, and nothing where there is nothing."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from signbridge.core.names import IN_ORDER, MOVEMENT, SHUFFLED, TWIN_IN_ORDER, TWIN_SHUFFLED
from signbridge.statistics import motion
from signbridge.statistics.frame_effect import frame_findings, frame_table
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.motion_summary import NOWHERE, chance, largest_step, order_from
from tests.report import made_up_motion

STATISTICS = StatisticsParams(confidence=0.95, resamples=500)


def plain_flips(changes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every pattern of signs, one after the other; the largest is taken away step by step."""
    found = np.array([[abs(sum(s * c for s, c in zip(signs, column, strict=True))) for column in changes.T]
                      for signs in product([1, -1], repeat=len(changes))])  # fmt: skip
    observed = np.abs(changes.sum(axis=0))
    alone = [(found[:, column] >= observed[column] - 1e-9).mean() for column in range(len(observed))]
    corrected, left, least = np.zeros(len(observed)), list(range(len(observed))), 0.0
    while left:
        largest = max(left, key=lambda column: observed[column])
        least = max(least, (found[:, left].max(axis=1) >= observed[largest] - 1e-9).mean())
        corrected[largest] = least
        left.remove(largest)
    return np.array(alone), corrected


def test_exact_p_values_are_those_of_every_pattern_of_signs():
    changes = np.random.default_rng(0).integers(-3, 5, (6, 4)).astype(float)
    found = motion.flipped(changes, np.random.default_rng(1))
    np.testing.assert_allclose(found, plain_flips(changes))
    assert found[0].min() >= 2 / 2**6


def test_a_gain_of_every_signer_has_the_least_p_value_also_among_many_layers():
    changes = np.zeros((6, 20))
    changes[:, 3], changes[0, 7] = 2, 1
    p, corrected = motion.flipped(changes, np.random.default_rng(0))
    assert p[3] == corrected[3] == 2 / 2**6
    assert p[0] == corrected[0] == 1


def test_of_many_signers_signs_are_drawn_and_no_p_value_is_zero():
    changes = np.ones((20, 2))
    p, corrected = motion.flipped(changes, np.random.default_rng(0))
    assert (p > 0).all()
    assert (corrected < 0.01).all()


def test_what_order_adds_is_the_difference_of_the_shares_of_the_same_clips():
    found = made_up_motion.compared("held")
    gains = found["order"].query("of == '' and target == 'movement' and kind == 'all'").set_index("site")["difference"]
    right = {
        reading: (table["label"] == table["predicted"]).groupby([table["target"], table["site"]]).mean()
        for reading, (table, _) in made_up_motion.probed("held").items()
    }
    for site in made_up_motion.LAYERS:
        plain = right[IN_ORDER][MOVEMENT, site] - right[SHUFFLED][MOVEMENT, site]
        assert gains[site] == pytest.approx(plain), site
        own = right[TWIN_IN_ORDER][MOVEMENT, site] - right[TWIN_SHUFFLED][MOVEMENT, site]
        twin = found["order"].query("of == 'twin' and target == 'movement' and kind == 'all'")
        assert twin.set_index("site")["difference"][site] == pytest.approx(own)


def test_each_fold_quotes_the_layer_that_its_own_training_clips_chose():
    choices = made_up_motion.probed("held")[IN_ORDER].choices
    chosen = motion.layer_of_each_fold(choices, MOVEMENT, "prompt_last")
    assert chosen["site"].tolist() == ["layer_02"] * made_up_motion.SIGNERS
    other = choices.assign(inner_accuracy=np.where(choices["fold"] == 1, choices["site"] == "layer_00", 0.5))
    of_fold = motion.layer_of_each_fold(other, MOVEMENT, "prompt_last").set_index("fold")["site"]
    assert of_fold[1] == "layer_00"


@pytest.mark.parametrize(("truth", "first"), [("held", "layer_01"), ("nothing", NOWHERE)])
def test_order_is_first_told_apart_where_it_is_held(truth, first):
    order = made_up_motion.compared(truth)["order"]
    assert order_from(order, "prompt_last", 0.05) == first
    assert order_from(order, "prompt_last", 0.05, motion.TWIN) == NOWHERE


def test_the_largest_step_is_where_the_gain_rises_most_and_nowhere_where_it_never_does():
    order = made_up_motion.compared("held")["order"]
    rows = (order["of"] == "") & (order["target"] == "movement") & (order["kind"] == "all")
    gains = {"layer_00": 0.1, "layer_01": 0.2, "layer_02": 0.6}
    put = order.assign(difference=order["difference"].where(~rows, order["site"].map(gains)))
    assert largest_step(put, "prompt_last") == "layer_02"
    assert largest_step(made_up_motion.compared("nothing")["order"], "prompt_last") == NOWHERE


def test_a_control_is_told_apart_only_if_it_reads_less():
    controls = made_up_motion.compared("held")["controls"].query("target == 'movement'").set_index(["control", "site"])
    assert controls.loc[("shuffled", "own"), "p_max"] < 0.05
    assert controls.loc[("pixels", "pixels"), "over"] == 0
    assert controls.loc[("pixels", "pixels"), "p_max"] == 1


def test_chance_is_that_of_the_commonest_member_of_each_group():
    table = pd.DataFrame({"target": "movement", "group": list("aaabb"), "clip": list("12345"), "label": list("xxyxy")})
    assert chance(table, "movement") == 3 / 5


def test_the_share_that_a_frame_moves_is_of_the_sum_of_the_gaps():
    patched = pd.DataFrame({
        "pair": [0, 0, 1, 1], "receiver": ["a", "b", "c", "d"], "site": "embedding", "frame": 3,
        "gap": [1.0, 1.0, 4.0, 2.0], "moved": [1.0, 0.5, 0.0, 2.0], "says_donor": [True, False, False, True],
        "moved_by_itself": 0.1,
    })  # fmt: skip
    signer_of = pd.Series({"a": "p", "b": "p", "c": "q", "d": "q"})
    [row] = frame_table(patched, signer_of, STATISTICS, np.random.default_rng(0)).to_dict("records")
    assert (row["moved"], row["says_donor"], row["pairs"]) == (3.5 / 8, 0.5, 2)
    assert row["noise"] == pytest.approx(0.4 / 8)
    assert row["low"] <= row["moved"] <= row["high"]
    nothing = frame_table(patched.iloc[:0], signer_of, STATISTICS, np.random.default_rng(0))
    assert frame_findings(nothing, 4) == {"pairs_tried": 4, "pairs_patched": 0}
