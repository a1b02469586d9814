"""The best layer is chosen where its figure is not: inside the training images of every fold."""

import pandas as pd

from signbridge.probing.peak import (
    chosen_layer,
    headline_position,
    headline_predictions,
    layer_of_each_fold,
)


def choices(*rows: tuple[str, str, list[float]]) -> pd.DataFrame:
    """The inner accuracies of each (site, position) in two repeats of two folds."""
    return pd.DataFrame(
        {
            "protocol": "grouped",
            "site": site,
            "position": position,
            "repeat": index // 2,
            "fold": index % 2,
            "C": 0.1,
            "inner_accuracy": accuracy,
        }
        for site, position, accuracies in rows
        for index, accuracy in enumerate(accuracies)
    )


CHOICES = choices(
    ("pixels", "flat", [0.9, 0.9, 0.9, 0.9]),
    ("layer_02", "prompt_last", [0.3, 0.5, 0.1, 0.1]),
    ("layer_10", "prompt_last", [0.2, 0.5, 0.4, 0.6]),
    ("layer_10", "answer_last", [1.0, 1.0, 1.0, 1.0]),
)


def predictions(*cells: tuple[str, str, str]) -> pd.DataFrame:
    """One prediction a repeat and fold of each (protocol, site, position), which names the site."""
    return pd.DataFrame(
        {
            "protocol": protocol,
            "site": site,
            "position": position,
            "repeat": index // 2,
            "fold": index % 2,
            "image_id": f"image-{index}",
            "label": "A",
            "predicted": site,
        }
        for protocol, site, position in cells
        for index in range(4)
    )


def test_each_fold_has_the_layer_that_read_its_own_inner_folds_best_and_of_equals_the_first_in_depth():
    chosen = layer_of_each_fold(CHOICES, "prompt_last")
    assert chosen.columns.tolist() == ["repeat", "fold", "site", "position"]
    assert chosen["site"].tolist() == ["layer_02", "layer_02", "layer_10", "layer_10"]
    assert chosen[["repeat", "fold"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_pixels_and_other_positions_are_no_layer_of_this_one():
    assert set(layer_of_each_fold(CHOICES, "prompt_last")["site"]) == {"layer_02", "layer_10"}
    assert set(layer_of_each_fold(CHOICES, "answer_last")["site"]) == {"layer_10"}
    assert layer_of_each_fold(CHOICES, "flat").empty


def test_depth_is_the_order_of_the_table_and_not_of_the_alphabet():
    table = choices(("layer_99", "prompt_last", [0.5] * 4), ("layer_100", "prompt_last", [0.5] * 4))
    assert chosen_layer(table, "prompt_last") == "layer_99"


def test_the_layer_that_is_named_is_the_one_that_most_folds_chose_and_of_equals_the_first():
    assert chosen_layer(CHOICES, "prompt_last") == "layer_02"
    more = choices(("layer_02", "prompt_last", [0.3, 0.1, 0.1, 0.1]), ("layer_10", "prompt_last", [0.2, 0.5, 0.4, 0.6]))
    assert chosen_layer(more, "prompt_last") == "layer_10"
    assert chosen_layer(CHOICES, "image_mean") is None


def test_the_headline_stands_at_the_last_token_of_the_prompt_where_a_layer_was_probed_there():
    assert headline_position(CHOICES) == "prompt_last"
    assert headline_position(CHOICES[CHOICES["position"] != "prompt_last"]) == "answer_last"
    assert headline_position(CHOICES[CHOICES["site"] == "pixels"]) is None
    assert headline_position(CHOICES.iloc[:0]) is None


def test_the_headline_is_made_of_what_each_fold_s_own_layer_said():
    told = predictions(
        ("signbridge", "layer_02", "prompt_last"),
        ("grouped", "pixels", "flat"),
        ("grouped", "layer_02", "prompt_last"),
        ("grouped", "layer_10", "prompt_last"),
        ("grouped", "layer_10", "answer_last"),
    )
    headline = headline_predictions(told, CHOICES, "prompt_last")
    assert set(headline["protocol"]) == {"grouped"}
    by_fold = headline.sort_values(["repeat", "fold"])
    assert by_fold["predicted"].tolist() == ["layer_02", "layer_02", "layer_10", "layer_10"]
    assert by_fold["image_id"].tolist() == [f"image-{index}" for index in range(4)]
    assert headline_predictions(told, CHOICES, "image_mean").empty
