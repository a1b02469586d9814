"""The peak of a sweep."""

import pandas as pd

from signbridge.peak import peak_layer


def sweep(*rows: tuple[str, str, str, int]) -> pd.DataFrame:
    """Four predictions for each (protocol, site, position, how many of the four are right)."""
    return pd.DataFrame(
        {
            "protocol": protocol,
            "site": site,
            "position": position,
            "label": "A",
            "predicted": "A" if index < right else "B",
        }
        for protocol, site, position, right in rows
        for index in range(4)
    )


def test_the_peak_is_the_layer_with_most_right_under_the_protocol():
    predictions = sweep(
        ("grouped", "layer_00", "prompt_last", 1),
        ("grouped", "layer_01", "prompt_last", 3),
        ("signbridge", "layer_02", "prompt_last", 4),
    )
    assert peak_layer(predictions, "grouped") == ("layer_01", "prompt_last", 0.75)


def test_pixels_and_the_vision_tower_are_no_peak_of_the_decoder():
    predictions = sweep(("grouped", "pixels", "flat", 4), ("grouped", "layer_00", "prompt_last", 1))
    assert peak_layer(predictions, "grouped").site == "layer_00"


def test_a_position_that_was_asked_for_is_the_only_one_looked_at():
    predictions = sweep(("grouped", "layer_03", "image_mean", 4), ("grouped", "layer_05", "prompt_last", 2))
    assert peak_layer(predictions, "grouped") == ("layer_03", "image_mean", 1.0)
    assert peak_layer(predictions, "grouped", "prompt_last") == ("layer_05", "prompt_last", 0.5)


def test_of_equal_layers_the_first_in_depth_is_the_peak():
    predictions = sweep(("grouped", "layer_10", "prompt_last", 2), ("grouped", "layer_02", "prompt_last", 2))
    assert peak_layer(predictions, "grouped").site == "layer_02"


def test_a_sweep_without_such_a_layer_has_no_peak():
    predictions = sweep(("signbridge", "layer_00", "prompt_last", 1), ("grouped", "pixels", "flat", 1))
    assert peak_layer(predictions, "grouped") is None
