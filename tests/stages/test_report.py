"""The stage `report`, run on the files of a made-up study."""

import os
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.report import REPORT, main
from tests.report import made_up
from tests.report.reading import Page

ROOT = Path(__file__).parents[2]


@pytest.fixture
def finished(workspace):
    """A folder with all that the report reads."""
    made_up.write(made_up.study(), workspace.folder)
    return workspace


def test_the_page_is_made_from_the_files_of_the_run(finished):
    main()
    page = Page(REPORT.read_text(encoding="utf-8"))
    assert page.answer[0].startswith("Yes, the decoder of tiny")
    assert "seed: 42 # of everything" in page.section("settings").text
    assert "What made data/predictions.parquet" in page.section("settings").text


def test_a_second_run_writes_the_same_bytes_without_a_trace_of_when_and_where(finished):
    main()
    first = REPORT.read_bytes()
    main()
    assert REPORT.read_bytes() == first
    assert str(finished.folder).encode() not in first
    assert b"\r" not in first
    assert os.listdir(REPORT.parent) == ["index.html"]


@pytest.mark.parametrize(
    "file",
    [
        "metrics/probe.json",
        "plots/controls.csv",
        "plots/class_grid.png",
        "data/umap.parquet",
        "data/predictions.parquet",
        "data/lenses.parquet",
        "data/patches.parquet",
        "params.yaml",
    ],
)
def test_a_file_that_is_missing_is_named_and_an_older_page_is_kept(finished, file):
    main()
    before = REPORT.read_bytes()
    Path(file).unlink()
    assert file in finished.message_of_failure(main)
    assert REPORT.read_bytes() == before


def test_an_edit_of_the_pages_template_style_or_script_reruns_the_stage():
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    if "report" not in stages:
        pytest.skip("dvc.yaml has no stage report")
    folder = ROOT / "signbridge/report"
    assets = {f"signbridge/report/{path.name}" for path in folder.iterdir() if path.suffix in (".j2", ".css", ".js")}
    assert assets <= set(stages["report"]["deps"])
