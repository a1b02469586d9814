"""A model's results are shown under its name, and under its note if it has one."""

import pandas as pd
import pytest

from signbridge.core import params, tables
from signbridge.core.names import model_name


@pytest.mark.parametrize(
    ("notes", "shown"), [({}, "tiny"), ({"tiny": "a test bed", "other": "?"}, "tiny (a test bed)")]
)
def test_the_note_of_a_model_follows_its_name(workspace, notes, shown):
    workspace.set(model_notes=notes)
    tables.write(pd.DataFrame({"answer": ["Fist"]}), "data/answers.parquet", {"model": {"name": "tiny", "seed": 0}})
    assert model_name("data/answers.parquet", params.model_notes()) == shown


def test_a_note_that_is_no_text_is_refused_by_its_key(workspace):
    workspace.set(model_notes={"tiny": ["a", "list"]})
    message = workspace.message_of_failure(params.model_notes)
    assert "model_notes.tiny: expected" in message
