"""A study has one kind of NF4 weights: that of the device that read its sample."""

import json
from pathlib import Path

import pandas as pd
import pytest

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError
from signbridge.vlm import nf4
from signbridge.vlm.chosen import AS_READ
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import load
from signbridge.vlm.model_run import model_run, read_on, with_weights
from tests.conftest import ROOT, Workspace
from tests.vlm.conftest import CPU, PROMPT, tiny_random

AUTO = tiny_random(quantization="nf4", dequantize="auto")
STAGE = str(ROOT / "stages/score_letters.py")


@pytest.fixture
def study(workspace, monkeypatch) -> Workspace:
    """A study of the random model in NF4 whose weights are expanded where memory allows."""
    monkeypatch.setenv("SIGNBRIDGE_DEVICE", "cpu")
    monkeypatch.setenv("SIGNBRIDGE_BATCH_SIZE", "2")
    nf4_auto = {"tiny-random__quantization": "nf4", "tiny-random__dequantize": "auto"}
    workspace.set(model="tiny-random", **{f"models__{key}": value for key, value in nf4_auto.items()})
    return workspace


@pytest.mark.parametrize(("weights", "memory"), [("packed", 2**50), ("expanded", 2**20)])
def test_weights_are_those_of_the_study_whatever_this_device_has_room_for(study, monkeypatch, weights, memory):
    monkeypatch.setattr(nf4, "all_bytes", lambda device: memory)  # `auto` would do the other
    study.describe_model(weights)
    with model_run(STAGE) as run:
        assert run.reader is not None
        assert run.made_by["read_on"]["weights"] == weights


def test_a_table_of_an_earlier_run_says_the_kind_as_well(study):
    study.describe_model("packed")
    with model_run(STAGE) as run:
        made_by = run.made_by | {"read_on": {"device": "cuda", "batch_size": 16, "weights": "packed"}}
        tables.write(pd.DataFrame({"answer": ["A"]}), "earlier.parquet", made_by)
    AS_READ.unlink()
    with model_run(STAGE, earlier=Path("earlier.parquet")) as run:
        assert run.model.dequantize == "never"


def test_this_device_decides_until_the_study_has_and_the_catalog_where_it_says_so():
    assert with_weights(AUTO, None) == AUTO
    always = AUTO.model_copy(update={"dequantize": "always"})
    assert with_weights(always, "packed") == always


def test_runs_with_the_two_kinds_share_no_unfinished_work(study):
    folders = set()
    for weights in ("packed", "expanded"):
        study.describe_model(weights)
        with model_run(STAGE) as run:
            folders.add(run.folder)
    assert len(folders) == 2


@pytest.mark.parametrize(
    ("other", "said"), [({"weights": "expanded"}, True), ({"weights": "packed"}, False), (None, False)]
)
def test_vectors_of_another_kind_are_not_used_beside_the_stages_own(study, other, said):
    study.describe_model("packed")
    table = Path("data/lenses/text_index/contexts.parquet")
    tables.write(pd.DataFrame({"word": ["up"]}), table, {} if other is None else {"read_on": other})
    if not said:
        with model_run(STAGE, beside=table):
            return
    with pytest.raises(SignBridgeError) as refused, model_run(STAGE, beside=table):
        pytest.fail("the stage began")
    assert str(refused.value) == (
        f"{table}: read with expanded weights, and data/model_as_read.json says packed. A study has one kind: make it "
        "again with `dvc repro stages/lenses/dvc.yaml`."
    )


def test_another_model_than_the_chosen_one_is_refused_and_nothing_is_loaded(study):
    study.describe_model("packed")
    described = json.loads(AS_READ.read_text())
    AS_READ.write_text(json.dumps({**described, "entry": {**described["entry"], "seed": 1}}))
    with pytest.raises(SignBridgeError, match="another model than tiny-random"), model_run(STAGE):
        pytest.fail("the stage began")


@pytest.mark.parametrize(("policy", "kind"), [("never", "packed"), ("always", "expanded")])
def test_tables_say_on_what_and_with_which_weights_the_model_was_read(model_scratch, policy, kind):
    entry = tiny_random(quantization="nf4", dequantize=policy)
    reader = Reader(load(entry, model_scratch, CPU), PROMPT, 1, batch_size=4)
    assert read_on(reader, entry) == {"device": "cpu", "batch_size": 4, "weights": kind}
