"""The stages `report` of the further questions, each run on the files of a made-up run."""

import base64
import contextlib
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image
from ruamel.yaml import YAML

from signbridge.core import params, tables
from tests.conftest import Workspace
from tests.report import written
from tests.report.reading import Page, places_of

ROOT = Path(__file__).parents[2]
QUESTIONS = ("causal", "lenses", "sae", "pretrained", "models")
SECTIONS = {
    "causal": ["patching", "knockout", "minimal-pairs", "steering", "erasure"],
    "lenses": ["lenses", "alignment"],
    "sae": ["sae", "told-fingers", "features", "feature-steering"],
    "pretrained": ["pretrained"],
    "models": ["models"],
}
FIGURES = {"causal": "plots/causal/causal_effects.png", "lenses": "plots/lenses/lens_strip.png"}
FIGURES |= {"models": "plots/models/accuracy_by_depth.png"}
CHOSEN = {
    "sae": "stages/sae/presets.yaml: default",
    "pretrained": "stages/pretrained/autoencoders.yaml: llava-gemma-2b",
}


@pytest.fixture(scope="module", params=QUESTIONS)
def finished(request, tmp_path_factory) -> tuple[str, Workspace]:
    """The name of a question, and a folder in which its report has run."""
    workspace = Workspace(tmp_path_factory.mktemp(request.param))
    getattr(written, f"write_{request.param}")(workspace.folder)
    with contextlib.chdir(workspace.folder):
        stage(request.param).main()
    return request.param, workspace


@pytest.fixture
def question(finished, monkeypatch) -> str:
    """The name of the question, and the current folder in its folder."""
    monkeypatch.chdir(finished[1].folder)
    return finished[0]


def stage(question: str) -> ModuleType:
    return importlib.import_module(f"stages.{question}.report")


def report_entry(question: str) -> dict[str, Any]:
    """What the pipeline says of the stage `report`."""
    return YAML(typ="safe").load(ROOT / f"stages/{question}/dvc.yaml")["stages"]["report"]


def test_the_page_is_made_from_the_files_of_its_own_pipeline(question):
    page = Page(stage(question).REPORT.read_text(encoding="utf-8"))
    shown = [section.attributes["id"] for section in page.all("section") if "id" in section.attributes]
    real = [] if question == "pretrained" else ["real"]
    assert shown == [*real, *SECTIONS[question], "settings"]
    titles = [name for name in places_of(page.section("settings")) if not name.startswith("data/")]
    entries = ["datasets.yaml: rendered", "models.yaml: miniature", *filter(None, [CHOSEN.get(question)])]
    assert titles == ["params.yaml", f"stages/{question}/params.yaml", *entries]
    tracked = [item.items() for item in report_entry(question)["params"]]
    whole = [file for items in tracked for file, keys in items if keys is None]
    assert whole == ["params.yaml", f"stages/{question}/params.yaml"]
    assert page.answer


def test_a_second_run_writes_the_same_bytes(question):
    first = page_and_pictures(question)
    stage(question).main()
    assert page_and_pictures(question) == first


def page_and_pictures(question: str) -> dict[Path, bytes]:
    """The page and the figures for print, by path."""
    return {path: path.read_bytes() for path in [stage(question).REPORT, *Path("plots").rglob("*.png")]}


def test_a_figure_for_print_is_written_where_the_pipeline_says(question):
    entry = report_entry(question)
    declared = [path for plot in entry.get("plots", []) for path in plot]
    assert declared == [*filter(None, [FIGURES.get(question)])]
    assert sorted(str(path) for path in Path("plots").rglob("*.png") if "print" not in path.parts) == declared
    for path in declared:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert set(picture.info) == {"dpi"}, "no version and no date"
            assert min(picture.size) > 200
    for_print = [f"plots/{question}/print"] if declared else []
    outs = [out if isinstance(out, str) else next(iter(out)) for out in entry["outs"]]
    assert outs == [f"report/{question}.html", *for_print]
    assert all(any(Path(folder).iterdir()) for folder in for_print)


@pytest.mark.parametrize("finished", ["causal", "lenses", "sae"], indirect=True)
def test_no_image_of_a_licence_that_forbids_it_is_in_a_page(question):
    path, report = Path("data/sample.parquet"), stage(question).REPORT
    before = page_and_pictures(question)
    sample, made_by = tables.read(path), tables.made_by(path)
    images = [base64.b64encode(png).decode() for png in sample["image"]]
    assert any(image.encode() in before[report] for image in images)
    tables.write(sample, path, {"images": {"pass_on": False}})
    stage(question).main()
    page = report.read_text(encoding="utf-8")
    assert not any(image in page for image in images)
    assert any(fact.text.startswith("none is shown: the licence of") for fact in Page(page).all("dd"))
    tables.write(sample, path, made_by)
    for file, content in before.items():
        file.write_bytes(content)


def test_every_file_that_is_read_is_named_when_it_is_missing_and_an_older_page_is_kept(question, finished):
    main, report = stage(question).main, stage(question).REPORT
    before = report.read_bytes()
    entry = report_entry(question)
    read = [Path(dep) for dep in entry["deps"] if dep.startswith("data/")]
    files = [file for path in read for file in (sorted(path.rglob("*.*")) if path.is_dir() else [path])]
    assert files
    for file in [*files, params.PARAMS]:
        content = file.read_bytes()
        file.unlink()
        assert str(file) in finished[1].message_of_failure(main)
        file.write_bytes(content)
    assert report.read_bytes() == before
