"""The stages of the resolution ladder, on drawings whose truth is known: what is lost with the size, and what is not.

Letters differ in stripes that a smaller picture averages away, or in how bright they are, which it does not.
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
from signbridge.report.figures.class_grid import class_grid
from signbridge.report.shown_images import blank
from stages import extract as study_extract
from stages import model
from stages import probe as study_probe
from stages.resolution import compare, extract, pictures, probe, report
from tests.conftest import ROOT, Workspace
from tests.stages.small_study import as_declared, copy_into, declared, outputs, working_in, written_by

SIDE, SMALL = 48, "8-grey"  # a box of 6 pixels holds whole stripes
IMAGES = 12  # a letter
RUNGS = [SMALL, "24-grey", 24, 100]  # the drawings are grey: 24 is 24-grey; none is larger than 48
SITES = ["pixels", "vision", "layer_00"]
STRIPED, BRIGHT = ["A", "B"], ["C", "D"]  # letters that differ from each other in stripes, or in brightness
READ = Path("data/resolution/read")
PICTURES = Path("data/resolution/pictures")


def drawings(side: int = SIDE, contrast: float = 24.0) -> pd.DataFrame:
    """A sample of four letters, each image a photo, with eight stripes a side."""
    random = np.random.default_rng(0)
    period = side // 8
    across = np.tile(np.where(np.arange(side) % period < period / 2, contrast, -contrast), (side, 1))
    even = np.full((side, side), 3 * contrast / 2)
    rows = []
    for letter, mark in {"A": across, "B": across.T, "C": even, "D": -even}.items():
        for number in range(IMAGES):
            pixels = np.clip(128 + mark + random.normal(0, 10, across.shape), 0, 255).round().astype(np.uint8)
            rows.append((f"{letter}-{number}", letter, f"{letter}-{number}", encode_png(pixels)))
    return pd.DataFrame(rows, columns=["image_id", "label", "photo", "image"])


def seen(pngs: list[bytes]) -> np.ndarray:
    """What a made-up model makes of pictures: it enlarges them to one size, and mixes their pixels."""
    mixing = np.random.default_rng(1).normal(0, 1 / SIDE, (SIDE * SIDE, 24))
    grids = [decode_png(png) for png in pngs]
    grids = [grid.repeat(SIDE // len(grid), 0).repeat(SIDE // len(grid), 1) for grid in grids]
    return (np.stack([grid.reshape(-1) for grid in grids]).astype(np.float32) @ mixing).astype(np.float32)


def read_by_a_made_up_model(folder: Path, answers: Path, sample: pd.DataFrame) -> None:
    """What `extract` would leave of it."""
    ids, vectors = sample["image_id"].tolist(), seen(sample["image"].tolist())
    for site in SITES:
        activations.write(folder, site, ids, dict.fromkeys(activations.positions_of(site), vectors), {"sites": SITES})
    given = sample[["image_id", "label"]].assign(prompt="?", answer=sample["label"])
    tables.write(given, answers, {"model": {"name": "tiny"}})


def quick(workspace: Workspace) -> None:
    """Params that make the stages quick."""
    workspace.set(
        probe__grouped={"by": "auto", "folds": 3, "repeats": 2, "inner_folds": 2, "C": [0.01]},
        probe__protocols=["grouped"], probe__sites=["pixels", "vision"], probe__positions=["prompt_last"],
        probe__description_length={"orders": 1}, statistics={"confidence": 0.95, "resamples": 200},
    )  # fmt: skip
    workspace.set_in(params.RESOLUTION, rungs=RUNGS, repeats=1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Workspace:
    """A folder in which every stage but the report has run on `drawings`, read by the made-up model."""
    with working_in(tmp_path_factory.mktemp("ladder")) as workspace:
        quick(workspace)
        sample = drawings()
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
        yield workspace


@pytest.fixture
def study(finished, workspace, monkeypatch) -> Workspace:
    """The folder, to do with as one likes."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    return copy_into(workspace, finished.folder)


def accuracy() -> pd.Series:
    return tables.read("data/resolution/compared/accuracy.parquet").set_index(["rung", "site"])["accuracy"]


def of_letters(letters: list[str]) -> pd.Series:
    """The share of the images of these letters that is read right, by rung and site."""
    table = tables.read("data/resolution/probed/predictions.parquet")
    table = table[table["label"].isin(letters)]
    return (table["label"] == table["predicted"]).groupby([table["rung"], table["site"]]).mean()


def test_letters_that_differ_in_fine_stripes_are_lost_at_a_small_size(finished):
    read = of_letters(STRIPED)
    for site in ("layer_00", "vision", "pixels"):
        assert read[FULL, site] > 0.9
        assert read["24-grey", site] > 0.9, "half of a stripe is left"
        assert read[SMALL, site] < 0.8
    found = tables.read_findings("data/resolution/compared/findings.json")
    assert (found["rungs"], found["left_out"], found["alike_from"]) == (3, 2, "24-grey")
    table = tables.read("data/resolution/compared/differences.parquet").set_index(["what", "rung", "against"])
    assert table.loc[("decoder", SMALL, FULL), "p_holm"] < 0.05
    assert table.loc[("decoder", "24-grey", SMALL), "low"] > 0


def test_letters_that_differ_in_brightness_are_read_at_every_size(finished):
    read = of_letters(BRIGHT)
    for site in ("layer_00", "vision", "pixels"):
        assert (read[:, site] > 0.95).all(), site


def test_a_rung_that_is_no_other_picture_is_left_out(finished):
    table = tables.read(PICTURES / "rungs.parquet").set_index("rung")
    assert table["same_as"].to_dict() == {SMALL: "", "24-grey": "", "24": "24-grey", "100": FULL, FULL: ""}
    assert tables.read(PICTURES / "24.parquet").empty


def test_the_full_size_is_the_study_itself_on_the_same_folds(finished):
    of_study, probed = (tables.read(f"data/{name}predictions.parquet") for name in ("", "resolution/probed/"))
    of_full = probed[(probed["rung"] == FULL) & (probed["site"] != "pixels")].drop(columns="rung")
    of_study = of_study[of_study["site"].isin(of_full["site"]) & (of_study["repeat"] == 0)]
    pd.testing.assert_frame_equal(of_full.reset_index(drop=True), of_study.reset_index(drop=True))
    there = probed[probed["site"].isin(["layer_00", "pixels"])].groupby(["rung", "site"])
    folds = {key: set(map(tuple, rows[["repeat", "fold", "image_id"]].to_numpy())) for key, rows in there}
    assert len(folds) == 6
    assert all(fold == folds[FULL, "layer_00"] for fold in folds.values())


def test_the_stages_write_what_the_pipeline_names_and_the_same_bytes_again(study):
    before = outputs()
    again = {"pictures": pictures.main, "probe": probe.main, "compare": compare.main}
    for out in {out for stage in again for out in declared(f"resolution.{stage}")}:
        shutil.rmtree(out) if Path(out).is_dir() else Path(out).unlink()
    for stage, main in again.items():
        assert as_declared(f"resolution.{stage}", written_by(main)) == declared(f"resolution.{stage}")
    assert outputs() == before
    written = as_declared("resolution.report", written_by(report.main)) | {report.REPORT.as_posix()}
    assert written == declared("resolution.report")
    page = report.REPORT.read_text(encoding="utf-8")
    assert "24 pixels, as these are the pictures of 24 pixels in grey" in page
    assert "100 pixels, as these are the pictures of the full size" in page


def test_another_rung_leaves_the_pictures_of_the_others_as_they_were(study):
    before = (PICTURES / f"{SMALL}.parquet").read_bytes()
    study.set_in(params.RESOLUTION, rungs=[SMALL, 12, "24-grey", 24, 100])
    pictures.main()
    assert (PICTURES / f"{SMALL}.parquet").read_bytes() == before
    assert len(tables.read(PICTURES / "12.parquet")) == 4 * IMAGES


def test_pictures_with_no_smaller_rung_make_a_page_that_says_so_and_read_no_model(study, monkeypatch, caplog):
    study.set_in(params.RESOLUTION, rungs=[48, 100])
    pictures.main()
    assert "no rung differs from the pictures as they are (48 pixels): nothing is read." in caplog.text
    for rung in ("48", "100"):
        monkeypatch.setattr(sys, "argv", ["extract", rung])
        extract.main()
        assert [path.name for path in (READ / rung).iterdir()] == ["answers.parquet"]
    drawn = []
    monkeypatch.setattr(report, "class_grid", lambda names, images: drawn.extend(images) or class_grid(names, images))
    forbidden = {"source": "rendered", "dataset": "mine", "pass_on": False}
    tables.write(tables.read("data/sample.parquet"), "data/sample.parquet", {"images": forbidden})
    for stage in (probe, compare, report):
        stage.main()
    [shown] = drawn
    assert (shown == decode_png(blank())).all(), "an image that is not to be shown is in no picture"
    page = report.REPORT.read_text(encoding="utf-8")
    assert "There is no ladder here: the pictures are 48 pixels in grey" in page
    assert "none is shown: the licence of mine does not let them be passed on" in page
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
    workspace.set_in(params.RESOLUTION, rungs=[SMALL, 200])
    tables.write(drawings(96, contrast=60), "data/sample.parquet", {"images": {"source": "rendered"}})
    for stage in (model, study_extract, study_probe, pictures):
        stage.main()
    of_study = {path: contents for path, contents in outputs().items() if path.startswith("data/activations")}
    for rung in (SMALL, "200"):
        monkeypatch.setattr(sys, "argv", ["extract", rung])
        extract.main()
    assert not (READ / "200/activations").exists()
    assert tables.made_by(READ / SMALL / "answers.parquet")["rung"] == SMALL
    for stage in (probe, compare, report):
        stage.main()
    assert of_study.items() <= outputs().items(), "the full size is read once, by the study"
    striped, bright = of_letters(STRIPED), of_letters(BRIGHT)
    assert (bright[:, "vision"] > 0.9).all()
    assert bright[SMALL].drop("answer").max() > 0.9
    assert striped[FULL, "vision"] > 0.9
    assert striped[FULL].drop("answer").max() > 0.9
    assert striped[SMALL].drop("answer").max() < 0.8
    assert accuracy()[SMALL, "best"] < accuracy()[FULL, "best"] - 0.1
