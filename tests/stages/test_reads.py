"""A file that a stage opens and does not declare is seen, and what may be opened all the same is still needed."""

import pandas as pd
import pytest

from signbridge.core import tables
from stages import score_letters
from tests.conftest import ROOT, Workspace
from tests.stages import reads
from tests.stages.conftest import READS


@pytest.fixture
def noted(workspace) -> set[str]:
    """What a stage opened in this test and does not declare; forgotten at its end."""
    yield READS.found
    READS.found.clear()


def test_the_kind_of_weights_read_from_a_table_that_is_no_dep_is_seen(workspace: Workspace, noted, monkeypatch):
    workspace.set(model="tiny-random")
    workspace.describe_model()
    tables.write(pd.DataFrame({"image_id": ["a"], "label": ["A"], "photo": ["a"]}), "data/sample.parquet", {})
    tables.write(pd.DataFrame({"answer": ["A"]}), "data/answers.parquet", {"read_on": {"weights": "packed"}})

    def as_it_was(*_: object, **__: object) -> None:
        tables.made_by("data/answers.parquet")
        tables.made_by("data/sample.parquet")
        raise SystemExit

    monkeypatch.setattr(score_letters, "model_run", as_it_was)
    with pytest.raises(SystemExit):
        score_letters.main()
    assert noted == {"score_letters reads data/answers.parquet"}


@pytest.mark.parametrize(
    ("stage", "path", "is_seen"),
    [
        ("causal.patch", "data/answers.parquet", False),
        ("causal.patch", "data/activations/layer_00.parquet", True),
        ("causal.erase", "data/activations/layer_00.parquet", False),
        ("causal.erase", "data/activations_of_another.parquet", True),
        ("causal.patch", "data/model.json", True),
        ("extract", "data/model.json", False),
        ("causal.effects", "models.yaml", True),
        ("causal.patch", "models.yaml", False),
        ("lenses.text_index", "corpora/miniature.txt", False),
        ("lenses.lens", "corpora/miniature.txt", True),
        ("models.extract", "data/models/described/tiny-random.json", False),
        ("models.extract", "data/models/read/tiny-random/answers.parquet", False),
        ("models.score_letters", "data/models/as_read/tiny-random.json", False),
        ("models.score_letters", "data/models/described/tiny-random.json", True),
        ("probe", ".scratch/probe/a", False),
        ("sae.report", "models.yaml", False),
        ("report", "data/activations/layer_00.parquet", True),
        ("sae.train", "data/sae/.autoencoders.unfinished/layer_00/cfg.json", False),
        ("sae.train", "data/sae/.features.unfinished/layer_00.parquet", True),
        ("pretrained.fetch", "text_sae/cfg.json", False),
        ("pretrained.fetch", "data/model.json", True),
        ("pretrained.steer", "stages/pretrained/autoencoders.yaml", False),
        ("pretrained.effects", "stages/pretrained/autoencoders.yaml", True),
        ("probe", "elsewhere/model.safetensors", True),
    ],
)
def test_a_dep_an_output_and_what_is_excepted_are_no_undeclared_reads(workspace: Workspace, stage, path, is_seen):
    assert reads.undeclared(stage, path) == is_seen


def test_the_files_of_a_local_model_are_excepted_where_it_is_the_one_described(workspace: Workspace):
    workspace.set(models__miniature__path=str(ROOT / "models/miniature"))
    workspace.describe_model()
    assert not reads.undeclared("extract", f"{ROOT}/models/miniature/model.safetensors")
    assert reads.undeclared("probe", f"{ROOT}/models/miniature/model.safetensors")
    assert reads.undeclared("extract", "models/another/model.safetensors")
