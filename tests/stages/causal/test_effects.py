"""The stage `causal`, after the three that it sums up."""

import json
from pathlib import Path

import pandas as pd
import pytest

from signbridge.core import tables
from stages.causal import erase, patch, steer
from stages.causal.effects import main
from tests.stages.causal_study import IDS, extracted, write_answers
from tests.stages.small_study import (
    as_declared,
    copy_into,
    declared,
    outputs,
    written_by,
)

METRICS = Path("metrics/causal.json")
CSVS = ("patching", "steering", "steering_area", "erasure", "erasure_answers")


def write_probe_accuracy() -> None:
    """What `probe` leaves of the last token."""
    sites = [f"layer_{block:02d}" for block in range(9)]
    table = pd.DataFrame({"protocol": "grouped", "site": sites, "position": "prompt_last", "accuracy": 0.5, "low": 0.4,
                          "high": 0.6})  # fmt: skip
    tables.write_csv(table, "plots/probe_accuracy.csv")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study that was patched, steered and erased, and what the stage made of it."""
    folder = tmp_path_factory.mktemp("causal")
    with extracted(folder):
        for stage in (patch, steer, erase):
            stage.main()
        write_probe_accuracy()
        return folder, written_by(main)


@pytest.fixture
def study(workspace, finished):
    return copy_into(workspace, finished[0])


def empty(*names: str) -> None:
    """The tables as their stages leave them where there is nothing to do."""
    for name in names:
        path = Path(f"data/{name}.parquet")
        tables.write(tables.read(path).head(0), path, tables.made_by(path))


def test_what_was_found_is_written_under_the_names_that_dvc_knows(study, finished):
    assert as_declared("causal", finished[1]) == declared("causal")
    found = json.loads(METRICS.read_text())
    assert found["model"].startswith("tiny-random")
    assert (found["sweep"], found["confidence"]) == ("small", 0.95)
    pairs = tables.read("data/patching.parquet")["pair"].nunique()
    assert found["patching_pairs"] == pairs
    for name in (
        "patching_handover_site",
        "steering_class_means_image_largest_area",
        "erasure_prompt_last_leace_changed",
    ):
        assert name in found
    for value in found.values():
        assert value == value, "a number that is none is left out"


def test_every_interval_holds_its_value(study):
    for name in CSVS:
        table = tables.read_csv(Path(f"plots/{name}.csv"))
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
        (["patching"], "patching_handover_site", "steering_class_means_image_largest_area"),
        (
            ["steering", "steering_damage", "steering_descriptions"],
            "steering_class_means_image_largest_area",
            "patching_handover_site",
        ),
        (["erasure", "erasure_answers", "erasure_damage"], "erasure_accuracy_left", "patching_handover_site"),
    ],
)
def test_where_one_found_nothing_to_do_the_others_are_told_as_ever(study, nothing, gone, there):
    before = {name: list(tables.read_csv(Path(f"plots/{name}.csv")).columns) for name in CSVS}
    empty(*nothing)
    main()
    found = json.loads(METRICS.read_text())
    assert gone not in found
    assert there in found
    assert {name: list(tables.read_csv(Path(f"plots/{name}.csv")).columns) for name in CSVS} == before


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
    found = json.loads(METRICS.read_text())
    assert found["patching_pairs"] == 0
    assert not [name for name in found if name.startswith("steering_")]
    assert "erasure_accuracy_left" in found


def test_a_misspelt_key_is_named(study):
    study.set(steering_effects={"most_damge": 0.3, "breakdown": 1.0})
    assert "steering_effects.most_damge: unknown key. Did you mean 'most_damage'?" in study.message_of_failure(main)


def test_a_missing_table_is_reported_by_path(study):
    Path("data/erasure_damage.parquet").unlink()
    assert "data/erasure_damage.parquet: no such table" in study.message_of_failure(main)
