"""The stages from a pretrained autoencoder to the features of each class, for each pair of model and format."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from signbridge.core import activations, tables
from stages.pretrained import (
    classes,
    descriptions,
    fetch,
)
from stages.pretrained import (
    features as features_stage,
)
from tests.conftest import ROOT
from tests.stages import pretrained_study
from tests.stages.causal_study import copy_to_run, resumes_with_the_same_bytes
from tests.stages.pretrained_study import (
    ALWAYS,
    CLASSES,
    FEATURES,
    IDS,
    LABELS,
    PAIRS,
    POSITIONS,
    SITE,
)
from tests.stages.small_study import as_declared, declared, written_by

STAGES = {
    "pretrained_sae": fetch.main,
    "pretrained_features": features_stage.main,
    "feature_descriptions": descriptions.main,
    "sae_pretrained": classes.main,
}


@pytest.fixture(scope="module", params=list(PAIRS))
def finished(request, tmp_path_factory) -> tuple[str, Path, dict[str, dict[str, bytes]]]:
    """The family, the folder of a study whose stages have run, and what each wrote."""
    folder = tmp_path_factory.mktemp(request.param)
    with pretrained_study.made(folder, request.param):
        yield request.param, folder, {stage: written_by(main) for stage, main in STAGES.items()}
    shutil.rmtree(folder)


@pytest.fixture
def study(workspace, finished, monkeypatch):
    return copy_to_run(workspace, finished[1], monkeypatch)


def found() -> dict[str, float | str]:
    return json.loads(Path("metrics/sae_pretrained.json").read_text())


def listed() -> dict[str, list[int]]:
    table = tables.read_csv("plots/sae_features_by_class.csv")
    return {name: rows["feature"].astype(int).tolist() for name, rows in table.groupby("class")}


def test_what_is_declared_is_written(finished):
    for stage, written in finished[2].items():
        assert as_declared(stage, written) == declared(stage)


def test_a_planted_feature_comes_first_for_its_class_and_one_of_every_class_is_dropped(study, finished):
    assert {name: features[0] for name, features in listed().items()} == {
        name: number for number, name in enumerate(CLASSES)
    }
    assert ALWAYS not in {feature for features in listed().values() for feature in features}
    read = activations.read(Path("data/pretrained_features/sample"), SITE, str(POSITIONS[finished[0]]), IDS)
    assert (read[:, ALWAYS] > 0).all(), "it does fire"
    table = tables.read_csv("plots/sae_features_by_class.csv")
    first = table[table["rank"] == "1"].set_index("class")
    for number, name in enumerate(CLASSES):
        of_class = [label == name for label in LABELS]
        assert float(first.loc[name, "activation"]) == pytest.approx(read[of_class, number].sum(), rel=1e-5)
        assert float(first.loc[name, "images_firing"]) == np.mean(read[of_class, number] > 0)


def test_one_that_gives_everything_back_fits(study):
    metrics = found()
    assert metrics["variance_explained_image"] == pytest.approx(1, abs=1e-3)
    assert metrics["variance_explained_text"] == pytest.approx(1, abs=1e-3)
    assert metrics["fits"] is True
    assert metrics["model"] == "tiny (a test bed)"
    assert (metrics["images"], metrics["phrases"], metrics["features"]) == (6, 8, FEATURES)
    for kind in ("image", "text"):
        if f"fidelity_{kind}" in metrics:
            assert metrics[f"fidelity_{kind}"] == pytest.approx(1, abs=0.02)
    assert set(tables.read_csv("plots/sae_features_by_class.csv")["fits"]) == {"True"}


def test_the_token_that_is_read_is_named(study, finished):
    assert found()["token"] == {"llava-gemma": " the", "gemma3": "\n", "llava-next": "<image>"}[finished[0]]


def test_published_features_are_looked_for_in_the_classes_that_are_there(study):
    metrics = found()
    assert metrics["published_classes"] == 2
    assert metrics["published_found_golden_retriever"] == 0.5
    assert metrics["published_found_pizza"] == 1
    assert metrics["published_found"] == 0.75
    table = tables.read_csv("plots/sae_features_by_class.csv")
    of_class = {name: rows["published"].tolist() for name, rows in table.groupby("class")}
    assert set(of_class["coral reef"]) == {""}
    assert of_class["pizza"][0] == "True"
    assert "True" not in of_class["pizza"][1:]


def test_descriptions_are_put_beside_the_features(study):
    Path("export.jsonl").write_text('{"index": "2", "description": "food that is round"}\n', encoding="utf-8")
    study.set(sae_pretrained__descriptions="export.jsonl")
    descriptions.main()
    classes.main()
    table = tables.read_csv("plots/sae_features_by_class.csv").set_index(["class", "feature"])["description"]
    assert table["pizza", "2"] == "food that is round"
    assert table["coral reef", "0"] == ""
    assert (found()["descriptions"], found()["described"]) == ("export.jsonl", 1)


def test_an_autoencoder_that_gives_nothing_back_does_not_fit_and_its_table_is_marked(study):
    stored = Path("data/pretrained_sae") / SITE / "sae_weights.safetensors"
    weights = load_file(stored)
    weights["W_dec"].zero_()
    save_file(weights, stored)
    features_stage.main()
    classes.main()
    assert found()["variance_explained_image"] < 0.1
    assert found()["fits"] is False
    assert set(tables.read_csv("plots/sae_features_by_class.csv")["fits"]) == {"False"}


def test_the_same_study_gives_the_same_bytes_and_goes_on_where_it_was_killed(study, monkeypatch):
    resumes_with_the_same_bytes(features_stage.main, monkeypatch, killed_after=2, shards=4)


def test_the_stored_autoencoder_takes_the_stream_as_it_is(study, finished):
    about = json.loads(Path("data/pretrained_sae/pretrained.json").read_text())
    assert (about["pretrained"], about["site"], about["features"]) == ("pair", SITE, FEATURES)
    config = json.loads((Path("data/pretrained_sae") / SITE / "cfg.json").read_text())
    assert config["normalize_activations"] == "none"
    assert config["architecture"] == {"sae_lens": "standard", "gemma_scope_2": "jumprelu", "sparsify": "topk"}[
        PAIRS[finished[0]]
    ]  # fmt: skip


def test_one_of_another_model_is_refused(study):
    study.set(model="miniature")
    message = study.message_of_failure(features_stage.main)
    assert "'pair' belongs to the model 'tiny'" in message
    assert "Set model: tiny" in message


def test_a_layer_that_is_not_there_is_refused(study):
    study.set(pretrained_saes__pair__layer=9)
    assert "trained at layer_01, not at layer_09" in study.message_of_failure(fetch.main)
    about = json.loads(Path("data/pretrained_sae/pretrained.json").read_text())
    shutil.copytree(f"data/pretrained_sae/{SITE}", "data/pretrained_sae/layer_09")
    Path("data/pretrained_sae/pretrained.json").write_text(json.dumps(about))
    assert "blocks 0 to 2, not 9" in study.message_of_failure(features_stage.main)


def test_a_position_behind_the_prompt_is_refused(study):
    study.set(pretrained_saes__pair__position=500)
    assert "position 500: the prompt has" in study.message_of_failure(features_stage.main)


def test_a_prompt_without_an_image_is_refused(study):
    study.set(pretrained_saes__pair__prompt="Describe the hand.")
    assert "pretrained_saes.pair.prompt must hold" in study.message_of_failure(features_stage.main)


@pytest.fixture
def default(workspace, monkeypatch):
    """A project in which nothing is chosen, with traps where the heavy libraries would be imported."""
    for library in ("torch", "sae_lens", "transformers"):
        Path(f"{library}.py").write_text("raise SystemExit('imported')")
    return workspace


@pytest.mark.parametrize("stage", list(STAGES))
def test_by_default_outputs_are_empty_and_no_heavy_library_is_imported(default, stage):
    ran = default.run(stage, PYTHONPATH=f"{default.folder}:{ROOT}")
    assert ran.returncode == 0, ran.stderr
    for path in declared(stage):
        assert Path(path).exists()


def test_the_default_outputs_are_empty(default):
    for main in STAGES.values():
        main()
    assert found() == {"pretrained": "none"}
    assert tables.read_csv("plots/sae_features_by_class.csv").empty
    assert tables.read("data/feature_descriptions.parquet").empty
    assert json.loads(Path("data/pretrained_sae/pretrained.json").read_text()) == {"pretrained": "none"}
    assert [path.name for path in Path("data/pretrained_sae").iterdir()] == ["pretrained.json"]
