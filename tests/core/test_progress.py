"""What a stage says of how far its run has come: only what earlier runs on this machine know."""

import json
from pathlib import Path

import pytest

from signbridge.core import command_line, pipeline, progress
from tests.conftest import ROOT

RUN = "4711 1"  # of DVC
SECONDS = {"choice": 1, "fetch": 20, "photos": 5, "sample": 4, "leakage": 7, "model": 2, "extract": 30, "probe": 60}


@pytest.fixture
def in_run(workspace, monkeypatch):
    """Every stage of the study is run by one process of DVC."""
    monkeypatch.setattr(progress, "_run_of_dvc", lambda: RUN)
    monkeypatch.setattr("sys.argv", ["stage"])
    return workspace


def stage(name):
    """One of the study's."""
    return pipeline.stage_of(ROOT / f"stages/{name}.py")


def run_before(*but):
    """Every stage of the study has run here once, in 10 s if `SECONDS` says no other; and its outputs are there."""
    for name, entry in stage("choice").pipeline_entries.items():
        for out in progress._outs(entry):
            Path(out).parent.mkdir(parents=True, exist_ok=True)
            Path(out).touch()
        if name not in but:
            progress.note(stage(name), SECONDS.get(name, 10))


def of_another_run():
    for path in progress.TIMES.iterdir():
        noted = json.loads(path.read_text())
        path.write_text(json.dumps({choice: last | {"run": "42 0"} for choice, last in noted.items()}))


def test_a_first_run_knows_no_time_and_the_next_says_what_is_left(in_run):
    assert progress.heading(stage("choice")) == "study, 0 of 15 stages done: choice"
    run_before("report")
    of_another_run()
    assert progress.heading(stage("probe")) == "study, 9 of 15 stages done: probe", "the report has never run here"
    run_before()
    of_another_run()
    assert progress.heading(stage("probe")) == "study, 9 of 15 stages done, about 2 min left: probe"


def test_in_a_run_of_all_stages_each_is_the_next_in_whatever_order_dvc_runs_them(in_run):
    run_before()
    of_another_run()
    for entry in stage("choice").pipeline_entries.values():
        for out in progress._outs(entry):
            Path(out).unlink(missing_ok=True)
    order = ["choice", "model", "fetch", "photos", "sample", "extract", "probe", "score_letters", "extract_controls"]
    order += ["controls", "statistics", "answers", "leakage", "project", "report"]  # as DVC 3.67 runs them
    left = [progress.place_in_run(stage("choice"))[1]]
    for place, name in enumerate(order, start=1):
        number, seconds = progress.place_in_run(stage(name))
        assert number == place - 1
        assert seconds == sum(SECONDS.get(later, 10) for later in order[place - 1 :])
        left.append(seconds)
        progress.note(stage(name), SECONDS.get(name, 10))
        for out in progress._outs(stage(name).entry):
            Path(out).touch()
    assert left == sorted(left, reverse=True)


def test_what_is_up_to_date_is_not_counted(in_run):
    run_before()
    of_another_run()
    assert progress.place_in_run(stage("choice")) == (None, None), "which of the others run it cannot know"
    progress.note(stage("choice"), 1)
    assert progress.place_in_run(stage("project")) == (13, 20.0)
    progress.note(stage("project"), 10)
    assert progress.place_in_run(stage("report")) == (14, 10.0)


def test_a_stage_that_dvc_runs_before_or_after_another_has_no_number_of_its_own(in_run):
    run_before()
    of_another_run()
    assert progress.heading(stage("sample")).startswith("study, 4 of 15 stages done"), "the model is there"
    for out in progress._outs(stage("model").entry):
        Path(out).unlink()
    assert progress.heading(stage("sample")).startswith("study, 3 of 15 stages done")


def test_times_of_another_model_or_without_dvc_are_no_guess(in_run, monkeypatch):
    run_before()
    of_another_run()
    in_run.set(model="tiny-random")
    assert progress.place_in_run(stage("project")) == (13, None)
    in_run.set(model="miniature")
    monkeypatch.setattr(progress, "_run_of_dvc", lambda: None)
    assert progress.heading(stage("project")) == "study: project"


def test_of_a_matrix_each_item_has_its_time(in_run, monkeypatch):
    extract = pipeline.stage_of(ROOT / "stages/resolution/extract.py")
    in_run.set_in(Path("stages/resolution/params.yaml"), rungs=["28-grey", 42])
    for name, entry in extract.pipeline_entries.items():
        for item in ["28-grey", "42"] if "matrix" in entry else [None]:
            monkeypatch.setattr("sys.argv", ["stage", *([item] if item else [])])
            progress.note(extract._replace(name=name, entry=entry), 100)
        for out in progress._outs(entry):
            Path(progress._folder(out)).parent.mkdir(parents=True, exist_ok=True)
            Path(progress._folder(out)).touch()
    of_another_run()
    monkeypatch.setattr("sys.argv", ["stage", "28-grey"])
    first = progress.place_in_run(extract)
    progress.note(extract, 100)
    monkeypatch.setattr("sys.argv", ["stage", "42"])
    assert progress.place_in_run(extract) == (first[0], first[1] - 100)
    in_run.set_in(Path("stages/resolution/params.yaml"), rungs=["28-grey", 42, 56])
    assert progress.place_in_run(extract)[1] is None, "the third has never run"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "10 s"), (44, "40 s"), (89, "90 s"), (91, "2 min"), (7000, "117 min"), (9000, "2.5 h"), (36000, "10 h")],
)
def test_a_time_is_said_as_one_says_it(seconds, said):
    assert progress.in_words(seconds) == said


def test_a_stage_notes_its_time_and_one_that_fails_does_not(in_run, monkeypatch):
    monkeypatch.setattr("sys.argv", [str(ROOT / "stages/photos.py")])
    command_line.run(lambda: None)
    [noted] = json.loads((progress.TIMES / "study-photos").read_text()).values()
    assert noted["run"] == RUN
    (progress.TIMES / "study-photos").write_text("cut sho")  # and what a full disk has left is no reason to fail

    def main():
        raise command_line.SignBridgeError("no photo")

    with pytest.raises(SystemExit):
        command_line.run(main)
    assert (progress.TIMES / "study-photos").read_text() == "cut sho"
