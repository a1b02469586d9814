"""Before and after tuning, on tables whose truth is known, every figure beside a plain recomputation."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from signbridge.statistics.finetune import ANSWERED
from signbridge.statistics.taken_over import taken_over
from signbridge.statistics.tuned import HEADLINE, damages
from tests.report.made_up_finetune import LAYERS, RUNS, SAMPLE, STATISTICS, found, patched


@pytest.fixture(scope="module")
def closes():
    return found("closes")


def test_a_gap_that_tuning_closes_is_measured_before_and_after_on_the_same_photos(closes):
    tables, said = closes
    gaps = tables["gaps"].set_index(["run", "site", "how"])
    assert gaps.loc[("letters", "layer_03", "named"), ["before", "after", "difference"]].tolist() == pytest.approx(
        [0.8, 0.1, -0.7]
    )
    assert gaps.loc[("letters", "layer_03", "scored"), ["before", "after"]].tolist() == pytest.approx([0.5, 0.1])
    row = gaps.loc[("letters", "layer_03", "named")]
    assert row["low"] < -0.7 < row["high"] < 0
    assert row["before_low"] < 0.8 < row["before_high"]
    assert said["hardest_how"] == "answer"
    assert (said["hardest_base"], said["named_letters"]) == (pytest.approx(0.4), pytest.approx(0.9))
    assert said["gap_before"] == pytest.approx(0.4)  # less the reading of answers, and not the letters they name
    assert said["gap_after"] == pytest.approx(gaps.loc[("letters", "best", "named"), "after"])
    assert (said["beats_nulls"], said["nulls"]) == (True, 2)


def test_the_gap_is_quoted_against_the_reading_of_answers_that_is_hardest_to_beat(closes):
    gaps = closes[0]["gaps"]
    hardest = gaps[gaps["how"] == "hardest"]
    assert set(hardest["answer_before"]) == {"answer"}
    others = gaps[gaps["how"].isin(ANSWERED)].groupby(["run", "site"])["before"].min()
    known = hardest.dropna(subset="before").set_index(["run", "site"])["before"]
    assert known.tolist() == pytest.approx(others[known.index].tolist())


def test_the_untrained_twin_has_no_before_and_is_a_baseline_of_the_answer_alone(closes):
    tables, _ = closes
    twin = tables["gaps"][tables["gaps"]["run"] == "untrained_twin"]
    assert twin[["before", "before_low", "difference", "low", "p_holm"]].isna().all(axis=None)
    assert twin["after"].notna().all()
    assert "untrained_twin" not in set(tables["layers"]["run"]) | set(tables["transfer"]["run"])
    changes = tables["changes"]
    assert set(changes.loc[changes["against"] == "untrained_twin", "run"]) == {"letters"}
    assert not (changes["run"] == "untrained_twin").any()


def test_probes_before_and_after_are_paired_at_every_layer_and_holm_counts_all_of_them(closes):
    tables, said = closes
    layers = tables["layers"]
    assert layers.groupby("run")["site"].apply(list).to_dict() == dict.fromkeys(RUNS[:-1], LAYERS)
    of_letters = layers[layers["run"] == "letters"].set_index("site")
    assert of_letters["difference"].tolist() == pytest.approx([0, 0, 0.1, 0.2])
    assert layers["p_holm"].tolist() == pytest.approx(multipletests(layers["p_value"], method="holm")[1].tolist())
    assert (said["layers_changed"], said["layers_risen"]) == ((of_letters["p_holm"] < 0.05).sum(),) * 2
    assert said["layers_changed"] >= 1


def test_a_probe_of_the_one_model_is_held_against_the_other_models_own(closes):
    tables, said = closes
    rows = tables["transfer"].set_index(["run", "fitted_on", "how", "site"])
    row = rows.loc[("letters", "before", "as_read", "layer_03")]
    assert row[["accuracy", "own", "difference"]].tolist() == pytest.approx([0.4, 1.0, -0.6])
    row = rows.loc[("letters", "after", "as_read", "layer_03")]
    assert row[["accuracy", "own", "difference"]].tolist() == pytest.approx([0.4, 0.8, -0.4])
    assert row["low"] < 0.4 < row["high"]
    assert row["lost_low"] < -0.4 < row["lost_high"] < 0
    assert (said["transfer_lowest"], said["transfer_lowest_site"]) == (pytest.approx(0.4), "layer_03")


def test_where_nothing_moves_nothing_is_told_apart():
    tables, said = found("nothing")
    changes = tables["changes"]
    assert (changes["difference"] == 0).all()
    assert (changes["p_holm"] == 1).all()
    assert (tables["layers"]["p_holm"] == 1).all()
    assert said["layers_changed"] == 0
    assert said["gap_before"] == pytest.approx(0.4)
    assert not said["beats_nulls"]
    assert (said["taken_over_shift"], said["taken_over_shift_low"], said["taken_over_shift_high"]) == (0, 0, 0)


def test_a_null_that_does_as_well_is_the_one_that_the_gain_is_quoted_against():
    _, said = found("null_as_good")
    assert (said["null"], said["over_null"], said["beats_nulls"]) == ("shuffled_labels", pytest.approx(0), False)
    assert said["named_letters"] == pytest.approx(0.9)


def test_the_answer_is_taken_over_where_half_of_it_moves_from_there_to_the_end(closes):
    tables, said = closes
    rows = tables["taken_over"].set_index("run")
    assert rows["site"].to_dict() == {"base": "layer_01", "letters": "layer_02"}
    assert rows["shift"].to_dict() == {"base": 0, "letters": 1}
    assert (said["taken_over_before"], said["taken_over_after"], said["pairs"]) == ("layer_01", "layer_02", 12)
    assert tables["patching"].groupby("run").size().to_dict() == {"base": 10, "letters": 10}


def test_pairs_that_one_model_does_not_tell_apart_are_left_out_of_both():
    base, after = patched(1), patched(2)
    shared = taken_over({"base": base, "letters": after[after["pair"] > 3]}, STATISTICS, np.random.default_rng(0))
    assert shared["taken_over"]["pairs"].tolist() == [8, 8]
    none = taken_over({"base": base, "letters": after.iloc[:0]}, STATISTICS, np.random.default_rng(0))
    assert none["taken_over"].empty
    assert none["patching"].empty


def test_damage_is_that_of_tuning_and_what_shuffled_labels_do_as_well(closes):
    rows = closes[0]["damage"].set_index("run")
    assert rows.loc["letters", ["damage", "over_shuffled"]].tolist() == pytest.approx([0.5, 0.45])
    group_of = SAMPLE.set_index("image_id")["photo"]
    alone = damages(
        {"letters": SAMPLE[["image_id"]].assign(damage=0.5)}, group_of, STATISTICS, np.random.default_rng(0)
    )
    assert alone["damage"].tolist() == pytest.approx([0.5])
    assert alone["over_shuffled"].isna().all()


def test_the_metrics_stay_readable(closes):
    assert len(HEADLINE) == 25
    assert set(HEADLINE.values()) <= set(closes[1])
