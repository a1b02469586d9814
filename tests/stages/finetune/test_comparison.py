"""The stages that compare: a made-up model whose deeper layer is turned by tuning, and which then names the letter."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signbridge.core import activations, params, tables
from stages.finetune import compare, moved, probe, report, said
from tests.conftest import Workspace
from tests.report.made_up_finetune import patched
from tests.stages.small_study import (
    ACTIVATIONS,
    CONTROL_ACTIVATIONS,
    IDS,
    LABELS,
    PHOTOS,
    SITES,
    as_declared,
    copy_into,
    declared,
    outputs,
    working_in,
    write_study,
    written_by,
)

DATA = Path("data/finetune")
RUNS = ["letters", "shuffled_labels", "untrained_twin"]
COMPARING = {"said": said.main, "moved": moved.main, "compare": compare.main, "report": report.main}


def scores(best: np.ndarray) -> pd.DataFrame:
    """The letter scores of a model that likes `best` best."""
    table = pd.DataFrame({"image_id": np.repeat(IDS, 3), "label": np.repeat(LABELS, 3), "letter": list("ABC") * 60})
    return table.assign(prompt="?", log_probability=np.where(np.repeat(best, 3) == table["letter"], -1.0, -2.0))


def write_run(run: str, named: np.ndarray) -> None:
    """What reading a tuned model leaves: its layer 1 is that of the model before tuning, turned."""
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(12, 12)))[0].astype(np.float32)
    before = CONTROL_ACTIVATIONS / "untrained_twin" if run == "untrained_twin" else ACTIVATIONS
    for site in SITES:
        vectors = {at: activations.read(before, site, at, IDS) for at in activations.positions_of(site)}
        if site == "layer_01":
            vectors = {at: rows @ turn for at, rows in vectors.items()}
        activations.write(DATA / f"read/{run}/activations", site, IDS, vectors, {"sites": SITES})
    answered = pd.DataFrame({"image_id": IDS, "label": LABELS, "prompt": "?", "answer": named})
    tables.write(answered, DATA / f"read/{run}/answers.parquet", {"model": {"name": run}})
    tables.write(scores(named), DATA / f"read/{run}/letter_scores.parquet", {})


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> Path:
    """A folder in which the stages that compare have run."""
    folder = tmp_path_factory.mktemp("compared")
    with working_in(folder) as workspace, pytest.MonkeyPatch.context() as here:
        here.setenv("LOKY_MAX_CPU_COUNT", "1")
        write_study(workspace)
        workspace.set_in(params.FINETUNE, runs=RUNS, repeats=1, patching={"runs": ["letters"], "pairs": 12})
        tables.write(scores(np.full(60, "A")), "data/letter_scores.parquet", {})
        split = pd.DataFrame({"image_id": IDS, "label": LABELS, "group": PHOTOS, "part": "probe", "shuffled": LABELS})
        more = pd.DataFrame({"image_id": ["t"], "label": ["A"], "group": ["t"], "part": ["train"], "shuffled": ["B"]})
        audit = {"audit": {"photo_in_train": 0.0}, "grouped_by": "photo"}
        tables.write(pd.concat([split, more], ignore_index=True), DATA / "split.parquet", audit)
        write_run("letters", LABELS)
        write_run("shuffled_labels", np.roll(LABELS, 20))
        write_run("untrained_twin", np.full(60, "A"))
        probe.main()
        tables.write(patched(0), DATA / "patched/base.parquet", {})
        tables.write(patched(2), DATA / "patched/letters.parquet", {})
        for run in RUNS[:2]:
            hurt = pd.DataFrame({"image_id": IDS[::7], "damage": 0.25})
            tables.write(hurt, DATA / f"damage/{run}.parquet", {})
        for main in COMPARING.values():
            main()
    return folder


@pytest.fixture
def study(compared, workspace, monkeypatch) -> Workspace:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    return copy_into(workspace, compared)


def test_a_turn_that_tuning_makes_is_seen_by_the_old_probe_and_not_by_a_new_one(study):
    found = tables.read_findings(DATA / "compared/findings.json")
    assert (found["named_base"], found["named_letters"], found["beats_nulls"]) == (0, 1, True)
    assert (found["hardest_how"], found["scored_base"]) == ("answer", pytest.approx(1 / 3))
    assert found["layers_changed"] == 0
    transfer = tables.read(DATA / "compared/transfer.parquet").set_index(["run", "fitted_on", "how", "site"])
    still, turned = (transfer.loc[("letters", "before", "recentred", f"layer_0{block}")] for block in (0, 1))
    assert still["difference"] == pytest.approx(0, abs=0.02)
    assert turned["difference"] < -0.2
    drift = tables.read(DATA / "compared/drift.parquet").set_index(["run", "site"])
    assert drift.loc[("letters", "layer_01"), "cka"] == pytest.approx(1, abs=1e-4)
    assert drift.loc[("letters", "layer_01"), "cosine_high"] < 0.9
    assert (drift.loc[(slice(None), ["vision", "layer_00"]), "relative_error"] == 0).all()
    assert drift.loc[("untrained_twin", "layer_01"), "cka"] == pytest.approx(1, abs=1e-4)  # with its own before
    assert tables.read_findings("metrics/finetune.json")["taken_over_shift"] == 2
    page = report.REPORT.read_text(encoding="utf-8")
    assert "is told apart from every null" in page


def test_the_stages_write_what_the_pipeline_names_and_the_same_bytes_again(study):
    before = {**outputs(), "page": report.REPORT.read_bytes()}
    for out in {out for stage in COMPARING for out in declared(f"finetune.{stage}")}:
        shutil.rmtree(out) if Path(out).is_dir() else Path(out).unlink()
    for stage, main in COMPARING.items():
        written = as_declared(f"finetune.{stage}", written_by(main))
        assert written == declared(f"finetune.{stage}") - {report.REPORT.as_posix()}
    assert {**outputs(), "page": report.REPORT.read_bytes()} == before


def test_without_the_run_that_the_others_are_held_against_it_says_what_to_do(study):
    study.set_in(params.FINETUNE, runs=RUNS[1:])
    assert "stages/finetune/params.yaml: runs: `letters` is what" in study.message_of_failure(compare.main)
