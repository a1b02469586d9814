"""The stages of the resolution ladder, on drawings whose truth is known: what is lost with the size, and what is not.

Two letters differ in stripes that a smaller picture averages away, or in how bright they are, which it does not.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signbridge.core import activations, params, tables
from signbridge.datasets.images import decode_png, encode_png
from signbridge.datasets.resolution import FULL
from stages import extract as study_extract
from stages import model
from stages import probe as study_probe
from stages.resolution import compare, extract, pictures, probe, report
from tests.conftest import ROOT, Workspace
from tests.stages.small_study import as_declared, copy_into, declared, outputs, working_in, written_by

SIDE, SMALL = 96, "16-grey"  # a box of 6 pixels holds whole stripes
IMAGES = 12  # a letter
RUNGS = [SMALL, "48-grey", 48, 200]  # the drawings are grey: 48 is 48-grey; none is larger than 96
SITES = ["pixels", "vision", "projector", "embedding", "layer_00", "layer_01"]
READ = Path("data/resolution/read")
PICTURES = Path("data/resolution/pictures")


def drawings(truth: str, period: int = 6, contrast: float = 24.0) -> pd.DataFrame:
    """A sample of two letters, each image a photo: A and B differ in the way of their stripes, or in brightness."""
    random = np.random.default_rng(0)
    across = np.tile(np.where(np.arange(SIDE) % period < period / 2, contrast, -contrast), (SIDE, 1))
    marks = {
        "stripes": (across, across.T),
        "brightness": (np.full_like(across, contrast), np.full_like(across, -contrast)),
    }
    rows = []
    for letter, mark in zip("AB", marks[truth], strict=True):
        for number in range(IMAGES):
            pixels = np.clip(128 + mark + random.normal(0, 20, across.shape), 0, 255).round().astype(np.uint8)
            rows.append((f"{letter}-{number}", letter, f"{letter}-{number}", encode_png(pixels)))
    return pd.DataFrame(rows, columns=["image_id", "label", "photo", "image"])


def seen(pngs: list[bytes]) -> np.ndarray:
    """What a made-up model makes of pictures: it enlarges them to one size, and mixes their pixels."""
    mixing = np.random.default_rng(1).normal(0, 1 / SIDE, (SIDE * SIDE, 24))
    grids = [decode_png(png).repeat(SIDE // len(decode_png(png)), 0) for png in pngs]
    grids = [grid.repeat(SIDE // grid.shape[1], 1) for grid in grids]
    return (np.stack([grid.reshape(-1) for grid in grids]).astype(np.float32) @ mixing).astype(np.float32)


def read_by_a_made_up_model(folder: Path, answers: Path, sample: pd.DataFrame) -> None:
    """What `extract` would leave of it."""
    ids, vectors = sample["image_id"].tolist(), seen(sample["image"].tolist())
    for site in SITES:
        activations.write(folder, site, ids, dict.fromkeys(activations.positions_of(site), vectors), {"sites": SITES})
    given = sample[["image_id", "label"]].assign(prompt="?", answer="Fist")
    tables.write(given, answers, {"model": {"name": "tiny"}})


def quick(workspace: Workspace) -> None:
    """Params that make the stages quick."""
    workspace.set(
        probe__grouped={"by": "auto", "folds": 3, "repeats": 2, "inner_folds": 2, "C": [0.01]},
        probe__protocols=["grouped"], probe__positions=["prompt_last"], probe__description_length={"orders": 1},
        statistics={"confidence": 0.95, "resamples": 200},
    )  # fmt: skip
    workspace.set_in(params.RESOLUTION, rungs=RUNGS, repeats=1)


def finish() -> None:
    for stage in (probe, compare, report):
        stage.main()


@pytest.fixture(scope="module")
def of_stripes(tmp_path_factory) -> Workspace:
    with working_in(tmp_path_factory.mktemp("stripes")) as workspace:
        laddered(workspace, "stripes")
        report.main()
        yield workspace


def laddered(workspace: Workspace, truth: str) -> Workspace:
    """A folder in which every stage has run on `drawings` of that truth, read by the made-up model."""
    quick(workspace)
    sample = drawings(truth)
    tables.write(sample, "data/sample.parquet", {"images": {"source": "rendered"}})
    read_by_a_made_up_model(Path("data/activations"), Path("data/answers.parquet"), sample)
    study_probe.main()
    pictures.main()
    for rung in RUNGS:
        there = tables.read(PICTURES / f"{rung}.parquet")
        if len(there):
            read_by_a_made_up_model(READ / f"{rung}/activations", READ / f"{rung}/answers.parquet", there)
    probe.main()
    compare.main()
    return workspace


@pytest.fixture
def study(of_stripes, workspace, monkeypatch) -> Workspace:
    """The folder, to do with as one likes."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    return copy_into(workspace, of_stripes.folder)


def accuracy() -> pd.Series:
    return tables.read("data/resolution/compared/accuracy.parquet").set_index(["rung", "site"])["accuracy"]


def test_letters_that_differ_in_fine_stripes_are_lost_at_a_small_size(of_stripes):
    read = accuracy()
    for site in ("best", "vision", "pixels"):
        assert read[FULL, site] > 0.9
        assert read["48-grey", site] > 0.9, "a stripe of three pixels is left in a half"
        assert read[SMALL, site] < 0.8
    found = tables.read_findings("data/resolution/compared/findings.json")
    assert (found["rungs"], found["left_out"], found["alike_from"]) == (3, 2, "48-grey")
    table = tables.read("data/resolution/compared/differences.parquet").set_index(["what", "rung", "against"])
    assert table.loc[("decoder", SMALL, FULL), "p_holm"] < 0.05
    assert table.loc[("decoder", "48-grey", SMALL), "low"] > 0


def test_letters_that_differ_in_brightness_are_read_at_every_size(workspace, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    laddered(workspace, "brightness")
    read = accuracy()
    for site in ("best", "vision", "pixels"):
        assert (read[:, site] > 0.95).all(), site
    assert tables.read_findings("metrics/resolution.json")["alike_from"] == SMALL


def test_a_rung_that_is_no_other_picture_is_left_out_and_said(of_stripes):
    table = tables.read(PICTURES / "rungs.parquet").set_index("rung")
    assert table["same_as"].to_dict() == {SMALL: "", "48-grey": "", "48": "48-grey", "200": FULL, FULL: ""}
    assert tables.read(PICTURES / "48.parquet").empty
    page = report.REPORT.read_text(encoding="utf-8")
    assert "200 pixels, as these are the pictures of the full size" in page
    assert "48 pixels, as these are the pictures of 48 pixels in grey" in page


def test_no_picture_is_shown_where_the_licence_forbids_it(study):
    images = report.GRID.read_bytes()
    assert 'id="resolution-pictures"' in report.REPORT.read_text(encoding="utf-8")
    path = Path("data/sample.parquet")
    tables.write(tables.read(path), path, {"images": {"dataset": "mine", "pass_on": False}})
    report.main()
    page = report.REPORT.read_text(encoding="utf-8")
    assert 'id="resolution-pictures"' not in page
    assert "none is shown: the licence of mine does not let them be passed on" in page
    assert report.GRID.read_bytes() != images


def test_the_full_size_is_the_study_itself_on_the_same_folds(of_stripes):
    of_study, probed = (
        tables.read("data/predictions.parquet"),
        tables.read("data/resolution/probed/predictions.parquet"),
    )
    places = probed[probed["rung"] == FULL]
    same = places[places["site"] != "pixels"].drop(columns="rung").reset_index(drop=True)
    of_study = of_study[of_study["site"].isin(same["site"]) & (of_study["repeat"] == 0)]
    pd.testing.assert_frame_equal(same, of_study.reset_index(drop=True))
    folds = {rung: set(map(tuple, rows[["repeat", "fold", "image_id"]].to_numpy())) for rung, rows in
             probed[probed["site"].isin(["layer_00", "pixels"])].groupby(["rung", "site"])}  # fmt: skip
    assert len(folds) == 6
    assert all(fold == folds[FULL, "layer_00"] for fold in folds.values())


def test_the_stages_write_what_the_pipeline_names_and_the_same_bytes_again(study):
    before = {**outputs(), "page": report.REPORT.read_bytes()}
    again = {"pictures": pictures.main, "probe": probe.main, "compare": compare.main, "report": report.main}
    for out in {out for stage in again for out in declared(f"resolution.{stage}")}:
        shutil.rmtree(out) if Path(out).is_dir() else Path(out).unlink()
    for stage, main in again.items():
        written = as_declared(f"resolution.{stage}", written_by(main))
        assert written == declared(f"resolution.{stage}") - {report.REPORT.as_posix()}
    assert {**outputs(), "page": report.REPORT.read_bytes()} == before


def test_another_rung_leaves_the_pictures_of_the_others_as_they_were(study):
    before = (PICTURES / f"{SMALL}.parquet").read_bytes()
    study.set_in(params.RESOLUTION, rungs=[SMALL, 24, "48-grey", 48, 200])
    pictures.main()
    assert (PICTURES / f"{SMALL}.parquet").read_bytes() == before
    assert len(tables.read(PICTURES / "24.parquet")) == 2 * IMAGES


def test_pictures_with_no_smaller_rung_make_a_page_that_says_so_and_read_no_model(study, monkeypatch, caplog):
    study.set_in(params.RESOLUTION, rungs=[96, 200])
    pictures.main()
    assert "no rung differs from the pictures as they are (96 pixels): nothing is read." in caplog.text
    for rung in ("96", "200"):
        monkeypatch.setattr(sys, "argv", ["extract", rung])
        assert set(written_by(extract.main)) == {f"data/resolution/read/{rung}/answers.parquet"}
    finish()
    assert "There is no ladder here: the pictures are 96 pixels in grey" in report.REPORT.read_text(encoding="utf-8")
    assert tables.read_findings("metrics/resolution.json")["rungs"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probe__protocols": ["signbridge"]}, "rungs are compared under `grouped` alone"),
        ({"probe__layers": []}, "rungs are compared at the best layer"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_is_read(study, change, message):
    study.set(**change)
    assert message in study.message_of_failure(pictures.main)


@pytest.mark.parametrize("rungs", [["full"], [0], ["28-color"]])
def test_a_rung_that_is_no_size_is_named(study, rungs):
    study.set_in(params.RESOLUTION, rungs=rungs)
    message = study.message_of_failure(pictures.main)
    assert message.startswith("error: stages/resolution/params.yaml: rungs.0: expected")


@pytest.mark.slow
def test_a_trained_model_loses_fine_stripes_with_the_size_and_brightness_not(workspace, monkeypatch):
    """The miniature takes in 56 pixels: it enlarges the smallest, and makes the drawings of 96 smaller itself."""
    monkeypatch.setenv("SIGNBRIDGE_DEVICE", "cpu")
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    quick(workspace)
    workspace.set(models__miniature__path=str(ROOT / "models/miniature"))
    workspace.set_in(params.RESOLUTION, rungs=["8-grey", 200])  # a box of 12 pixels holds whole stripes
    stripes, brightness = drawings("stripes", period=12, contrast=60), drawings("brightness", contrast=100)
    for sample in (stripes, brightness):
        tables.write(sample, "data/sample.parquet", {"images": {"source": "rendered"}})
        for stage in (model, study_extract, study_probe, pictures):
            stage.main()
        of_study = {path: contents for path, contents in outputs().items() if path.startswith("data/activations")}
        for rung in ("8-grey", "200"):
            monkeypatch.setattr(sys, "argv", ["extract", rung])
            extract.main()
        assert not (READ / "200/activations").exists()
        assert tables.made_by(READ / "8-grey/answers.parquet")["rung"] == "8-grey"
        finish()
        assert of_study.items() <= outputs().items(), "the full size is read once, by the study"
        read = accuracy()
        for site in ("best", "vision"):
            assert read[FULL, site] > 0.85
            assert (read["8-grey", site] < 0.8) if sample is stripes else (read["8-grey", site] > 0.85)
