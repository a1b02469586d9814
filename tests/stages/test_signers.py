"""A dataset that knows its signers, from its images to the statistics: no signer is on both sides."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stages.controls
import stages.leakage
import stages.photos
import stages.probe
import stages.sample
import stages.statistics
from signbridge.core import activations, tables
from signbridge.datasets.images import LabelledImage, images_table
from tests.stages.small_study import working_in

SIGNERS, PER_CLASS = ["ann", "bob", "cat"], 12
COPIED = "A-ann-0", "A-bob-0"  # one picture under two people


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The stages from `photos` to `leakage`, on vectors in which each signer has a way of their own."""
    with working_in(tmp_path_factory.mktemp("signers")) as workspace:
        workspace.set(
            seed=1, sample={"strategy": "signbridge", "classes": "all", "per_class": PER_CLASS, "signers": "all"},
            probe__grouped={"by": "auto", "folds": 5, "repeats": 2, "inner_folds": 2, "C": [0.01, 0.1]},
            probe__description_length={"orders": 2}, probe__sites=["pixels"], controls__read=[],
            shuffled_labels={"draws": 2, "quoted_draws": 0}, control_task={"draws": 1},
            learning_curve={"shares": [0.5], "images_a_photo": 1, "repeats": 1, "more_images_a_photo": 2},
            statistics={"confidence": 0.95, "resamples": 200}, model_notes={},
        )  # fmt: skip
        rng = np.random.default_rng(0)
        names = [(letter, signer, number) for letter in "ABC" for signer in SIGNERS for number in range(6)]
        pixels = {"-".join(map(str, name)): rng.integers(0, 256, (28, 28), dtype=np.uint8) for name in names}
        pixels[COPIED[1]] = pixels[COPIED[0]]
        images = [
            LabelledImage("-".join(map(str, name)), name[0], "all", pixels["-".join(map(str, name))], signer=name[1])
            for name in names
        ]
        tables.write(images_table(images), "data/images.parquet", {"dataset": "made up"})
        stages.photos.main()
        stages.sample.main()
        sample = tables.read("data/sample.parquet")
        write_vectors(sample)
        for stage in (stages.probe, stages.controls, stages.statistics, stages.leakage):
            stage.main()
    return workspace.folder


def write_vectors(sample: pd.DataFrame) -> None:
    """Letters lie apart; at the layer each signer makes each letter in a way of their own."""
    rng = np.random.default_rng(0)
    letter, signer = (np.unique(sample[name], return_inverse=True)[1] for name in ("label", "signer"))
    own, ids = rng.normal(0, 2, (3, 3, 12))[letter, signer], sample["image_id"].tolist()
    for site in ("pixels", "layer_00"):
        there = {
            position: (np.eye(12)[letter] * 2 + (site == "layer_00") * own + rng.normal(0, 0.5, own.shape)).astype("f4")
            for position in activations.positions_of(site)
        }
        activations.write(stages.probe.ACTIVATIONS, site, ids, there, {"sites": ["pixels", "layer_00"]})
    answers = pd.DataFrame({"image_id": ids, "label": sample["label"], "prompt": "?", "answer": "Fist"})
    tables.write(answers, "data/answers.parquet", {"model": {"name": "tiny"}})


@pytest.fixture
def there(study, monkeypatch):
    monkeypatch.chdir(study)


@pytest.mark.usefixtures("there")
def test_each_letter_is_taken_from_all_signers_and_no_photo_is_of_two():
    sample = tables.read("data/sample.parquet")
    assert sample.columns.tolist() == ["image_id", "label", "photo", "image", "signer"]
    assert (sample.groupby(["label", "signer"]).size() == PER_CLASS // len(SIGNERS)).all()
    assert not set(sample["image_id"]) & set(COPIED)
    photos = tables.read("data/photos.parquet").set_index("image_id")["photo"]
    assert photos[COPIED[0]] == photos[COPIED[1]]


@pytest.mark.usefixtures("there")
def test_each_signer_is_left_out_once():
    predictions = tables.read("data/predictions.parquet").query("protocol == 'grouped' and site == 'layer_00'")
    signer = tables.read("data/sample.parquet").set_index("image_id")["signer"]
    tested = predictions.assign(signer=predictions["image_id"].map(signer)).groupby(["repeat", "fold"])["signer"]
    assert [set(names) for _, names in tested] == [{"ann"}, {"bob"}, {"cat"}]


@pytest.mark.usefixtures("there")
def test_the_audit_says_how_many_tested_images_have_their_signer_in_training():
    found = json.loads(Path("metrics/leakage.json").read_text(encoding="utf-8"))
    assert (found["signbridge_signer_in_train"], found["grouped_signer_in_train"]) == (1, 0)
    assert (found["sample_signers"], found["dataset_signers"], found["dataset_photos_under_two_signers"]) == (3, 3, 1)


@pytest.mark.usefixtures("there")
def test_knowing_the_signer_is_worth_something_where_signers_have_ways_of_their_own():
    table = tables.read("data/statistics/signers.parquet").set_index(["site", "position"])
    findings = tables.read_findings("data/statistics/findings.json")
    assert (findings["grouped_by"], findings["groups"]) == ("signer", 3)
    assert table.loc[("layer_00", "prompt_last"), "difference"] == pytest.approx(findings["signer_worth"], abs=1e-6)
    assert findings["signer_worth"] > 0.2
    assert abs(table.loc[("pixels", "flat"), "difference"]) < 0.1
    assert json.loads(Path("metrics/probe.json").read_text(encoding="utf-8"))["signer_worth"] > 0.2


@pytest.mark.usefixtures("there")
def test_the_learning_curve_leaves_out_signers_and_pixels_also_learn_from_the_rest_of_the_dataset():
    table = tables.read("data/statistics/learning_curve.parquet").set_index(["site", "of", "trained_on"])
    best = tables.read_findings("data/statistics/findings.json")["grouped_peak_site"]
    assert set(table.index.get_level_values("site")) == {"pixels", best}
    assert table.loc[(best, "sample", "share 0.5"), "groups"] == 1
    assert table.loc[(best, "sample", "all"), "groups"] == 2
    beyond = table.loc[("pixels", "dataset", "more photos")]
    assert (beyond["groups"], beyond["repeats"]) == (2, 1)
    assert beyond["images"] > table.loc[("pixels", "dataset", "all"), "images"]
