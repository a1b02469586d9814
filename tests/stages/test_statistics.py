"""The stage `statistics`, on what `probe` and `controls` wrote of a few vectors."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stages.controls
import stages.probe
from signbridge.core import tables
from stages.statistics import main
from tests.conftest import Workspace
from tests.stages.small_study import (
    CELLS,
    IDS,
    LABELS,
    MODEL,
    PHOTOS,
    as_declared,
    copy_into,
    declared,
    outputs,
    working_in,
    write_answers,
    write_study,
    written_by,
)

LAYERS = ["layer_00", "layer_01"]
POSITIONS = ["prompt_last", "answer_last", "image_mean"]
COLUMNS = {
    "accuracy": "protocol site depth position accuracy low high images_tested leaking folds_at_edge",
    "controls": "control site depth position accuracy low high over_control over_control_low over_control_high p_value",
    "layer_comparison": "position site_a site_b difference low high p_value p_holm",
    "peak_probability": "position site depth accuracy peak_probability share_chosen tied_with_best",
    "description_length": "site depth position bits low high uniform_bits compression orders at_edge",
    "letter_accuracy": "letter images accuracy low high",
    "confused_pairs": "letter_a letter_b count share",
    "confusion": "actual predicted",
    "within_word": "word letters images photos chance site depth position accuracy low high",
    "published": (
        "site published_accuracy published_low published_high reproduced_accuracy reproduced_low reproduced_high "
        "leaking comparable"
    ),
}


def probe_and_controls(workspace: Workspace, photos: np.ndarray = PHOTOS, **values) -> None:
    """Write the small study, change its params and run what comes before `statistics`."""
    write_study(workspace, photos)
    workspace.set(**values)
    stages.probe.main()
    stages.controls.main()


@pytest.fixture(scope="module")
def probed(tmp_path_factory) -> Path:
    """The small study, probed once. Not to be changed: take a `project`."""
    with working_in(tmp_path_factory.mktemp("probed")) as workspace:
        probe_and_controls(workspace)
    return workspace.folder


@pytest.fixture
def project(probed, workspace):
    """A copy of the study as `statistics` finds it."""
    return copy_into(workspace, probed)


@pytest.fixture(scope="module")
def counted(probed, tmp_path_factory) -> Path:
    """The study once `statistics` has run. Not to be changed: take `finished`."""
    with working_in(tmp_path_factory.mktemp("counted")) as workspace:
        copy_into(workspace, probed)
        main()
    return workspace.folder


@pytest.fixture
def finished(counted, workspace):
    """A copy of the study once `statistics` has run."""
    return copy_into(workspace, counted)


@pytest.fixture
def unprobed(workspace, monkeypatch):
    """An empty folder, for a study with other params."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    return workspace


def table_of(name: str) -> pd.DataFrame:
    return tables.read(f"data/statistics/{name}.parquet")


def numbers() -> dict:
    return tables.read_findings("data/statistics/findings.json")


def test_the_stage_writes_what_the_pipeline_names_and_nothing_else(project):
    assert as_declared("statistics", written_by(main)) == declared("statistics")


def test_the_tables_have_the_columns_that_the_report_reads(finished):
    assert {name: " ".join(table_of(name).columns) for name in COLUMNS} == COLUMNS


def test_a_second_run_writes_the_same_bytes(finished):
    first = outputs()
    main()
    assert outputs() == first


def test_every_share_lies_within_its_interval(finished):
    for name in ("accuracy", "controls", "letter_accuracy"):
        table = table_of(name)
        assert (table["low"] >= 0).all(), name
        assert ((table["low"] <= table["accuracy"]) & (table["accuracy"] <= table["high"])).all(), name
        assert (table["high"] <= 1).all(), name


def test_the_curve_holds_every_place_under_both_protocols_and_says_which_leaks(finished):
    table = table_of("accuracy")
    places = [*CELLS, ("answer", "text")]
    assert list(table[["protocol", "site", "position"]].itertuples(index=False, name=None)) == (
        [(protocol, *place) for protocol in ("signbridge", "grouped") for place in places]
    )
    assert table.groupby("protocol")["leaking"].unique().map(list).to_dict() == (
        {"grouped": [False], "signbridge": [True]}
    )
    assert table_of("published")["leaking"].all()


def test_the_headline_is_nested_and_stands_beside_what_the_decoder_adds_to(finished):
    found = numbers()
    assert found["model"] == "tiny (a test bed)"
    assert (found["images"], found["photos"], found["letters"]) == (60, 18, 3)
    assert (found["confidence"], found["chance"]) == (0.95, pytest.approx(1 / 3, abs=1e-6))
    assert found["grouped_position"] == "prompt_last"
    assert found["grouped_peak_site"] == "layer_01"
    assert found["grouped_answer"] == pytest.approx(2 / 3, abs=1e-6), "Fist is A or B, Peace is C"
    chosen = table_of("confusion")
    right = (chosen["actual"] == chosen["predicted"]).mean()
    assert found["grouped_peak_accuracy"] == pytest.approx(right, abs=1e-6)
    for name in ("pixels", "vision", "answer", "untrained_twin"):
        gap = found["grouped_peak_accuracy"] - found[f"grouped_{name}"]
        if name != "untrained_twin":  # quoted at the layer that is named, subtracted at those that its folds chose
            assert found[f"grouped_over_{name}"] == pytest.approx(gap, abs=2e-6)
        assert found[f"grouped_over_{name}_low"] <= found[f"grouped_over_{name}"] <= found[f"grouped_over_{name}_high"]
    assert {
        f"grouped_{name}" for name in ("no_image", "other_letter", "shuffled_labels", "accuracy_over_chance")
    } <= set(found)
    assert found["grouped_p_value"] == 0.25, "none of three draws does as well"


def test_a_leaking_headline_is_marked_in_the_name_of_every_number(finished):
    of_notebook = {name for name in numbers() if name.startswith("signbridge")}
    assert {"signbridge_leaking_peak_accuracy", "signbridge_leaking_pixels"} <= of_notebook
    assert all(name.startswith("signbridge_leaking_") for name in of_notebook)
    assert numbers()["signbridge_leaking_copies_in_train"] > 0.5


def test_without_copies_nothing_is_marked_as_leaking(unprobed):
    probe_and_controls(unprobed, np.array(IDS), probe__sites=["pixels"], controls__read=[])
    main()
    assert numbers()["signbridge_copies_in_train"] == 0
    assert not any("leaking" in name for name in numbers())
    assert not table_of("accuracy")["leaking"].any()
    assert not table_of("published")["leaking"].any()


def test_every_pair_of_layers_is_compared_and_one_of_them_is_the_peak(finished):
    pairs = table_of("layer_comparison")
    assert pairs[["position", "site_a", "site_b"]].values.tolist() == [[position, *LAYERS] for position in POSITIONS]
    assert (pairs["p_holm"] >= pairs["p_value"]).all()
    peaks = table_of("peak_probability")
    assert peaks[["position", "site"]].values.tolist() == [[at, layer] for at in POSITIONS for layer in LAYERS]
    for position, rows in peaks.groupby("position"):
        assert rows["peak_probability"].sum() == pytest.approx(1, abs=1e-5), position
        assert rows["share_chosen"].sum() == pytest.approx(1, abs=1e-5), position
        assert rows.loc[rows["accuracy"].idxmax(), "tied_with_best"], position


def test_no_layer_stands_out_where_two_are_alike(project):
    predictions = tables.read("data/predictions.parquet")
    deeper = predictions[predictions["site"] == "layer_01"].assign(site="layer_00")
    made_by = tables.made_by("data/predictions.parquet")
    alike = pd.concat([predictions.query("site != 'layer_00'"), deeper])
    tables.write(alike, "data/predictions.parquet", made_by)
    main()
    assert numbers()["grouped_stands_out"] is False
    assert numbers()["grouped_tied_layers"] == 2


def test_each_control_is_held_against_the_model_at_the_same_place(finished):
    table = table_of("controls")
    places = table.groupby("control", sort=False)[["site", "position"]].apply(
        lambda rows: list(rows.itertuples(index=False, name=None))
    )
    not_pixels = [cell for cell in CELLS if cell[0] != "pixels"]
    assert places.to_dict() == {
        "untrained_twin": not_pixels,
        "no_image": CELLS,
        "other_letter": CELLS,
        "shuffled_labels": CELLS,
    }
    model = table_of("accuracy").query("protocol == 'grouped'").set_index(["site", "position"])["accuracy"]
    gap = table.set_index(["site", "position"]).index.map(model) - table["accuracy"]
    assert np.allclose(gap, table["over_control"], atol=2e-6)
    assert table.loc[table["control"] != "shuffled_labels", "p_value"].isna().all()
    assert table.loc[table["control"] == "shuffled_labels", "p_value"].between(0.25, 1).all()


def test_depth_counts_the_sites_alike_in_every_table(finished):
    depth = table_of("accuracy").set_index("site")["depth"].to_dict()
    for name in ("controls", "peak_probability", "description_length"):
        table = table_of(name)
        assert (table["depth"] == table["site"].map(depth)).all(), name


def test_letters_and_pairs_add_up_to_the_confusions(finished):
    confusion, letters, pairs = table_of("confusion"), table_of("letter_accuracy"), table_of("confused_pairs")
    assert letters["letter"].tolist() == ["A", "B", "C"]
    assert letters["images"].tolist() == [20, 20, 20]
    right = (confusion["actual"] == confusion["predicted"]).groupby(confusion["actual"]).mean()
    assert np.allclose(letters["accuracy"], right, atol=1e-6)
    assert pairs["count"].sum() == (confusion["actual"] != confusion["predicted"]).sum()
    assert pairs["share"].is_monotonic_decreasing


def test_more_confidence_makes_every_interval_wider_and_moves_no_accuracy(finished):
    before = table_of("accuracy")
    finished.set(statistics__confidence=0.999)
    main()
    after = table_of("accuracy")
    pd.testing.assert_series_equal(after["accuracy"], before["accuracy"])
    assert ((after["low"] <= before["low"]) & (after["high"] >= before["high"])).all()
    assert (after["high"] - after["low"]).mean() > (before["high"] - before["low"]).mean()
    assert numbers()["confidence"] == 0.999


def test_only_the_notebooks_own_study_is_comparable_with_what_it_printed(finished):
    assert not table_of("published")["comparable"].any()
    notebooks = {"model": {**MODEL, "hub_id": "llava-hf/llava-1.5-7b-hf"}}
    tables.write(tables.read("data/predictions.parquet"), "data/predictions.parquet", notebooks)
    sample = tables.read("data/sample.parquet")
    made_by = {"images": {"source": "sign_mnist"}, "params": {"strategy": "signbridge"}}
    tables.write(sample, "data/sample.parquet", made_by)
    main()
    assert table_of("published")["comparable"].all()
    assert table_of("published")["reproduced_accuracy"].isna().all(), "this model has no such layers"


def test_the_metrics_are_few_findings_under_names_that_a_stranger_reads_the_headline_first(finished):
    metrics, found = json.loads(Path("metrics/probe.json").read_text()), numbers()
    assert list(metrics)[:4] == ["accuracy", "accuracy_low", "accuracy_high", "best_layer"]
    assert len(metrics) <= 25
    assert metrics["accuracy"] == pytest.approx(found["grouped_peak_accuracy"], abs=6e-5)
    assert metrics["over_pixels"] == pytest.approx(found["grouped_over_pixels"], abs=6e-5)
    assert metrics["leaking_split_accuracy"] == pytest.approx(found["signbridge_leaking_peak_accuracy"], abs=6e-5)
    assert "notebook_split_accuracy" not in metrics, "its split leaks here"
    assert metrics["model"] == "tiny (a test bed)"


def test_dvc_draws_layers_as_numbers_with_each_split_apart(finished):
    drawn, accuracy = pd.read_csv("plots/layers.csv"), table_of("accuracy")
    layers = accuracy[accuracy["site"].isin(LAYERS)]
    assert len(drawn) == len(layers)
    assert drawn["layer"].tolist() == [LAYERS.index(site) for site in layers["site"]]
    assert np.allclose(drawn["accuracy"], layers["accuracy"], atol=1e-6)
    assert drawn["split"].unique().tolist() == ["notebook's split (leaks)", "no photo on both sides"]
    pixels = accuracy[accuracy["site"] == "pixels"]["accuracy"]
    assert np.allclose(drawn["pixels"].unique(), pixels.unique(), atol=1e-6)


def test_dvc_draws_the_model_above_its_controls_and_each_letters_share(finished):
    drawn = pd.read_csv("plots/controls.csv")
    assert set(drawn["series"]) == {"model", "untrained_twin", "no_image", "other_letter", "shuffled_labels"}
    assert all(sorted(layers) == [0, 1] for _, layers in drawn.groupby("series")["layer"])
    confusion = pd.read_csv("plots/confusion.csv")
    assert np.allclose(confusion.groupby("actual")["share"].sum(), 1, atol=1e-5)
    letters = pd.read_csv("plots/letters.csv").set_index("letter")["accuracy"]
    diagonal = confusion[confusion["actual"] == confusion["predicted"]].set_index("actual")["share"]
    assert np.allclose(letters, diagonal[letters.index], atol=1e-6)


# What was not asked for --------------------------------------------------------------------------------------------


def test_without_controls_the_curve_stands_alone(unprobed):
    probe_and_controls(unprobed, controls__read=[], shuffled_labels__draws=0, probe__sites=["pixels"])
    assert as_declared("statistics", written_by(main)) == declared("statistics")
    assert table_of("controls").empty
    assert " ".join(table_of("controls").columns) == COLUMNS["controls"]
    found = numbers()
    assert found["grouped_peak_site"] == "layer_01"
    absent = ("untrained_twin", "no_image", "other_letter", "shuffled_labels", "accuracy_over_chance", "p_value")
    assert not {f"grouped_{name}" for name in absent} & set(found)


def test_the_notebooks_protocol_alone_has_a_curve_and_no_headline_without_leakage(unprobed):
    probe_and_controls(unprobed, probe__protocols=["signbridge"], probe__sites=["pixels"])
    assert as_declared("statistics", written_by(main)) == declared("statistics")
    assert set(table_of("accuracy")["protocol"]) == {"signbridge"}
    for name in ("controls", "layer_comparison", "peak_probability"):
        assert table_of(name).empty
        assert " ".join(table_of(name).columns) == COLUMNS[name]
    assert not any(name.startswith("grouped_") for name in set(numbers()) - {"grouped_by"})
    assert len(table_of("confusion")) == 12


def test_without_leakage_alone_there_is_no_number_of_the_notebooks(unprobed):
    probe_and_controls(unprobed, probe__protocols=["grouped"], probe__sites=[], probe__positions=["image_mean"])
    assert as_declared("statistics", written_by(main)) == declared("statistics")
    assert numbers()["grouped_position"] == "image_mean"
    assert not any(name.startswith("signbridge") for name in numbers())
    assert table_of("published")["reproduced_accuracy"].isna().all()


def test_without_layers_the_best_site_is_quoted_and_never_the_answer(unprobed):
    write_study(unprobed)
    write_answers(LABELS, MODEL)  # the answers are always right, the pixels are not
    unprobed.set(probe__sites=["pixels"], probe__layers=[])
    stages.probe.main()
    stages.controls.main()
    assert as_declared("statistics", written_by(main)) == declared("statistics")
    confusion = table_of("confusion")
    assert (confusion["actual"] != confusion["predicted"]).any()
    assert "grouped_peak_site" not in numbers()
    assert numbers()["grouped_pixels"] < numbers()["grouped_answer"] == 1


# Mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"statistics__confidence": 95}, "params.yaml: statistics.confidence: expected"),
        ({"statistics__confidence": 1.0}, "params.yaml: statistics.confidence: expected"),
        ({"statistics__resamples": 0}, "params.yaml: statistics.resamples: expected"),
        ({"statistics": {"confidense": 0.95, "resamples": 5}}, "statistics.confidense: unknown key. Did you mean"),
    ],
)
def test_a_wrong_param_is_refused_by_name_before_anything_is_written(project, values, message):
    project.set(**values)
    before = outputs()
    assert message in project.message_of_failure(main)
    assert outputs() == before


@pytest.mark.parametrize(
    "name", ["predictions", "choices", "control_probes/predictions", "control_probes/shuffled_labels"]
)
def test_a_missing_table_is_reported_by_path_before_anything_is_written(project, name):
    Path(f"data/{name}.parquet").unlink()
    before = outputs()
    assert f"data/{name}.parquet: no such table" in project.message_of_failure(main)
    assert outputs() == before
