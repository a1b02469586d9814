"""The sections on patching, steering and erasure: their verdicts follow the numbers."""

import pytest

from signbridge.report.page import page
from signbridge.report.sections import erasure, patching, steering
from signbridge.report.wording import percent
from tests.report import made_up
from tests.report.reading import Page


@pytest.fixture(scope="module")
def usual():
    return made_up.study()


def text(module, study) -> str:
    return " ".join(module.section(study).lead)


def with_metrics(study, **changes):
    return made_up.study(causal={**study.causal, **changes})


def test_a_letter_that_is_read_where_the_answer_does_not_follow_is_said_not_to_be_used(usual):
    patched = usual.patching.copy()
    early = (patched["site"] == "layer_00") & (patched["position"] == "prompt_last")
    patched.loc[early, "effect"] = 0.02
    assert "there it can be read, and is not used" in text(patching, made_up.study(patching=patched))
    patched.loc[early, "effect"] = 0.5
    assert "is not used" not in text(patching, made_up.study(patching=patched))


def test_a_handover_that_every_resample_shares_is_told_from_one_that_wanders(usual):
    assert "between layer_00 and layer_03 in the resamples" in text(patching, usual)
    certain = with_metrics(usual, patching_handover_site_low="layer_03", patching_handover_site_high="layer_03")
    assert "in every resample" in text(patching, certain)


def test_the_probes_curve_stands_beside_what_is_used(usual):
    [curve, heat_map] = patching.section(usual).pictures
    assert [column for column in curve.twin.columns if "probe" in column]
    assert len(curve.twin.rows) == len(heat_map.twin.rows) == 5  # the embedding and four layers
    layer = next(row for row in curve.twin.rows if row[0] == "layer_01")
    probed = usual.accuracy[(usual.accuracy["protocol"] == "grouped") & (usual.accuracy["position"] == "prompt_last")]
    assert layer[1].startswith(percent(probed.set_index("site").loc["layer_01", "accuracy"]))


def test_a_direction_that_does_no_more_than_random_ones_is_not_said_to_steer(usual):
    assert "Difference of class means. It steers" in text(steering, usual)
    idle = with_metrics(usual, steering_class_means_over_random_low=-0.01)
    assert "Difference of class means. Not shown to do more than a random direction" in text(steering, idle)


def test_a_direction_that_only_works_by_breaking_the_text_is_said_to_do_more_damage_than_allowed(usual):
    kept = {key: value for key, value in usual.causal.items() if not key.startswith("steering_probe")}
    assert "The probe's weights: every place that was tried does more damage" in text(
        steering, made_up.study(causal=kept)
    )


def test_texts_before_and_after_stand_side_by_side_with_a_random_direction(usual):
    [table] = steering.section(usual).tables
    assert table.columns == ("steered", "image", "before", "steered", "random direction")
    [at_image] = [row for row in table.rows if "image tokens" in row[0]]
    assert at_image[2:] == ("A fist.", "After class_means, image.", "After random, image.")


def test_the_strength_told_is_the_smallest_at_which_the_other_answer_is_likelier_than_not(usual):
    [table] = steering.section(usual).tables
    assert all("strength 2" in row[0] for row in table.rows)  # at 1 it is 0.45
    sooner = usual.steering.assign(probability=usual.steering["probability"] * 1.5)
    [table] = steering.section(made_up.study(steering=sooner)).tables
    assert all("strength 1" in row[0] for row in table.rows)


def test_an_eraser_that_changes_no_more_than_its_controls_is_not_said_to_be_missed(usual):
    assert "the answer hangs on what was erased" in text(erasure, usual)
    controls = {f"erasure_{at}_shuffled_labels_changed": 0.9 for at in ("prompt_last", "image")}
    idle = text(erasure, with_metrics(usual, **controls))
    assert "hangs on what was erased" not in idle.replace("not shown to hang on what was erased", "")
    assert "not shown to hang on what was erased" in idle


def test_what_comes_back_must_lie_above_chance(usual):
    assert "it comes back, read again from tokens that were not touched" in text(erasure, usual)
    gone = with_metrics(usual, erasure_comes_back=0.26, erasure_comes_back_low=0.2)
    assert "it does not come back" in text(erasure, gone)


@pytest.mark.parametrize("tables", [["patching"], ["steering", "steering_area"], ["erasure", "erasure_answers"]])
def test_a_part_that_was_not_run_is_said_to_be_missing_and_the_page_stands(usual, tables):
    empty = {name: made_up.empty(name) for name in tables}
    if "steering" in tables:
        empty["steering_descriptions"] = usual.steering_descriptions.iloc[:0]
    causal = made_up.without(tables[0], of=usual.causal)
    found = Page(page(made_up.study(causal=causal, **empty)))
    assert "in this run" in found.section(tables[0]).text


def test_a_dash_stands_where_the_sample_has_lost_the_steered_image(usual):
    told = usual.steering_descriptions.assign(image_id="gone")
    [table] = steering.section(made_up.study(steering_descriptions=told)).tables
    assert {row[1] for row in table.rows} == {"–"}
