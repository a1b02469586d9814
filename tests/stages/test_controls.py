"""The stage `controls`: the model's own probes, on its own folds, where there should be nothing to find."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stages.probe
from signbridge.core import activations, tables
from signbridge.datasets.control_images import (
    CONTROLS,
    NO_IMAGE,
    OTHER_LETTER,
    UNTRAINED_TWIN,
)
from signbridge.probing.peak import chosen_layer
from stages.controls import main
from tests.stages.small_study import (
    CELLS,
    CONTROL_ACTIVATIONS,
    DRAWS,
    FOLDS,
    IDS,
    REPEATS,
    SITES,
    as_declared,
    copy_into,
    declared,
    outputs,
    working_in,
    write_study,
    written_by,
)

PREDICTIONS = "data/control_probes/predictions.parquet"
CHOICES = "data/control_probes/choices.parquet"
SHUFFLED = "data/control_probes/shuffled_labels.parquet"

PROBED = [cell for cell in CELLS if cell[0] in ("pixels", "layer_00", "layer_01") and cell[1] != "answer_last"]


@pytest.fixture(scope="module")
def probed(tmp_path_factory) -> Path:
    """A study whose model has been probed, at three sites for speed. Not to be changed: take a `project`."""
    with working_in(tmp_path_factory.mktemp("probed")) as workspace:
        write_study(workspace)
        workspace.set(probe__sites=["pixels"], probe__positions=["prompt_last", "image_mean"])
        stages.probe.main()
    return workspace.folder


@pytest.fixture
def project(probed, workspace, monkeypatch):
    """A copy of the study as `controls` finds it."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # in this process, where types are checked
    return copy_into(workspace, probed)


@pytest.fixture(scope="module")
def read(probed, tmp_path_factory) -> Path:
    """The study once `controls` has run. Not to be changed: take `finished`."""
    with working_in(tmp_path_factory.mktemp("read")) as workspace:
        copy_into(workspace, probed)
        main()
    return workspace.folder


@pytest.fixture
def finished(read, workspace, monkeypatch):
    """A copy of the study once `controls` has run."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    return copy_into(workspace, read)


def cells(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(table[["site", "position"]].drop_duplicates().itertuples(index=False, name=None))


def accuracy(table: pd.DataFrame) -> float:
    return float((table["label"] == table["predicted"]).mean())


def test_the_stage_writes_what_the_pipeline_names_and_nothing_else(project):
    assert as_declared("controls", written_by(main)) == declared("controls")


def test_a_second_run_writes_the_same_bytes(finished):
    first = outputs()
    main()
    assert outputs() == first


def test_every_control_is_read_at_the_places_and_on_the_very_folds_of_the_model(finished):
    key = ["site", "position", "repeat", "fold", "image_id", "label"]
    model = tables.read("data/predictions.parquet")
    model = model[(model["protocol"] == "grouped") & (model["site"] != "answer")].set_index(key).index
    controls = tables.read(PREDICTIONS)
    assert controls.columns.tolist() == ["control", "protocol", *key[:5], "label", "predicted"]
    assert controls["control"].unique().tolist() == list(CONTROLS)
    assert set(controls["protocol"]) == {"grouped"}
    of_twin = model[model.get_level_values("site") != "pixels"]  # its pixels are the study's
    for control, rows in controls.groupby("control"):
        expected = of_twin if control == UNTRAINED_TWIN else model
        assert rows.set_index(key).index.sort_values().equals(expected.sort_values()), control


def test_without_an_image_all_of_a_fold_are_taken_for_one_letter(finished):
    controls = tables.read(PREDICTIONS)
    rows = controls[controls["control"] == NO_IMAGE]
    for fold, predicted in rows.groupby(["site", "position", "repeat", "fold"])["predicted"]:
        assert len(set(predicted)) == 1, fold


def test_controls_read_less_than_the_model(finished):
    model = tables.read("data/predictions.parquet").query("protocol == 'grouped' and site == 'layer_01'")
    controls = tables.read(PREDICTIONS).query("site == 'layer_01'")
    for control, rows in controls.groupby("control"):
        assert accuracy(rows) < accuracy(model) - 0.2, control
    assert tables.read(SHUFFLED).query("site == 'layer_01'")["accuracy"].mean() < accuracy(model) - 0.2


def test_only_the_twin_chooses_a_penalty_the_others_are_held_to_the_models(finished):
    choices = tables.read(CHOICES)
    assert choices.columns.tolist() == (
        ["control", "protocol", "site", "position", "repeat", "fold", "C", "inner_accuracy", "at_edge"]
    )
    assert set(choices["control"]) == {UNTRAINED_TWIN}
    assert cells(choices) == [cell for cell in PROBED if cell[0] != "pixels"]
    assert len(choices) == len(cells(choices)) * REPEATS * FOLDS
    before = tables.read(PREDICTIONS)

    of_model = tables.read("data/choices.parquet")
    tables.write(of_model.assign(C=1e-9), "data/choices.parquet", {})  # so strong that the letters' shares decide
    main()
    after = tables.read(PREDICTIONS)
    same = (before["predicted"] == after["predicted"]).groupby(before["control"]).mean()
    assert same[UNTRAINED_TWIN] == 1
    assert same[OTHER_LETTER] < 1


def test_the_first_draw_of_other_letters_is_what_the_model_read_and_the_rest_are_looked_up(finished):
    before = tables.read(PREDICTIONS)
    generator = np.random.default_rng(1)
    for site in SITES:
        noise = {
            position: generator.normal(size=(len(IDS), 12)).astype(np.float32)
            for position in activations.positions_of(site)
        }
        activations.write(CONTROL_ACTIVATIONS / OTHER_LETTER, site, IDS, noise, {"sites": SITES})
    main()
    changed = before["predicted"] != tables.read(PREDICTIONS)["predicted"]
    assert set(before.loc[changed, "control"]) == {OTHER_LETTER}
    assert set(before.loc[changed, "repeat"]) == {0}


def test_every_draw_of_shuffled_labels_is_scored_once_at_every_place(finished):
    shuffled = tables.read(SHUFFLED)
    assert shuffled.columns.tolist() == ["site", "position", "draw", "accuracy"]
    assert cells(shuffled) == PROBED
    assert shuffled.groupby(["site", "position"])["draw"].agg(list).map(sorted).map(tuple).unique().tolist() == (
        [tuple(range(DRAWS))]
    )
    assert shuffled["accuracy"].between(0, 1).all()


def test_more_draws_leave_the_earlier_ones_as_they_were(finished):
    few = tables.read(SHUFFLED).set_index(["site", "position", "draw"])["accuracy"]
    finished.set(shuffled_labels__draws=DRAWS + 2)
    main()
    more = tables.read(SHUFFLED).set_index(["site", "position", "draw"])["accuracy"]
    assert len(more) == len(PROBED) * (DRAWS + 2)
    pd.testing.assert_series_equal(more[few.index], few)


def test_where_a_p_value_is_quoted_there_are_more_draws(finished):
    few = tables.read(SHUFFLED).set_index(["site", "position", "draw"])["accuracy"]
    finished.set(shuffled_labels__quoted_draws=DRAWS + 4)
    main()
    table = tables.read(SHUFFLED)
    drawn = table.groupby(["site", "position"])["draw"].size()
    best = chosen_layer(tables.read("data/choices.parquet"), "prompt_last")
    more = [cell for cell in drawn.index if drawn[cell] == DRAWS + 4]
    assert sorted(more) == [(best, "prompt_last"), ("pixels", "flat")], "the tower was not probed"
    assert set(drawn) == {DRAWS, DRAWS + 4}
    pd.testing.assert_series_equal(table.set_index(["site", "position", "draw"])["accuracy"][few.index], few)


@pytest.mark.parametrize(
    "values",
    [
        {"controls__read": [], "shuffled_labels__draws": 0},
        {"probe__protocols": ["signbridge"]},
    ],
    ids=["none asked for", "no folds without leakage to read them on"],
)
def test_without_controls_the_tables_are_there_and_empty(project, values):
    project.set(**values)
    shutil.rmtree(CONTROL_ACTIVATIONS)
    stages.probe.main()
    assert as_declared("controls", written_by(main)) == declared("controls")
    for path, column in ((PREDICTIONS, "predicted"), (CHOICES, "C"), (SHUFFLED, "draw")):
        table = tables.read(path)
        assert (len(table), column in table) == (0, True), path


def test_one_control_alone_needs_nothing_of_the_others(project):
    project.set(controls__read=[NO_IMAGE])
    for control in (UNTRAINED_TWIN, OTHER_LETTER):
        shutil.rmtree(CONTROL_ACTIVATIONS / control)
    main()
    assert set(tables.read(PREDICTIONS)["control"]) == {NO_IMAGE}


def test_the_twin_has_no_pixels_of_its_own_to_probe(project):
    project.set(probe__layers=[])
    stages.probe.main()
    main()
    assert set(tables.read(PREDICTIONS)["control"]) == {NO_IMAGE, OTHER_LETTER}


def test_the_bars_say_which_control_is_read(project, capsys):
    main()
    said = capsys.readouterr().err
    assert all(f"{name}: 100%" in said for name in (*CONTROLS, "shuffled_labels"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"controls__read": ["no_picture"]}, "params.yaml: controls.read.0: expected"),
        ({"shuffled_labels__draws": -1}, "params.yaml: shuffled_labels.draws: expected"),
        ({"shuffled_labels": {"draw": 3}}, "params.yaml: shuffled_labels.draw: unknown key. Did you mean 'draws'"),
        ({"probe__layers": [7]}, "params.yaml: probe.layers: no layer 7"),
    ],
)
def test_a_wrong_param_is_refused_by_name_before_anything_is_written(project, values, message):
    project.set(**values)
    before = outputs()
    assert message in project.message_of_failure(main)
    assert outputs() == before


def test_choices_of_other_folds_are_refused(project):
    project.set(probe__grouped__folds=FOLDS + 1)
    assert "data/choices.parquet: other folds than in params.yaml" in project.message_of_failure(main)


def test_a_control_that_was_not_read_is_reported_by_path(project):
    shutil.rmtree(CONTROL_ACTIVATIONS / UNTRAINED_TWIN)
    assert f"{CONTROL_ACTIVATIONS}/untrained_twin/layer_00.parquet: no such table" in project.message_of_failure(main)
