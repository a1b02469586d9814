"""The stages of the question about clips, on drawings whose truth is known: order adds from a certain block on."""

import shutil
import sys

import numpy as np
import pandas as pd
import pytest

from signbridge.core import activations, params, tables
from signbridge.core.names import READINGS, TOWER_IN_ORDER
from stages.motion import choice, compare, controls, patch, probe, report
from tests.conftest import Workspace
from tests.stages.motion import made_up_clips
from tests.stages.motion.made_up_clips import LAYERS, TAUGHT
from tests.stages.small_study import as_declared, copy_into, declared, outputs, working_in, written_by

HOLDING = [activations.layer_site(block) for block in range(TAUGHT, LAYERS)]
BEFORE = ["vision", "projector", "embedding", "layer_00"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Workspace:
    """A folder in which every stage but the report has run on the made-up clips."""
    with working_in(tmp_path_factory.mktemp("motion")) as workspace, pytest.MonkeyPatch.context() as patched:
        made_up_clips.prepare(workspace)
        for reading in READINGS:
            patched.setattr(sys, "argv", ["probe", reading])
            probe.main()
        controls.main()
        compare.main()
        yield workspace


@pytest.fixture
def study(finished, workspace, monkeypatch) -> Workspace:
    """The folder, to do with as one likes."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    return copy_into(workspace, finished.folder)


def told(series: str, target: str) -> pd.Series:
    """The share that is told in a reading, or of a baseline, by site."""
    table = tables.read("data/motion/compared/accuracy.parquet")
    rows = table[(table["series"] == series) & (table["target"] == target) & (table["kind"] == "all")]
    return rows.drop_duplicates("site").set_index("site")["accuracy"]


def test_order_is_found_where_it_was_put_and_nowhere_else(finished):
    in_order = told("in_order", "movement")
    assert (in_order[HOLDING] == 1).all()
    assert (in_order[BEFORE] < 0.75).all()
    for blind in ("shuffled", "single_frames", "middle_frame", "twin_in_order"):
        assert (told(blind, "movement")[[*BEFORE, *HOLDING]] < 0.8).all(), blind
    assert (told("in_order", "shape") == 1).all(), "the shape is in every frame"
    found = tables.read_findings("data/motion/compared/findings.json")
    assert found["best_layer"] == found["order_from"] == found["taught_from"] == HOLDING[0]
    assert found["twin_order_from"] == "none"
    assert found["order_adds"] > 0.2
    assert found["order_adds_p_value"] == pytest.approx(2 / 2**6)


def test_pixels_and_tower_side_by_side_hold_order_and_their_means_do_not(finished):
    for sees in ("pixels", "pixel_differences", TOWER_IN_ORDER):
        assert told(sees, "movement")[sees] == 1
    assert told("pixels_mean", "movement")["pixels_mean"] < 0.8


def test_backwards_the_probe_names_the_other_member_where_order_is_held_alone(finished):
    table = tables.read("data/motion/compared/reversed.parquet")
    other = table[table["kind"] == "all"].set_index("site")["backwards"]
    assert (other[[*HOLDING, "best"]] == 1).all()
    assert 0.2 < other["layer_00"] < 0.8


def test_labels_of_another_clip_are_at_chance(finished):
    null = tables.read("data/motion/compared/other_clip.parquet").set_index("site")
    assert null["accuracy"].between(0.35, 0.65).all()
    assert (null.loc[HOLDING, "p_value"] == 1 / 21).all()


def test_the_answers_are_scored_by_the_movement_that_they_name(finished):
    answers = tables.read("data/motion/compared/answers.parquet").set_index("reading")
    assert answers.loc["in_order", "named"] == 1
    assert answers.loc["shuffled", "named"] == 0.5
    assert answers.loc["reversed", "names_any"] == 0


def test_each_stage_writes_what_the_pipeline_file_says(study):
    shutil.rmtree("data/motion/compared")
    for folder in ("metrics", "plots"):
        shutil.rmtree(folder)
    assert as_declared("motion.compare", written_by(compare.main)) == declared("motion.compare")
    assert as_declared("motion.report", written_by(report.main)) == declared("motion.report") - {"report/motion.html"}
    assert (study.folder / "report/motion.html").stat().st_size > 1e5


def test_no_frame_is_on_the_page_where_none_may_be_shown(study):
    study.set(show_images=False)
    report.main()
    page = (study.folder / "report/motion.html").read_text(encoding="utf-8")
    assert "data:image/png" not in page
    assert "none is shown (show_images in params.yaml)" in page


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"readings": ["in_order", "reversed"]}, "readings: no 'shuffled'. What order adds is in_order less shuffled"),
        ({"readings": ["in_order", "shuffled", "in_order"]}, "readings: one is listed twice"),
        ({"dataset": "rendered"}, "dataset: rendered has single images"),
        ({"model": "no-such"}, "model: no 'no-such' in models.yaml"),
    ],
)
def test_a_choice_that_gives_no_answer_is_refused_before_anything_is_read(workspace, changes, says):
    workspace.set_in(params.MOTION, **changes)
    assert says in workspace.message_of_failure(choice.main)
    assert not choice.CHECKED.exists()


def test_without_pairs_no_model_is_loaded_and_the_page_says_so(study, monkeypatch):
    study.set_in(params.MOTION, patching={"pairs": 0, "sites": 2})
    patch.main()
    assert tables.read("data/motion/patched.parquet").empty
    compare.main()
    report.main()
    assert "No pair was patched" in (study.folder / "report/motion.html").read_text(encoding="utf-8")


def test_equal_inputs_give_equal_bytes(study):
    before = outputs()
    compare.main()
    assert outputs() == before
    assert np.isfinite(tables.read("data/motion/compared/order.parquet")["difference"]).all()
