"""Which pipeline an output belongs to: what a message names must be a command that works."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError
from signbridge.core.pipeline import how_to_get, repro
from tests.conftest import ROOT


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
