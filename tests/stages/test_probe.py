"""The stage `probe`, run on a few vectors."""

from pathlib import Path

import pandas as pd
import pytest

from signbridge.core import activations, tables
from signbridge.probing import probes
from stages.probe import main
from tests.stages.small_study import (
    ACTIVATIONS,
    CELLS,
    FOLDS,
    IDS,
    LABELS,
    REPEATS,
    SITES,
    TESTED_ONCE,
    as_declared,
    copy_into,
    declared,
    outputs,
    working_in,
    write_study,
    written_by,
)


@pytest.fixture
def project(workspace, monkeypatch):
    """The small study before it is probed."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # in this process, where types are checked
    write_study(workspace)
    return workspace


@pytest.fixture(scope="module")
def probed(tmp_path_factory) -> Path:
    """The small study, probed once. Not to be changed: take `finished`."""
    with working_in(tmp_path_factory.mktemp("probed")) as workspace:
        write_study(workspace)
        main()
    return workspace.folder


@pytest.fixture
def finished(probed, workspace):
    """A copy of the study once it is probed."""
    return copy_into(workspace, probed)


def test_the_stage_writes_what_the_pipeline_names_and_nothing_else(project):
    assert as_declared("probe", written_by(main)) == declared("probe")


def test_every_image_is_read_at_every_place_and_from_the_answer(finished):
    predictions = tables.read("data/predictions.parquet")
    assert list(predictions.columns) == (
        ["protocol", "site", "position", "repeat", "fold", "image_id", "label", "predicted", "probability"]
    )
    assert list(predictions[["site", "position"]].drop_duplicates().itertuples(index=False, name=None)) == (
        [*CELLS, ("answer", "text")]
    )
    assert len(predictions) == (len(CELLS) + 1) * (TESTED_ONCE + REPEATS * len(IDS))
    assert set(tables.made_by("data/predictions.parquet")) == {"probe", "seed", "scikit-learn", "model"}
    assert {path.stem for path in Path("data/probes").iterdir()} == set(SITES)


def test_each_fold_says_which_penalty_it_chose_and_how_well_that_read_its_inner_folds(finished):
    choices = tables.read("data/choices.parquet")
    assert list(choices.columns) == ["protocol", "site", "position", "repeat", "fold", "C", "inner_accuracy", "at_edge"]
    assert len(choices) == len(CELLS) * REPEATS * FOLDS
    assert set(choices["protocol"]) == {"grouped"}, "the notebook's penalty is given, not chosen"
    assert set(choices["C"]) <= {0.01, 0.1}
    assert choices["inner_accuracy"].between(0, 1).all()
    assert choices["at_edge"].all(), "there are but two"
    inner = choices.groupby("site")["inner_accuracy"].mean()
    assert inner["layer_01"] > inner["pixels"]


def test_the_code_is_shorter_where_the_letters_are_further_apart(finished):
    table = tables.read("data/description_length.parquet")
    assert list(table.columns) == ["site", "position", "order", "C", "at_edge", "image_id", "bits"]
    assert list(table[["site", "position"]].drop_duplicates().itertuples(index=False, name=None)) == CELLS
    assert table.groupby(["site", "position", "order"])["image_id"].nunique().unique().tolist() == [len(IDS)]
    bits = table[table["position"] != "answer_last"].groupby("site")["bits"].mean()
    assert bits["layer_01"] < bits["pixels"]


def test_a_stored_probe_reads_the_letters_of_the_sample(finished):
    vectors = activations.read(ACTIVATIONS, "layer_01", "prompt_last", IDS)
    probe = probes.load("data/probes/layer_01.safetensors", "prompt_last", "sample")
    assert probe.classes == ["A", "B", "C"]
    assert (probe.predict(vectors) == LABELS).mean() > 0.9
    probes.load("data/probes/pixels.safetensors", "flat", "signbridge")


def test_a_second_run_writes_the_same_bytes(finished, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    first = outputs()
    main()
    assert outputs() == first


def test_processes_side_by_side_write_the_same_bytes_as_one_alone(finished, monkeypatch):
    alone = outputs()
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    main()
    assert outputs() == alone


def test_one_protocol_and_few_layers_can_be_asked_for(project):
    project.set(probe__protocols=["grouped"], probe__sites=[], probe__layers=[1], probe__positions=["prompt_last"])
    main()
    predictions = tables.read("data/predictions.parquet")
    assert predictions[["protocol", "site", "position"]].drop_duplicates().values.tolist() == (
        [["grouped", "layer_01", "prompt_last"], ["grouped", "answer", "text"]]
    )
    probe = probes.load("data/probes/layer_01.safetensors", "prompt_last", "sample")
    assert probe.classes == ["A", "B", "C"]


def test_the_notebooks_protocol_alone_chooses_nothing(project):
    project.set(probe__protocols=["signbridge"], probe__sites=["pixels"], probe__layers=[0])
    main()
    assert set(tables.read("data/predictions.parquet")["protocol"]) == {"signbridge"}
    choices = tables.read("data/choices.parquet")
    assert (len(choices), "inner_accuracy" in choices) == (0, True)


def test_the_order_of_the_answers_table_does_not_count(finished, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    first = tables.read("data/predictions.parquet")
    answers = tables.read("data/answers.parquet").sort_values("image_id")
    tables.write(answers, "data/answers.parquet", {"model": {"name": "tiny"}})
    main()
    pd.testing.assert_frame_equal(tables.read("data/predictions.parquet"), first)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"probe__layers": [0, 7]}, "probe.layers: no layer 7. The model has 2"),
        ({"probe__grouped__folds": 7}, "needs 7 photos a letter; there are: A 6, B 6, C 6"),
        ({"probe__grouped__inner_folds": 1}, "probe.grouped.inner_folds: expected"),
        ({"probe__grouped__C": []}, "probe.grouped.C: expected"),
        ({"probe__grouped__C": [0.1, 0]}, "probe.grouped.C.1: expected"),
        ({"probe__signbridge__C": 0}, "probe.signbridge.C: expected"),
        ({"probe__signbridge__test_size": 0.01}, "probe.signbridge.test_size 0.01 leaves 1 of 60 images to test"),
        ({"probe__description_length__orders": 0}, "probe.description_length.orders: expected"),
        ({"probe__C": 1.0}, "probe.C: unknown key"),
        ({"probe__protocols": ["notebook"]}, "probe.protocols: no 'notebook'"),
        ({"probe__positions": ["flat"]}, "probe.positions: no 'flat'"),
        ({"probe__sites": [], "probe__layers": []}, "probe.sites and probe.layers are both empty"),
    ],
)
def test_a_wrong_param_is_refused_by_name_before_anything_is_written(project, values, message):
    project.set(**values)
    before = outputs()
    assert message in project.message_of_failure(main)
    assert outputs() == before
