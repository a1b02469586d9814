"""The stage `knockout`, with a small random model."""

from pathlib import Path

import pytest

from signbridge.core import params, tables
from stages.causal.knockout import KNOCKOUT, main
from tests.stages.causal_study import copy_to_run, resumes_with_the_same_bytes
from tests.stages.pretrained_study import IDS, made
from tests.stages.small_study import as_declared, declared, written_by

SWEEP = {"images": 3, "window": 2, "draws": 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study whose stage has run, and what the stage wrote."""
    folder = tmp_path_factory.mktemp("knockout")
    with made(folder, "llava-next") as workspace:
        workspace.set_in(params.CAUSAL, knockout={"small": SWEEP, "full": {**SWEEP, "images": 9}})
        return folder, written_by(main)


@pytest.fixture
def study(workspace, finished, monkeypatch):
    return copy_to_run(workspace, finished[0], monkeypatch)


def test_every_edge_of_as_many_photos_as_are_wanted_is_cut_in_every_span(study, finished):
    assert as_declared("causal.knockout", finished[1]) == declared("causal.knockout")
    table = tables.read(KNOCKOUT)
    assert table["image_id"].nunique() == 3
    assert set(table["image_id"]) <= set(IDS)
    spans = 2 + 3  # two windows of the three blocks, and one from each block on
    assert len(table) == 3 * 3 * (1 + 2) * spans
    assert table["probability"].between(0, 1).all()
    assert tables.made_by(KNOCKOUT)["knockout"] == SWEEP


def test_a_killed_run_goes_on_to_the_same_bytes(study, monkeypatch):
    monkeypatch.setenv("SIGNBRIDGE_SHARD_IMAGES", "1")
    monkeypatch.setenv("SIGNBRIDGE_BATCH_SIZE", "1")
    main()
    resumes_with_the_same_bytes(main, monkeypatch, killed_after=1, shards=3)


def test_no_images_wanted_leave_an_empty_table_with_its_columns(study):
    columns = list(tables.read(KNOCKOUT).columns)
    study.set_in(params.CAUSAL, knockout__small={**SWEEP, "images": 0})
    main()
    assert tables.read(KNOCKOUT).empty
    assert list(tables.read(KNOCKOUT).columns) == columns
