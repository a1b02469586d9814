"""What `dvc repro` left behind is found, and what is missing is named with the command that makes it."""

import shutil

import numpy as np
import pytest

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError
from signbridge.demo.study import DemoStudy
from tests.conftest import ROOT


def test_every_probed_place_has_its_probe_in_order_of_depth(in_study):
    study = DemoStudy()
    assert study.sites[:4] == ["pixels", "vision", "projector", "embedding"]
    assert study.sites[4:] == [f"layer_{block:02d}" for block in range(len(study.sites) - 4)]
    assert set(study.probes) == set(study.places)
    assert study.positions == ["prompt_last", "answer_last", "image_mean"]
    assert study.place("vision", "prompt_last") == ("vision", "image_mean")
    assert study.place("layer_01", "answer_last") == ("layer_01", "answer_last")


def test_the_best_place_is_the_layer_that_the_folds_chose(in_study):
    choices = tables.read("data/choices.parquet")
    best = DemoStudy().best
    assert best[1] == "prompt_last"
    layers = choices[choices["site"].str.startswith("layer_") & (choices["position"] == "prompt_last")]
    of_fold = layers.loc[layers.groupby(["repeat", "fold"])["inner_accuracy"].idxmax(), "site"]
    assert best[0] in set(of_fold)


def test_accuracy_is_that_on_unseen_photos(in_study):
    predictions = tables.read("data/predictions.parquet")
    rows = predictions.query("protocol == 'grouped' and site == 'layer_02' and position == 'image_mean'")
    assert DemoStudy().accuracy["layer_02", "image_mean"] == (rows["label"] == rows["predicted"]).mean()


def test_the_images_share_a_format(in_study):
    assert DemoStudy().format == (True, 28, True)


def test_there_is_an_example_of_each_letter(in_study):
    study = DemoStudy()
    assert study.examples()["label"].tolist() == study.letters


def test_activations_come_in_the_order_of_the_sample(in_study):
    study = DemoStudy()
    pixels = study.vectors(("pixels", "flat"))
    first = np.asarray(study.image(study.sample["image"].iloc[0]).convert("L")).reshape(-1)
    np.testing.assert_array_equal(pixels[0], first)


@pytest.mark.parametrize(
    "missing",
    [
        "data/sample.parquet",
        "data/activations/pixels.parquet",
        "data/predictions.parquet",
        "data/choices.parquet",
        "data/probes/layer_03.safetensors",
    ],
)
def test_a_missing_output_is_named_with_the_command_that_makes_it(finished, tmp_path, monkeypatch, missing):
    shutil.copytree(finished, tmp_path / "study")
    (tmp_path / "study" / missing).unlink()
    monkeypatch.chdir(tmp_path / "study")
    with pytest.raises(SignBridgeError, match=f"{missing}.*dvc repro"):
        DemoStudy()


def test_a_model_that_has_changed_since_is_not_used(finished, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path / "study")
    shutil.copytree(ROOT / "models/miniature", tmp_path / "miniature")
    monkeypatch.chdir(tmp_path / "study")
    study = DemoStudy()
    study.made_by["model"]["path"] = str(tmp_path / "miniature")
    assert study.model().path == str(tmp_path / "miniature")
    config = tmp_path / "miniature/config.json"
    config.write_text(config.read_text() + "\n")
    with pytest.raises(SignBridgeError, match=r"has changed since its activations were read.*dvc repro"):
        study.model()
