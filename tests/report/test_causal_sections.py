"""The sections on patching, knockout, steering and erasure: their verdicts follow the numbers."""

import pytest

from signbridge.report.sections import erasure, knockout, minimal_pairs, patching, steering
from signbridge.report.wording import percent
from tests.report import made_up
from tests.report.reading import Page


@pytest.fixture(scope="module")
def usual():
    return made_up.causal()


def text(module, study) -> str:
    return " ".join(module.section(study).lead)


def with_metrics(study, **changes):
    return made_up.causal(found={**study.found, **changes})


def test_a_letter_that_is_read_where_the_answer_hardly_follows_is_said_to_be_hardly_used(usual):
    patched = usual.patching.copy()
    early = (patched["site"] == "layer_00") & (patched["position"] == "prompt_last")
    patched.loc[early, "effect"] = 0.02
    assert "the letter is there and hardly used" in text(patching, made_up.causal(patching=patched))
    patched.loc[early, "effect"] = 0.5
    moved = text(patching, made_up.causal(patching=patched))
    assert "hardly used" not in moved
    assert "At every probed layer a patch of the last token moves the answer" in moved


def test_a_probe_that_reads_nothing_there_is_not_said_to_read(usual):
    patched = usual.patching.assign(effect=0.02)
    blind = usual.probed.assign(low=0.0)
    assert "is not shown to read the letter" in text(patching, made_up.causal(patching=patched, probed=blind))


def test_a_handover_that_the_resamples_share_is_told_from_one_that_wanders(usual):
    assert "(layer_00 to layer_03 in 95" in text(patching, usual)
    certain = with_metrics(usual, patching_handover_site_low="layer_03", patching_handover_site_high="layer_03")
    assert "(layer_03 in 95" in text(patching, certain)


def test_letters_that_were_offered_are_not_called_answers(usual):
    assert "the logits of the two images' answers" in text(patching, usual)
    offered = text(patching, with_metrics(usual, patching_question="two_letters"))
    assert "answers" not in offered.split("tells how far")[0]


def test_the_probes_curve_stands_beside_what_is_used(usual):
    [heat_map, parts] = patching.section(usual).pictures
    curve = patching.figure(usual)
    assert len(parts.twin.rows) == 4
    assert [column for column in curve.twin.columns if "probe" in column]
    assert len(curve.twin.rows) == len(heat_map.twin.rows) == 5  # the embedding and four layers
    layer = next(row for row in curve.twin.rows if row[0] == "layer_01")
    assert layer[1].startswith(percent(usual.probed.set_index("site").loc["layer_01", "accuracy"]))


def test_a_direction_that_does_no_more_than_either_null_is_not_said_to_steer(usual):
    assert text(steering, usual).count("It steers:") == 3
    tied = with_metrics(usual, steering_class_means_over_shuffled_means_low=-0.01)
    assert "not shown to do more than means of shuffled letters" in text(steering, tied)
    idle = with_metrics(usual, steering_class_means_over_random_low=-0.01)
    assert "It is not shown to do more than random directions" in text(steering, idle)


def test_halves_that_chose_different_places_are_told(usual):
    assert "the two halves chose different" not in text(steering, usual) + text(erasure, usual)
    differing = {"steering_probe_halves_agree": False, "erasure_image_halves_agree": False}
    found = with_metrics(usual, **differing)
    assert text(steering, found).count("the two halves chose different") == 1
    assert text(erasure, found).count("the two halves chose different") == 1


def test_a_direction_that_only_works_by_breaking_the_text_is_said_to_do_more_damage_than_allowed(usual):
    kept = {key: value for key, value in usual.found.items() if not key.startswith("steering_probe")}
    kept |= {key: value for key, value in usual.found.items() if key in ("steering_draws", "steering_images")}
    said = text(steering, made_up.causal(found=kept))
    assert "The probe's weights: on one half or both, no place was found that does no more damage than allowed" in said


def test_texts_before_and_after_stand_side_by_side_with_a_random_direction(usual):
    [table] = steering.section(usual).tables
    assert table.columns == ("steered", "image", "before", "steered", "random direction")
    [at_image] = [row for row in table.rows if "image tokens" in row[0]]
    assert at_image[2:] == ("A fist.", "After class_means, image.", "After random, image.")


def test_the_strength_told_is_the_smallest_at_which_the_other_answer_is_likelier_than_not(usual):
    [table] = steering.section(usual).tables
    assert all("strength 2" in row[0] for row in table.rows)  # at 1 it is 0.45
    sooner = usual.steering.assign(probability=usual.steering["probability"] * 1.5)
    [table] = steering.section(made_up.causal(steering=sooner)).tables
    assert all("strength 1" in row[0] for row in table.rows)


def test_an_eraser_that_changes_no_more_than_its_controls_is_not_said_to_be_missed(usual):
    assert text(erasure, usual).count(": the answer depends on what was erased") == 2
    controls = {f"erasure_{at}_over_shuffled_labels_low": -0.1 for at in ("prompt_last", "image")}
    idle = text(erasure, with_metrics(usual, **controls))
    assert idle.count("the answer is not shown to depend on what was erased") == 2


def test_what_is_read_again_must_lie_above_chance(usual):
    assert "it is read again later" in text(erasure, usual)
    gone = with_metrics(usual, erasure_comes_back=0.26, erasure_comes_back_low=0.2)
    assert "it is not shown to be read again" in text(erasure, gone)


def test_only_a_difference_says_that_untouched_tokens_gave_it_back(usual):
    assert "that much comes from tokens that were not erased" in text(erasure, usual)
    same = text(erasure, with_metrics(usual, erasure_given_back_by_image_tokens_low=-0.1))
    assert "not shown to come from the image tokens" in same
    without = made_up.without("erasure_given_back", of=usual.found)
    assert "not erased" not in text(erasure, made_up.causal(found=without))


def test_an_edge_that_costs_no_more_than_the_null_is_not_said_to(usual):
    assert text(knockout, usual).count("points") == 3
    idle = with_metrics(usual, knockout_question_to_image_over_random_low=-0.01)
    assert text(knockout, idle).count("not shown to be more than under the null") == 1
    blind = with_metrics(usual, knockout_last_to_image_over_random_low=-0.01)
    assert "is not shown to lose more" in Page(made_up.page(blind)).answer[1]


def test_blocks_that_make_up_for_one_another_are_told_from_a_window_that_is_needed(usual):
    assert "what some blocks do not read, others do" in text(knockout, usual)
    needed = with_metrics(usual, knockout_last_to_image_window_lost=0.8)
    assert "the image is read at layer_00 and the blocks behind it" in text(knockout, needed)


def test_a_finger_that_is_read_no_better_than_chance_is_not_said_to_be_told(usual):
    blind = with_metrics(usual, minimal_read_prompt_last_low=0.24)
    assert "the last token is not shown to tell which finger" in minimal_pairs.answer(blind)[0]
    assert "20.0" in text(minimal_pairs, usual).split("moves the text")[1]
    tied = with_metrics(usual, minimal_steered_over_other_low=-0.01)
    assert "not shown to be more" in text(minimal_pairs, tied)
    assert "not shown" not in text(minimal_pairs, usual)


def test_only_pairs_whose_descriptions_differ_are_shown_with_both_images(usual):
    [table] = minimal_pairs.section(usual).tables
    assert [row[0] for row in table.rows] == ["B, index", "B, ring"]
    assert {row[3:] for row in table.rows} == {("A palm.", "A fist.")}
    assert table.rows[0][2].alt == "B, index finger bent"


def test_the_curve_of_patching_is_the_first_picture_of_the_page(usual):
    assert "Where it is read, and where it is used" in made_up.page(usual).split("<section id=")[0]
    nothing = made_up.causal(found=made_up.without("patching", of=usual.found), patching=made_up.empty("patching"))
    assert patching.NO_FIGURE in made_up.page(nothing).split("<section id=")[0]


@pytest.mark.parametrize(
    "tables",
    [["patching"], ["knockout"], ["minimal_read"], ["steering", "steering_area"], ["erasure", "erasure_answers"]],
)
def test_a_part_that_was_not_run_is_not_shown_and_the_page_stands(usual, tables):
    empty = {name: made_up.empty(name) for name in tables}
    if "steering" in tables:
        empty["descriptions"] = usual.descriptions.iloc[:0]
    found = Page(made_up.page(made_up.causal(found=made_up.without(tables[0], of=usual.found), **empty)))
    parts = ("patching", "knockout", "minimal_read", "steering", "erasure")
    others = ["minimal-pairs" if name == "minimal_read" else name for name in parts if name != tables[0]]
    shown = [section.attributes["id"] for section in found.all("section") if "id" in section.attributes]
    assert [name for name in shown if name != "real"] == [*others, "settings"]


def test_the_answer_says_where_the_answer_is_carried_whether_it_is_steered_and_whether_the_letter_is_missed(usual):
    carried, read, pairs, steered, erased = Page(made_up.page(usual)).answer
    assert "carries the answer from layer_03 on" in carried
    assert "loses 90.0" in read
    assert "the last token tells which finger it was" in pairs
    assert "steers the answer" in steered
    assert "the answer depends on what was erased" in erased
    idle = with_metrics(
        usual, steering_class_means_over_random_low=-0.01, erasure_prompt_last_over_random_subspace_low=-0.1
    )
    _, _, _, steered, erased = Page(made_up.page(idle)).answer
    assert "is not shown to steer the answer" in steered
    assert "the answer is not shown to depend on what was erased" in erased


def test_a_dash_stands_where_the_sample_has_lost_the_steered_image(usual):
    told = usual.descriptions.assign(image_id="gone")
    [table] = steering.section(made_up.causal(descriptions=told)).tables
    assert {row[1] for row in table.rows} == {"–"}
