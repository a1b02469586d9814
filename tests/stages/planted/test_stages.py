"""The stages of `planted`, one after the other, on a few hands that the miniature has never seen."""

from pathlib import Path

import pandas as pd
import pytest

from signbridge.core import params, tables
from signbridge.core.errors import SignBridgeError
from stages import choice, fetch, model, photos, sample
from stages.planted import edit, probe, read, report, score
from tests.conftest import ROOT
from tests.stages.small_study import as_declared, declared, written_by

ALL = {"read": read.main, "probe": probe.main, "edit": edit.main, "score": score.main, "report": report.main}
PLANTED = (6, 7, 8)
NEAR = {f"layer_{block:02d}" for block in range(min(PLANTED) - 1, max(PLANTED) + 2)}


def set_up(workspace) -> None:
    """What the stages before leave, of 96 photos that no other test draws."""
    miniature = {"models__miniature__path": str(ROOT / "models/miniature")}
    workspace.set(
        datasets__rendered__photos=8, datasets__rendered__copies=1, datasets__rendered__seed=2031, sample__classes=12,
        sample__per_class=8, statistics={"confidence": 0.95, "resamples": 200}, **miniature,
    )  # fmt: skip
    workspace.set_in(params.PLANTED, ask__images=40, probe__repeats=1, edit__pairs=10)
    for main in (choice.main, fetch.main, photos.main, sample.main, model.main):
        main()
    curve = {"protocol": "grouped", "position": "prompt_last", "site": ["embedding", "layer_00"], "depth": [3, 4]}
    columns = dict.fromkeys(("accuracy", "low", "high"), 0.9)
    tables.write(pd.DataFrame({**curve, **columns}), "data/statistics/accuracy.parquet", {})


@pytest.mark.slow
def test_the_change_is_found_at_the_planted_blocks_and_every_stage_writes_what_it_declares(workspace):
    set_up(workspace)
    for stage, main in ALL.items():
        page = {"report/planted.html"} if stage == "report" else set()
        assert as_declared(f"planted.{stage}", written_by(main)) == declared(f"planted.{stage}") - page
    assert "planted" in Path("report/planted.html").read_text(encoding="utf-8")
    found = tables.read_json("metrics/planted/planted.json")
    assert found["answers_right"] > 0.8
    assert {found["probe_at"], found["patching_at"], found["knockout_question_at"]} <= NEAR
    assert found["tower"] == found["embedding"] == 0.5
    assert found["last_layer"] > 0.8


def test_a_model_without_a_stated_truth_is_refused_before_anything_is_read(workspace):
    workspace.set(model="tiny-random")
    with pytest.raises(SignBridgeError, match="planted"):
        read.main()
