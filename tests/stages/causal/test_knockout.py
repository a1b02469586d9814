"""The stage `knockout`, with the tiny random model."""

from pathlib import Path

import pytest

from signbridge.core import tables
from stages.causal.knockout import KNOCKOUT, main
from tests.stages.causal_study import IDS, PHOTOS, copy_to_run, extracted, resumes_with_the_same_bytes
from tests.stages.small_study import as_declared, declared, written_by


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study whose stage has run, and what the stage wrote."""
    folder = tmp_path_factory.mktemp("knockout")
    with extracted(folder):
        return folder, written_by(main)


@pytest.fixture
def study(workspace, finished, monkeypatch):
    return copy_to_run(workspace, finished[0], monkeypatch)


def test_every_edge_of_as_many_photos_as_are_wanted_is_cut_in_every_span(study, finished):
    assert as_declared("causal.knockout", finished[1]) == declared("causal.knockout")
    table = tables.read(KNOCKOUT)
    photo = dict(zip(IDS, PHOTOS, strict=True))
    assert len({photo[image] for image in table["image_id"]}) == table["image_id"].nunique() == 2
    spans = 1 + 9  # one window of all nine blocks, and one from each block on
    assert len(table) == 2 * 3 * (1 + 1) * spans
    assert table["probability"].between(0, 1).all()
    assert tables.made_by(KNOCKOUT)["knockout"] == {"images": 2, "window": 9, "draws": 1}


def test_a_killed_run_goes_on_to_the_same_bytes(study, monkeypatch):
    monkeypatch.setenv("SIGNBRIDGE_SHARD_IMAGES", "1")
    monkeypatch.setenv("SIGNBRIDGE_BATCH_SIZE", "1")
    main()
    resumes_with_the_same_bytes(main, monkeypatch, killed_after=1, shards=2)


def test_no_images_wanted_leave_an_empty_table_with_its_columns(study):
    columns = list(tables.read(KNOCKOUT).columns)
    study.set_in(Path("stages/causal/params.yaml"), knockout__small={"images": 0, "window": 3, "draws": 1})
    main()
    assert tables.read(KNOCKOUT).empty
    assert list(tables.read(KNOCKOUT).columns) == columns
