"""The stage `pretrained.descriptions`, with a pair of the catalog chosen and a server on this machine."""

from pathlib import Path

import pytest

from signbridge.core import params, tables
from stages.pretrained import descriptions
from tests.pretrained.export_bucket import SAE, bucket
from tests.stages.small_study import as_declared, declared, written_by

__all__ = ["bucket"]
TABLE = "data/pretrained/descriptions.parquet"


@pytest.fixture
def study(workspace, bucket, monkeypatch):
    monkeypatch.setattr(descriptions, "BUCKET", bucket.address)
    workspace.set(model="llava-gemma-2b")
    return workspace


def described() -> dict[int, str]:
    return tables.read(TABLE).set_index("feature")["description"].to_dict()


def test_the_export_of_the_chosen_autoencoder_becomes_a_table(study):
    assert as_declared("pretrained.descriptions", written_by(descriptions.main)) == declared("pretrained.descriptions")
    assert described() == {0: "of 0", 1: "of 1", 2: "of 2", 10: "of 10"}
    made_by = tables.made_by(TABLE)
    assert made_by == {"pretrained": "llava-gemma-2b", "descriptions": f"neuronpedia {SAE}"}


def test_a_second_run_asks_for_the_list_alone_and_gives_the_same_bytes(study, bucket):
    descriptions.main()
    before = Path(TABLE).read_bytes()
    bucket.asked.clear()
    descriptions.main()
    assert {key for key in bucket.asked if key.endswith(".gz")} == set()
    assert Path(TABLE).read_bytes() == before


@pytest.mark.parametrize("setting", [(params.PRETRAINED, {"classes__descriptions": "none"}),
                                     (params.AUTOENCODERS, {"llava-gemma-2b__neuronpedia": None})])  # fmt: skip
def test_switched_off_or_without_an_export_nobody_is_asked(study, bucket, setting):
    file, values = setting
    study.set_in(file, **values)
    descriptions.main()
    assert described() == {}
    assert tables.made_by(TABLE)["descriptions"] == "none"
    assert bucket.asked == []


def test_an_export_that_is_not_there_leaves_indices_alone(study):
    study.set(**{"autoencoders__llava-gemma-2b__neuronpedia": "gemma-2b/17-res-jb"})
    descriptions.main()
    assert described() == {}
    assert tables.made_by(TABLE)["descriptions"] == "none"


def test_a_failure_leaves_the_table_as_it_was_and_keeps_what_came(study, bucket):
    descriptions.main()
    before = Path(TABLE).read_bytes()
    (kept,) = Path(".scratch/feature_descriptions").rglob("batch-2.jsonl.gz")
    kept.unlink()
    bucket.failing[f"v1/{SAE}/explanations/batch-2.jsonl.gz"] = [500] * 3
    assert "run the stage again" in study.message_of_failure(descriptions.main)
    assert Path(TABLE).read_bytes() == before
    descriptions.main()
    assert Path(TABLE).read_bytes() == before
