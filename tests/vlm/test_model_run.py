"""A study has one kind of NF4 weights: that of the device that read its sample."""

from pathlib import Path

import pandas as pd
import pytest

from signbridge.core import tables
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import load
from signbridge.vlm.model_run import as_the_study_has_it, read_on
from tests.vlm.conftest import CPU, PROMPT, tiny_random

AUTO = tiny_random(quantization="nf4", dequantize="auto")
ENTRY = {"name": "tiny-random", **AUTO.model_dump()}


@pytest.fixture
def read_before(tmp_path):
    """Write the table that a run on another device left, of a model and with what it says of its reading."""

    def write(entry: dict, **said: dict) -> Path:
        tables.write(pd.DataFrame({"answer": ["A"]}), tmp_path / "answers.parquet", {"model": entry, **said})
        return tmp_path / "answers.parquet"

    return write


@pytest.mark.parametrize(("kind", "policy"), [("packed", "never"), ("expanded", "always")])
def test_weights_are_as_those_of_the_studys_answers_whatever_this_device_has_room_for(read_before, kind, policy):
    answers = read_before(ENTRY, read_on={"device": "cuda", "batch_size": 16, "weights": kind})
    assert as_the_study_has_it(AUTO, answers, ENTRY) == AUTO.model_copy(update={"dequantize": policy})


def test_this_device_decides_where_no_run_of_this_model_has_and_the_catalog_where_it_says_so(read_before, tmp_path):
    assert as_the_study_has_it(AUTO, tmp_path / "none.parquet", ENTRY) == AUTO
    assert as_the_study_has_it(AUTO, read_before(ENTRY), ENTRY) == AUTO
    kept = read_before({**ENTRY, "seed": 1}, read_on={"device": "cuda", "batch_size": 16, "weights": "packed"})
    assert as_the_study_has_it(AUTO, kept, ENTRY) == AUTO
    always = AUTO.model_copy(update={"dequantize": "always"})
    assert as_the_study_has_it(always, kept, {**ENTRY, "seed": 1}) == always


@pytest.mark.parametrize(("policy", "kind"), [("never", "packed"), ("always", "expanded")])
def test_tables_say_on_what_and_with_which_weights_the_model_was_read(model_scratch, policy, kind):
    entry = tiny_random(quantization="nf4", dequantize=policy)
    reader = Reader(load(entry, model_scratch, CPU), PROMPT, 1, batch_size=4)
    assert read_on(reader, entry) == {"device": "cpu", "batch_size": 4, "weights": kind}
