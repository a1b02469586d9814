"""What the notebook printed, and when another figure may be held against it."""

import numpy as np
import pandas as pd
import pytest

from signbridge.statistics.summary import (
    HUB_ID,
    NOTEBOOK,
    Study,
    published_table,
)

COLUMNS = [
    *("site", "published_accuracy", "published_low", "published_high"),
    *("reproduced_accuracy", "reproduced_low", "reproduced_high", "leaking", "comparable"),
]


def accuracy(*sites: str, protocol: str = "signbridge", position: str = "answer_last", leaking: bool = True):
    table = pd.DataFrame({"protocol": protocol, "site": list(sites), "position": position, "accuracy": 0.5})
    return table.assign(low=0.4, high=0.6, leaking=leaking)


def test_the_printed_figures_are_those_of_60_images_with_the_doubt_that_60_images_leave():
    table = published_table(accuracy("layer_08", "layer_16", "layer_24", "layer_31"), NOTEBOOK, 0.95)
    assert table.columns.tolist() == COLUMNS
    assert table["site"].tolist() == ["layer_08", "layer_16", "layer_24", "layer_31"]
    np.testing.assert_allclose(table["published_accuracy"], np.array([43, 49, 46, 44]) / 60)
    np.testing.assert_allclose(table["published_low"], [0.592, 0.701, 0.646, 0.610], atol=1e-3)
    np.testing.assert_allclose(table["published_high"], [0.815, 0.894, 0.856, 0.829], atol=1e-3)
    assert table["published_high"].iloc[0] > table["published_low"].iloc[1]  # the peak is not told apart from layer 8


def test_only_the_notebooks_protocol_at_its_own_position_reproduces_it():
    table = published_table(
        pd.concat(
            [
                accuracy("layer_08").assign(accuracy=0.7),
                accuracy("layer_16", position="prompt_last"),
                accuracy("layer_24", protocol="grouped", leaking=False),
                accuracy("layer_07"),
            ]
        ),
        NOTEBOOK,
        0.95,
    )
    assert table.loc[0, ["reproduced_accuracy", "reproduced_low", "reproduced_high"]].tolist() == [0.7, 0.4, 0.6]
    assert table.loc[1:, ["reproduced_accuracy", "reproduced_low", "reproduced_high"]].isna().all(axis=None)
    assert len(table) == 4


@pytest.mark.parametrize(
    "study",
    [
        Study("llava-hf/llava-1.5-13b-hf", "sign_mnist", "signbridge"),
        Study(None, "sign_mnist", "signbridge"),
        Study(HUB_ID, "rendered", "signbridge"),
        Study(HUB_ID, "sign_mnist", "one_per_photo"),
    ],
)
def test_another_model_other_images_or_another_draw_are_not_comparable(study):
    assert not published_table(accuracy("layer_08"), study, 0.95)["comparable"].any()
    assert published_table(accuracy("layer_08"), NOTEBOOK, 0.95)["comparable"].all()


def test_figures_of_a_split_that_leaks_are_marked_whether_the_model_has_the_layer_or_not():
    assert published_table(accuracy("layer_08"), NOTEBOOK, 0.95)["leaking"].tolist() == [True] * 4
    assert published_table(accuracy("layer_08", leaking=False), NOTEBOOK, 0.95)["leaking"].tolist() == [False] * 4


def test_a_study_without_the_notebooks_protocol_reproduces_nothing():
    table = published_table(accuracy("layer_08", protocol="grouped", leaking=False), NOTEBOOK, 0.95)
    assert table.columns.tolist() == COLUMNS
    assert table["reproduced_accuracy"].isna().all()
    assert table["leaking"].all(), "the figures that are left are the notebook's, and its split leaks"
