"""The answer in two sentences says what the numbers say, and never more."""

from typing import Any

import pytest

from signbridge.report.sentences import answer
from tests.report import made_up


def plain(text: str) -> str:
    return " ".join(text.split()).replace("\u2212", "-")


def first(**probe: Any) -> str:
    return plain(answer(changed(**probe))[0])


def second(**probe: Any) -> str:
    return plain(answer(changed(**probe))[1])


def changed(**probe: Any):
    usual = made_up.study()
    return made_up.study(found={**usual.found, **probe})


def test_there_are_two_sentences():
    for sentence in answer(made_up.study()):
        assert sentence.endswith(".")
        assert ". " not in sentence


def test_the_first_gives_layer_position_accuracy_interval_and_chance():
    sentence = first()
    assert sentence.startswith("Yes")
    assert "layer_02" in sentence
    assert "last token of the prompt" in sentence
    assert "79.0 % (73.0 to 85.0 %)" in sentence
    assert "chance is 25.0 %" in sentence


def test_layers_that_cannot_be_told_apart_are_not_called_a_peak():
    assert "no layer stands out: none of the 3 other layers can be told apart from the best" in first()
    usual = made_up.study()
    peaks = usual.peak_probability.assign(tied_with_best=usual.peak_probability["site"].isin(["layer_01", "layer_02"]))
    some = plain(answer(made_up.study(peak_probability=peaks))[0])
    assert "no layer stands out: 1 of the 3 other layers cannot be told apart from the best" in some


def test_a_layer_that_stands_out_is_said_to():
    sentence = plain(answer(made_up.study(stands_out=True))[0])
    assert "that layer stands out from all others" in sentence
    assert "no layer" not in sentence


def test_one_layer_alone_is_not_said_to_stand_out_from_others():
    sentence = plain(answer(made_up.study(layers=1, stands_out=True))[0])
    assert "stands out" not in sentence
    assert "the only layer probed" in sentence


@pytest.mark.parametrize(
    "probe", [{"grouped_p_value": 0.4}, {"grouped_p_value": float("nan"), "grouped_peak_accuracy_low": 0.2}]
)
def test_what_shuffled_labels_or_chance_give_as_well_is_no_yes(probe):
    sentence = first(**probe)
    assert sentence.startswith("No")
    assert "not above" in sentence


def test_draws_too_few_for_the_tests_level_leave_the_interval_to_decide():
    usual = made_up.study()
    few = usual.controls.assign(p_value=usual.controls["p_value"].where(usual.controls["p_value"].isna(), 0.25))
    for low, says in ((0.73, "Yes"), (0.2, "No")):
        probe = {**usual.found, "grouped_p_value": 0.25, "grouped_peak_accuracy_low": low}
        assert answer(made_up.study(controls=few, found=probe))[0].startswith(says)


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        ((0.34, 0.25, 0.43), "adds 34.0 points (25.0 to 43.0) over raw pixels"),
        ((0.02, -0.05, 0.09), "adds nothing over raw pixels that this sample could show (2.0 points, -5.0 to 9.0)"),
        ((-0.121, -0.21, -0.04), "falls 12.1 points (4.0 to 21.0) short of raw pixels"),
    ],
)
def test_what_the_decoder_adds_over_the_strongest_baseline_follows_the_interval(difference, said):
    value, low, high = difference
    names = {"grouped_over_pixels": value, "grouped_over_pixels_low": low, "grouped_over_pixels_high": high}
    sentence = second(**names, grouped_over_vision=0.5, grouped_over_vision_low=0.4, grouped_over_vision_high=0.6)
    assert f"The decoder {said}, the strongest baseline" in sentence


def test_a_difference_is_quoted_only_from_the_strongest_baseline():
    """Of the weaker ones their accuracy is said: that the decoder is far above them belongs to the tower."""
    sentence = second(grouped_over_vision=0.004, grouped_over_vision_low=-0.01, grouped_over_vision_high=0.02)
    assert (
        "The decoder adds nothing over the vision tower that this sample could show (0.4 points, -1.0 to 2.0), the "
        "strongest baseline (the others read raw pixels 45.0 % and the model's answer 30.0 %)" in sentence
    )
    assert sentence.count("points") == 1


def test_a_split_that_leaks_is_named_with_its_share_and_what_that_makes_of_its_figure():
    sentence = second()
    assert (
        "the notebook's split is leaking: 51.7 % of its test images have a copy of their photo in training" in sentence
    )
    assert "so its 100.0 % is no evidence" in sentence


def test_a_split_that_does_not_leak_is_not_said_to():
    sentence = plain(answer(made_up.study(leaking=False))[1])
    assert "leaking" not in sentence
    assert "nothing leaks" in sentence


def test_a_grouped_split_that_leaks_is_not_passed_over():
    usual = made_up.study(leaking=False)
    run = made_up.study(leaking=False, leakage={**usual.leakage, "grouped_copies_in_train": 0.1})
    assert "no photo on both sides is leaking: 10.0 %" in plain(answer(run)[1])


def test_without_layers_nothing_is_claimed_of_the_decoder():
    sentences = answer(made_up.study(layers=0))
    assert sentences[0].startswith("This run cannot say")
    assert "is not known" in sentences[1]


def test_without_the_grouped_protocol_a_leaking_figure_is_no_answer():
    usual = made_up.study()
    run = made_up.study(
        found=made_up.without("grouped_", of=usual.found),
        accuracy=usual.accuracy[usual.accuracy["protocol"] == "signbridge"],
        leakage=made_up.without("grouped_", of=usual.leakage),
    )
    assert answer(run)[0].startswith("This run cannot say")
    assert "leaking" in answer(run)[1]


def beside(name: str, difference: float, low: float, high: float) -> dict[str, float]:
    return {f"grouped_over_{name}": difference, f"grouped_over_{name}_low": low, f"grouped_over_{name}_high": high}


def test_what_an_untrained_twin_reads_as_well_is_no_yes():
    sentence = first(**beside("untrained_twin", 0.007, -0.026, 0.044))
    assert sentence.startswith("No more than an untrained network would")
    assert first(**beside("untrained_twin", 0.1, 0.02, 0.18)).startswith("Yes, the decoder")


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        ((-0.14, -0.24, -0.05), "but less than the pixels already do"),
        ((0.02, -0.05, 0.09), "but not shown to be more than the pixels already do"),
    ],
)
def test_what_the_pixels_give_away_as_well_is_said_at_once(difference, verdict):
    sentence = first(**beside("untrained_twin", 0.1, 0.02, 0.18), **beside("pixels", *difference))
    assert sentence.startswith("Yes, ")
    assert verdict in sentence


def test_the_second_measures_the_decoder_against_its_untrained_twin():
    assert "over its untrained twin" in second(**beside("untrained_twin", 0.1, 0.02, 0.18))
