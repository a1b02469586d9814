"""Which pipeline an output belongs to: what a message names must be a command that works."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError
from signbridge.core.pipeline import check_own_keys, how_to_get, repro, stage_of
from tests.conftest import ROOT

READ_WHOLE = ("models", "motion")  # by a stage, which refuses what it does not know


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("data/sample.parquet", "Make it with `dvc repro`, or get it with `dvc pull dvc.yaml`."),
        ("data/activations/layer_00.parquet", "Make it with `dvc repro`, or get it with `dvc pull dvc.yaml`."),
        ("data/lenses/judged/words.parquet", "`dvc repro stages/judge/dvc.yaml`, or get it with `dvc pull stages/jud"),
        ("data/lenses/words.parquet", "`dvc repro stages/lenses/dvc.yaml`, or get it with `dvc pull stages/lenses/dvc"),
        ("metrics/sae/probes.json", "`dvc repro stages/sae/dvc.yaml`, or get it with `git checkout -- metrics/sae/pr"),
        ("anyone's.parquet", "Make it with `dvc repro`, or get it with `dvc pull dvc.yaml`."),
    ],
)
def test_a_missing_output_is_made_and_fetched_by_the_pipeline_that_writes_it(path, said):
    assert said in how_to_get(path)
    assert said in how_to_get(Path.cwd() / path) or "git checkout" in said


@pytest.mark.parametrize("file", sorted(ROOT.glob("stages/*/dvc.yaml")), ids=lambda file: file.parent.name)
def test_every_output_of_a_question_is_made_by_the_pipeline_of_that_question(file):
    stages = YAML(typ="safe").load(file.read_text())["stages"]
    outputs = [out for stage in stages.values() for out in stage.get("outs", [])]
    assert outputs
    for out in outputs:
        path = next(iter(out)) if isinstance(out, dict) else out
        assert repro(f"{path}/within") == f"`dvc repro {file.relative_to(ROOT)}`"


def test_no_message_names_dvc_pull_without_a_pipeline():
    """It fetches what is there and ends in an error, as some pipelines were never pushed."""
    bare = [
        path for path in (ROOT / "signbridge").rglob("*.py") if "`dvc pull`" in path.read_text().split("def ", 1)[-1]
    ]
    assert [path.name for path in bare] == ["pipeline.py"], "which says so"


def test_a_table_of_a_question_says_which_pipeline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SignBridgeError, match=r"get it with `dvc pull stages/causal/dvc\.yaml`"):
        tables.read("data/causal/patching.parquet")


@pytest.mark.parametrize("file", sorted(ROOT.glob("stages/*/dvc.yaml")), ids=lambda file: file.parent.name)
def test_a_key_of_a_question_that_no_stage_reads_is_refused(file, workspace):
    name = next(iter(YAML(typ="safe").load(file.read_text())["stages"]))
    stage = stage_of(file.with_name(f"{name}.py"))
    check_own_keys(stage)
    own = file.with_name("params.yaml").relative_to(ROOT)
    first = next(iter(YAML(typ="safe").load(own)))
    workspace.set_in(own, **{f"{first}x": 1})
    refused = pytest.raises(SignBridgeError, match=f"^{own}: {first}x: unknown key. Did you mean '{first}")
    with nullcontext() if file.parent.name in READ_WHOLE else refused:
        check_own_keys(stage)
