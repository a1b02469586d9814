"""What `dvc plots` draws: numbers for layers, one row a cell, nothing that a template could not show."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from signbridge.statistics.dvc_plots import confusion, controls, layers

ROOT = Path(__file__).parents[2]
PIPELINES = ["dvc.yaml", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("stages/*/dvc.yaml"))]
ACCURACY = pd.DataFrame(
    [
        ("signbridge", "pixels", "flat", 0.8, True),
        ("signbridge", "layer_08", "prompt_last", 0.9, True),
        ("grouped", "pixels", "flat", 0.4, False),
        ("grouped", "embedding", "prompt_last", 0.1, False),
        ("grouped", "layer_08", "prompt_last", 0.6, False),
        ("grouped", "layer_31", "image_mean", 0.7, False),
        ("grouped", "answer", "text", 0.3, False),
    ],
    columns=["protocol", "site", "position", "accuracy", "leaking"],
).assign(low=lambda table: table["accuracy"] - 0.1, high=lambda table: table["accuracy"] + 0.1)


def test_layers_are_numbers_beside_the_baselines_of_their_own_split():
    table = layers(ACCURACY)
    assert table["layer"].tolist() == [8, 8, 31]
    assert table["split"].tolist() == ["notebook's split (leaks)"] + 2 * ["no photo on both sides"]
    assert table["pixels"].tolist() == [0.8, 0.4, 0.4]
    assert table["answer"].isna().tolist() == [True, False, False]
    assert table["vision"].isna().all()


def test_the_model_is_drawn_with_its_controls_at_one_position():
    twin = ACCURACY[ACCURACY["protocol"] == "grouped"].assign(control="untrained_twin", accuracy=0.05)
    table = controls(ACCURACY, twin, "prompt_last")
    assert table.set_index(["series", "layer"])["accuracy"].to_dict() == {
        ("model", 8): 0.6,
        ("untrained_twin", 8): 0.05,
    }
    assert controls(ACCURACY, twin, None).empty


def test_each_letters_shares_add_up_and_pairs_that_never_occur_are_there():
    quoted = pd.DataFrame({"actual": list("AABC"), "predicted": list("ABBB")})
    table = confusion(quoted).set_index(["actual", "predicted"])["share"]
    assert len(table) == 9
    assert table["A", "B"] == 0.5
    assert table["B", "C"] == 0
    assert np.allclose(table.groupby("actual").sum(), 1)


def test_without_layers_the_columns_are_there():
    assert list(layers(ACCURACY.iloc[:1]).columns) == list(layers(ACCURACY).columns)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_template_that_a_pipeline_names_takes_data_and_both_axes(pipeline):
    stages = YAML(typ="safe").load((ROOT / pipeline).read_text(encoding="utf-8"))["stages"]
    plots = [entry for stage in stages.values() for plot in stage.get("plots", []) for entry in plot.values()]
    for name in {entry["template"] for entry in plots if "template" in entry}:
        template = (ROOT / f".dvc/plots/{name}.json").read_text(encoding="utf-8")
        assert json.loads(template)["data"]["values"] == "<DVC_METRIC_DATA>"
        assert {"<DVC_METRIC_X>", "<DVC_METRIC_Y>", "<DVC_METRIC_TITLE>"} <= set(template.split('"'))
