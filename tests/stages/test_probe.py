"""The stage `probe`, run on a few vectors."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from signbridge import activations, tables
from signbridge.probing import probes
from stages.probe import main

IDS = [f"image-{index}" for index in range(60)]
LABELS = np.repeat(list("ABC"), 20)
MODEL = {"name": "tiny"}
SITES = ["pixels", "vision", "projector", "embedding", "layer_00", "layer_01"]
WRITTEN = [
    "data/predictions.parquet",
    "data/probes/layer_01.safetensors",
    "metrics/probe.json",
    "plots/probe_accuracy.csv",
    "plots/confusion.csv",
    "plots/probe_accuracy_curve.png",
]


@pytest.fixture
def project(workspace):
    photos = [f"{label}-{index % 6}" for index, label in enumerate(LABELS)]
    sample = pd.DataFrame({"image_id": IDS, "label": LABELS, "photo": photos, "image": [b""] * 60})
    tables.write(sample, "data/sample.parquet", {})
    words = np.where(LABELS == "C", "Peace", "Fist")
    given = pd.DataFrame({"image_id": IDS, "label": LABELS, "prompt": "?", "answer": words})
    tables.write(given.sample(frac=1, random_state=0), "data/answers.parquet", {"model": MODEL})
    generator = np.random.default_rng(0)
    number = np.unique(LABELS, return_inverse=True)[1]
    for depth, site in enumerate(SITES):
        width = 100 if site == "pixels" else 12
        vectors = {
            position: (generator.normal(size=(60, width)) + 0.2 * depth * number[:, None]).astype(np.float32)
            for position in activations.positions_of(site)
        }
        activations.write(Path("data/activations"), site, IDS, vectors, {"sites": SITES})
    workspace.set(model_notes={"tiny": "a test bed"})
    workspace.set(probe__grouped={"folds": 4, "repeats": 2}, probe__intervals__resamples=50)
    return workspace


def test_the_stage_writes_what_the_design_names(project):
    main()
    predictions = tables.read("data/predictions.parquet")
    assert list(predictions.columns) == (
        ["protocol", "site", "position", "repeat", "fold", "image_id", "label", "predicted", "probability"]
    )
    cells = 3 + 3 * 3 + 1  # and the answers
    assert len(predictions) == cells * (12 + 2 * 60)
    assert set(tables.made_by("data/predictions.parquet")) == {"probe", "seed", "scikit-learn"}
    assert {path.stem for path in Path("data/probes").iterdir()} == set(SITES)
    numbers = json.loads(Path("metrics/probe.json").read_text())
    assert numbers["model"] == "tiny (a test bed)"
    assert numbers["grouped_peak_site"] == "layer_01"
    assert numbers["chance"] == pytest.approx(1 / 3, abs=1e-6)
    assert numbers["grouped_answer"] == pytest.approx(2 / 3, abs=1e-6), "Fist is A or B, Peace is C"
    assert len(pd.read_csv("plots/probe_accuracy.csv")) == 2 * cells
    assert list(pd.read_csv("plots/confusion.csv").columns) == ["actual", "predicted"]
    with Image.open("plots/probe_accuracy_curve.png") as picture:
        assert set(picture.info) == {"dpi"}


def test_a_stored_probe_reads_the_letters_of_the_sample(project):
    main()
    vectors = activations.read(Path("data/activations"), "layer_01", "prompt_last", IDS)
    probe = probes.load("data/probes/layer_01.safetensors", "prompt_last", "sample")
    assert probe.classes == ["A", "B", "C"]
    assert (probe.predict(vectors) == LABELS).mean() > 0.9
    probes.load("data/probes/pixels.safetensors", "flat", "signbridge")


def test_a_second_run_writes_the_same_bytes(project):
    main()
    first = [Path(path).read_bytes() for path in WRITTEN]
    main()
    assert [Path(path).read_bytes() for path in WRITTEN] == first


def test_the_best_site_is_never_the_answer(project):
    words = pd.DataFrame({"image_id": IDS, "label": LABELS, "prompt": "?", "answer": LABELS})
    tables.write(words, "data/answers.parquet", {"model": MODEL})
    project.set(probe__sites=["pixels"], probe__layers=[])
    main()
    confusion = pd.read_csv("plots/confusion.csv")
    assert (confusion["actual"] != confusion["predicted"]).any(), "the answers are always right, the pixels are not"


def test_one_protocol_and_few_layers_can_be_asked_for(project):
    project.set(probe__protocols=["grouped"], probe__sites=[], probe__layers=[1], probe__positions=["prompt_last"])
    main()
    predictions = tables.read("data/predictions.parquet")
    assert predictions[["protocol", "site", "position"]].drop_duplicates().values.tolist() == (
        [["grouped", "layer_01", "prompt_last"], ["grouped", "answer", "text"]]
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"probe__layers": [0, 7]}, "probe.layers: no layer 7. The model has 2"),
        ({"probe__grouped__folds": 7}, "needs 7 photos a letter; there are: A 6, B 6, C 6"),
        ({"probe__protocols": ["notebook"]}, "probe.protocols: no 'notebook'"),
        ({"probe__positions": ["flat"]}, "probe.positions: no 'flat'"),
    ],
)
def test_a_wrong_param_is_refused_by_name_before_anything_is_written(project, values, message):
    project.set(**values)
    assert message in project.message_of_failure(main)
    assert not Path("data/predictions.parquet").exists()
    assert not Path("data/probes").exists()
