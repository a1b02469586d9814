"""The stages of the pipeline `pretrained`, for each pair of model and format."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from signbridge.core import activations, params, tables
from signbridge.core.names import FEATURE_DIRECTIONS
from stages.pretrained import classes, descriptions, effects, fetch, steer
from stages.pretrained import features as features_stage
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
    "fetch": fetch.main,
    "descriptions": descriptions.main,
    "features": features_stage.main,
    "classes": classes.main,
    "steer": steer.main,
    "effects": effects.main,
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
    return tables.read_findings(classes.CLASSES / "findings.json")


def of_classes() -> pd.DataFrame:
    return tables.read(classes.CLASSES / "classes.parquet")


def listed() -> dict[str, list[int]]:
    return {name: rows["feature"].tolist() for name, rows in of_classes().groupby("class")}


def test_what_is_declared_is_written(finished):
    for stage, written in finished[2].items():
        assert as_declared(f"pretrained.{stage}", written) == declared(f"pretrained.{stage}")


def test_a_planted_feature_comes_first_for_its_class_and_one_of_every_class_is_dropped(study, finished):
    assert {name: features[0] for name, features in listed().items()} == {
        name: number for number, name in enumerate(CLASSES)
    }
    assert ALWAYS not in {feature for features in listed().values() for feature in features}
    read = activations.read(features_stage.FEATURES / "sample", SITE, str(POSITIONS[finished[0]]), IDS)
    assert (read[:, ALWAYS] > 0).all(), "it does fire"
    table = of_classes()
    first = table[table["rank"] == 1].set_index("class")
    for number, name in enumerate(CLASSES):
        of_class = [label == name for label in LABELS]
        assert first.loc[name, "activation"] == pytest.approx(read[of_class, number].sum(), rel=1e-5)
        assert first.loc[name, "images_firing"] == np.mean(read[of_class, number] > 0)


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
    assert set(of_classes()["fits"]) == {True}


def test_the_token_that_is_read_is_named(study, finished):
    assert found()["token"] == {"llava-gemma": " the", "gemma3": "\n", "llava-next": "<image>"}[finished[0]]


def test_published_features_are_looked_for_in_the_classes_that_are_there(study):
    metrics = found()
    assert metrics["published_classes"] == 2
    assert metrics["published_found_golden_retriever"] == 0.5
    assert metrics["published_found_pizza"] == 1
    assert metrics["published_found"] == 0.75
    table = of_classes()
    of_class = {name: rows["published"].tolist() for name, rows in table.groupby("class")}
    assert set(of_class["coral reef"]) == {""}
    assert of_class["pizza"][0] == "True"
    assert "True" not in of_class["pizza"][1:]


def test_descriptions_are_put_beside_the_features(study):
    Path("export.jsonl").write_text('{"index": "2", "description": "food that is round"}\n', encoding="utf-8")
    study.set_in(params.PRETRAINED, classes__descriptions="export.jsonl")
    descriptions.main()
    classes.main()
    table = of_classes().set_index(["class", "feature"])["description"]
    assert table["pizza", 2] == "food that is round"
    assert table["coral reef", 0] == ""
    assert (found()["descriptions"], found()["described"]) == ("export.jsonl", 1)


def test_an_autoencoder_that_gives_nothing_back_does_not_fit_and_its_table_is_marked(study):
    stored = fetch.FOLDER / SITE / "sae_weights.safetensors"
    weights = load_file(stored)
    weights["W_dec"].zero_()
    save_file(weights, stored)
    features_stage.main()
    classes.main()
    assert found()["variance_explained_image"] < 0.1
    assert found()["fits"] is False
    assert set(of_classes()["fits"]) == {False}


def test_the_same_study_gives_the_same_bytes_and_goes_on_where_it_was_killed(study, monkeypatch):
    resumes_with_the_same_bytes(features_stage.main, monkeypatch, killed_after=2, shards=4)


def test_the_stored_autoencoder_takes_the_stream_as_it_is(study, finished):
    about = json.loads((fetch.FOLDER / "pretrained.json").read_text())
    assert (about["pretrained"], about["site"], about["features"]) == ("pair", SITE, FEATURES)
    config = json.loads((fetch.FOLDER / SITE / "cfg.json").read_text())
    assert config["normalize_activations"] == "none"
    assert config["architecture"] == {"sae_lens": "standard", "gemma_scope_2": "jumprelu", "sparsify": "topk"}[
        PAIRS[finished[0]]
    ]  # fmt: skip


def test_one_of_another_model_is_refused(study):
    study.set(model="miniature")
    message = study.message_of_failure(features_stage.main)
    assert "'pair' belongs to the model 'tiny'" in message
    assert "Set model: tiny" in message
    assert message == study.message_of_failure(fetch.main) == study.message_of_failure(steer.main)


def test_one_of_another_model_is_refused_before_anything_is_fetched(study, monkeypatch):
    from signbridge.pretrained import files

    monkeypatch.setattr(files, "fetched", lambda *_: pytest.fail("it was fetched"))
    study.set(model="miniature")
    assert "'pair' belongs to the model 'tiny'" in study.message_of_failure(fetch.main)


def test_another_autoencoder_than_was_fetched_is_refused(study):
    study.set_in(params.PRETRAINED, autoencoder="llava-gemma-2b")
    for stage in (features_stage, steer):
        assert "of 'pair', not of 'llava-gemma-2b'" in study.message_of_failure(stage.main)


def test_a_layer_that_is_not_there_is_refused(study):
    study.set(autoencoders__pair__layer=9)
    assert "trained at layer_01, not at layer_09" in study.message_of_failure(fetch.main)
    about = json.loads((fetch.FOLDER / "pretrained.json").read_text())
    shutil.copytree(fetch.FOLDER / SITE, fetch.FOLDER / "layer_09")
    (fetch.FOLDER / "pretrained.json").write_text(json.dumps({**about, "layer": 9, "site": "layer_09"}))
    assert "blocks 0 to 2, not 9" in study.message_of_failure(features_stage.main)


def test_a_position_behind_the_prompt_is_refused(study):
    study.set(autoencoders__pair__position=500)
    fetch.main()
    assert "position 500: the prompt has" in study.message_of_failure(features_stage.main)


def test_a_prompt_without_an_image_is_refused(study):
    study.set(autoencoders__pair__prompt="Describe the hand.")
    fetch.main()
    assert "stages/pretrained/autoencoders.yaml: pair.prompt must hold" in study.message_of_failure(features_stage.main)


def test_classes_are_steered_by_their_published_features_and_those_classes_are_left_first(study):
    chosen = tables.read(steer.STEERING / "features.parquet")
    assert set(chosen["site"]) == {SITE}
    named = {"golden_retriever": 1, "pizza": 2}
    for row in chosen.itertuples(index=False):
        assert row.up == named.get(row.b, row.up)
        assert row.down == named.get(row.a, row.down)
    assert len(chosen[["a", "b"]].drop_duplicates()) == 2
    assert set(chosen["a"]) <= set(named), "classes with published features are left first"
    answers = tables.read(steer.STEERING / "answers.parquet")
    assert set(answers["direction"]) >= set(FEATURE_DIRECTIONS)
    assert answers["probability"].between(0, 1).all()


@pytest.mark.slow
def test_steering_goes_on_where_it_was_killed(study, monkeypatch):
    resumes_with_the_same_bytes(steer.main, monkeypatch, killed_after=0, shards=1)


def test_the_metrics_are_some_of_the_findings(study):
    steered = tables.read_findings(effects.EFFECTS / "findings.json")
    assert steered["pretrained_class_pairs"] == 2
    assert steered["model"] == "tiny (a test bed)"
    assert set(tables.read(effects.EFFECTS / "steering.parquet")["steered"]) == {"pretrained"}
    for path, least in ((classes.METRICS, 10), (effects.METRICS, 4)):
        assert least <= len(json.loads(path.read_text())) <= 25


def test_a_study_of_another_model_says_so_and_imports_no_heavy_library(workspace):
    """As committed: the study's model is the miniature, for which nobody trained an autoencoder."""
    for library in ("torch", "sae_lens"):
        Path(f"{library}.py").write_text("raise SystemExit('imported')")
    ran = workspace.run("pretrained.fetch", PYTHONPATH=f"{workspace.folder}:{ROOT}")
    assert ran.returncode == 1
    assert "belongs to the model 'llava-gemma-2b', and the study's is 'miniature'" in ran.stderr
