"""The stage `effects`, after the five that it sums up."""

import json
from pathlib import Path

import pandas as pd
import pytest

from signbridge.core import params, tables
from stages.causal import knockout, minimal_pairs, patch, steer
from stages.causal.effects import main
from tests.stages.causal_study import IDS, continued, write_answers
from tests.stages.small_study import (
    as_declared,
    copy_into,
    declared,
    outputs,
    written_by,
)

FINDINGS = Path("data/causal/effects/findings.json")
METRICS = {
    name: Path(f"metrics/causal/{name}.json")
    for name in ("patching", "patched_parts", "knockout", "steering", "erasure")
}
PLOTS = {"patching": "effect", "knockout": "lost", "steering": "probability"}  # what is drawn, by the name of its table
TABLES = ("patching", "parts", "knockout", "steering", "steering_area", "erasure", "erasure_answers")


def table_of(name: str) -> pd.DataFrame:
    return tables.read(Path(f"data/causal/effects/{name}.parquet"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, edited) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study that was patched, steered and erased, and what the stage made of it."""
    folder = tmp_path_factory.mktemp("effects")
    with continued(edited[0], folder):
        for stage in (knockout, minimal_pairs):
            stage.main()
        write_parts()
        return folder, written_by(main)


def write_parts() -> None:
    """Made-up heads and MLPs of the pairs that were patched, which the tiny model takes long to patch."""
    patched = tables.read(Path("data/causal/patching.parquet"))
    rows = patched[(patched["position"] == "prompt_last") & patched["site"].str.startswith("layer")]
    table = pd.concat([rows.assign(part=part) for part in ("attention", "mlp", "head_00")], ignore_index=True)
    tables.write(table, Path("data/causal/patched_parts.parquet"), {})


@pytest.fixture
def study(workspace, finished):
    return copy_into(workspace, finished[0])


def empty(*names: str) -> None:
    """The tables as their stages leave them where there is nothing to do."""
    for name in names:
        path = Path(f"data/causal/{name}.parquet")
        tables.write(tables.read(path).head(0), path, tables.made_by(path))


def test_what_was_found_is_written_under_the_names_that_dvc_knows(study, finished):
    assert as_declared("causal.effects", finished[1]) == declared("causal.effects")
    found = json.loads(FINDINGS.read_text())
    assert found["model"].startswith("tiny-random")
    assert (found["sweep"], found["confidence"]) == ("small", 0.95)
    pairs = tables.read("data/causal/patching.parquet")["pair"].nunique()
    assert found["patching_pairs"] == pairs
    for name in (
        "patching_handover_site",
        "steering_class_means_image_largest_area",
        "erasure_prompt_last_leace_changed",
    ):
        assert name in found
    for value in found.values():
        assert value == value, "a number that is none is left out"


def test_metrics_are_a_few_of_the_findings_for_each_of_the_questions(study):
    found = json.loads(FINDINGS.read_text())
    for name, path in METRICS.items():
        metrics = json.loads(path.read_text())
        assert 10 < len(metrics) <= 25, name
        assert metrics["sweep"] == "small"
        assert all(value in (round(one, 4) if isinstance(one, float) else one for one in found.values())
                   for value in metrics.values())  # fmt: skip
    assert json.loads(METRICS["patching"].read_text())["handover_layer"] == found["patching_handover_site"]
    assert json.loads(METRICS["erasure"].read_text())["answers_changed"] == round(
        found["erasure_prompt_last_leace_changed"], 4
    )


def test_what_dvc_plots_are_numbers_with_their_intervals(study):
    for name, drawn in PLOTS.items():
        table = pd.read_csv(f"plots/causal/{name}.csv")
        assert len(table)
        for column in ("low", drawn, "high"):
            assert pd.api.types.is_numeric_dtype(table[column]), (name, column)
        assert ((table["low"] <= table[drawn] + 1e-6) & (table[drawn] <= table["high"] + 1e-6)).all()


def test_every_interval_holds_its_value(study):
    for name in TABLES:
        table = table_of(name)
        values = [column for column in table.columns if f"{column}_low" in table.columns]
        assert values, name
        for column in values:
            low, value, high = (table[f"{column}{end}"].astype(float) for end in ("_low", "", "_high"))
            assert ((low <= value + 1e-6) & (value <= high + 1e-6)).all(), (name, column)


def test_a_second_run_writes_the_same_bytes(study):
    first = outputs()
    main()
    assert outputs() == first


@pytest.mark.parametrize(
    ("nothing", "gone", "there"),
    [
        (["patching", "patched_parts"], "patching_handover_site", "steering_class_means_image_largest_area"),
        (["knockout"], "knockout_last_to_image_lost", "patching_handover_site"),
        (
            ["steering/answers", "steering/damage", "steering/descriptions"],
            "steering_class_means_image_largest_area",
            "patching_handover_site",
        ),
        (["erasure/probes", "erasure/answers", "erasure/damage"], "erasure_accuracy_left", "patching_handover_site"),
    ],
)
def test_where_one_found_nothing_to_do_the_others_are_told_as_ever(study, nothing, gone, there):
    before = {name: list(table_of(name).columns) for name in TABLES}
    empty(*nothing)
    main()
    found = json.loads(FINDINGS.read_text())
    assert gone not in found
    assert there in found
    assert {name: list(table_of(name).columns) for name in TABLES} == before
    assert all(len(tables.read_csv(f"plots/causal/{name}.csv").columns) >= 5 for name in PLOTS)


def test_a_study_whose_images_all_got_one_answer_is_told_to_the_end(study, monkeypatch):
    write_answers(["fist"] * len(IDS))
    for name, value in {
        "SIGNBRIDGE_DEVICE": "cpu",
        "SIGNBRIDGE_BATCH_SIZE": "8",
        "SIGNBRIDGE_SHARD_IMAGES": "8",
    }.items():
        monkeypatch.setenv(name, value)
    patch.main()
    steer.main()
    main()
    found = json.loads(FINDINGS.read_text())
    assert found["patching_pairs"] == 0
    assert not [name for name in found if name.startswith("steering_")]
    assert "erasure_accuracy_left" in found


def test_a_misspelt_key_is_named(study):
    study.set_in(params.CAUSAL, steering_effects={"most_damge": 0.3, "breakdown": 1.0})
    assert "steering_effects.most_damge: unknown key. Did you mean 'most_damage'?" in study.message_of_failure(main)


def test_a_missing_table_is_reported_by_path(study):
    Path("data/causal/erasure/damage.parquet").unlink()
    assert "data/causal/erasure/damage.parquet: no such table" in study.message_of_failure(main)
