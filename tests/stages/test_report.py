"""The stage `report`, run on the files of a made-up study."""

import base64
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from signbridge.core import tables
from signbridge.report.shown_images import why_hidden
from stages.report import REPORT, main
from tests.report import made_up, made_up_signers
from tests.report.reading import Page, places_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def finished(workspace):
    """A folder with all that the report reads."""
    made_up.write_study(made_up.study(), workspace.folder)
    return workspace


def test_the_page_is_made_from_the_files_of_the_run(finished):
    main()
    page = Page(REPORT.read_text(encoding="utf-8"))
    assert page.answer[0].startswith("Yes, the decoder of tiny")
    settings = page.section("settings").text
    assert "params.yaml seed 42 of the sample" in settings
    assert "data/predictions.parquet" in settings


def test_of_the_catalogs_the_page_shows_the_chosen_entries_alone(finished):
    finished.set(model="llava-1-5-7b")
    main()
    settings = Page(REPORT.read_text(encoding="utf-8")).section("settings")
    named = [name for name in places_of(settings) if not name.startswith("data/")]
    assert named == ["params.yaml", "datasets.yaml: rendered", "models.yaml: llava-1-5-7b"]
    assert "hub_id llava-hf/llava-1.5-7b-hf" in settings.text
    assert "models/miniature" not in settings.text


def test_the_figures_for_print_are_written_beside_the_page(finished):
    main()
    names = ["class_grid", "probe_accuracy_curve", "umap_projection"]
    assert {*os.listdir("plots")} == {"print", *(f"{name}.png" for name in names)}
    assert {file.name.split("-")[0].split(".")[0] for file in Path("plots/print").iterdir()} == set(names)
    for path in Path("plots").glob("*.png"):
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert set(picture.info) == {"dpi"}, "no version and no date"
            assert min(picture.size) > 200


def test_a_second_run_writes_the_same_bytes_without_a_trace_of_when_and_where(finished):
    main()
    first = page_and_pictures()
    main()
    assert page_and_pictures() == first
    assert len(first) == 4
    assert not any(str(finished.folder).encode() in content for content in first.values())
    assert b"\r" not in first[REPORT]
    assert os.listdir(REPORT.parent) == ["index.html"]


def page_and_pictures() -> dict[Path, bytes]:
    """The page and the figures for print, by path."""
    return {path: path.read_bytes() for path in [REPORT, *Path("plots").rglob("*.png")]}


@pytest.mark.parametrize(
    "file",
    [
        "data/statistics/findings.json",
        "data/statistics/controls.parquet",
        "data/text/named_answers.parquet",
        "metrics/leakage.json",
        "data/umap.parquet",
        "data/predictions.parquet",
        "params.yaml",
        "models.yaml",
    ],
)
def test_a_file_that_is_missing_is_named_and_an_older_page_is_kept(finished, file):
    REPORT.parent.mkdir()
    REPORT.write_bytes(b"an older page")
    Path(file).unlink()
    assert file in finished.message_of_failure(main)
    assert REPORT.read_bytes() == b"an older page"


def test_a_table_of_another_version_is_named_with_the_column_that_it_lacks(finished):
    table = Path("data/statistics/accuracy.parquet")
    tables.write(tables.read(table).drop(columns="leaking"), table, {})
    said = f"{table}: no column 'leaking'. Another version of the project wrote it: `dvc repro`."
    assert said in finished.message_of_failure(main)
    assert not REPORT.exists()


def test_an_edit_of_the_pages_template_style_or_script_reruns_the_stage():
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert "signbridge/report" in stages["report"]["deps"]


# Signers, and images that must not be passed on ----------------------------------------------------------------------


@pytest.fixture
def of_people(workspace):
    """The same of a study in colour whose signers are held out, of a dataset whose licence says nothing."""
    run = made_up_signers.study()
    made_up.write_study(run, workspace.folder)
    tables.write(run.sample, "data/sample.parquet", {"images": {"dataset": "mine", "pass_on": "unclear"}})
    return workspace


def images_in(page: str, sample: list[bytes]) -> int:
    """How many of the images are in the page as they are; images of this size are not made smaller."""
    return sum(base64.b64encode(png).decode() in page for png in sample)


def test_the_page_of_a_study_with_signers_shows_them_in_colour(of_people):
    of_people.set(show_images=True)
    main()
    written = REPORT.read_text(encoding="utf-8")
    page = Page(written)
    assert images_in(written, tables.read("data/sample.parquet")["image"].tolist()) == 24
    gallery = page.section("confusions").all("ul", class_="gallery")
    assert len(gallery) == 3
    looks = page.section("audit").text
    assert "all 24 100.0 % 100.0 % 40 x 30 40 x 40 40 x 40" in looks.replace("\u202f", " ")
    assert "P1 8 33.3" in looks
    with Image.open("plots/class_grid.png") as grid:
        colours = np.asarray(grid.convert("RGB")).reshape(-1, 3)
    for shade in made_up_signers.SHADES.values():
        assert (colours == shade).all(axis=1).sum() > 1000, shade


def test_no_image_of_a_licence_that_forbids_it_is_in_the_page_and_the_pictures_and_the_page_says_so(of_people):
    main()
    written = REPORT.read_text(encoding="utf-8")
    assert images_in(written, tables.read("data/sample.parquet")["image"].tolist()) == 0
    facts = [fact.text for fact in Page(written).all("dd")]
    assert (
        "none is shown: the licence of mine does not clearly let them be passed on (show_images in params.yaml)"
        in facts
    )
    assert "40 x 30" in Page(written).section("audit").text, "their sizes are no images"
    with Image.open("plots/class_grid.png") as grid:
        assert np.ptp(np.asarray(grid.convert("RGB")), axis=2).max() == 0, "no colour: blanks"


@pytest.mark.parametrize(
    ("show_images", "pass_on", "shown"),
    [("auto", True, True), ("auto", False, False), (True, False, True), (False, True, False)],
)
def test_the_param_and_the_licence_decide_whether_images_are_shown(workspace, show_images, pass_on, shown):
    workspace.set(show_images=show_images)
    assert (why_hidden({"dataset": "mine", "pass_on": pass_on}) == "") == shown
    assert (why_hidden({}) == "") == (show_images is not False), "what nothing is said of may be passed on"
