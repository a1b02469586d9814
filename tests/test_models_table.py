"""The table of docs/models.md is the catalog's, and the catalog says of a model only what is known of it."""

import re

import pytest

from signbridge.core import params
from signbridge.models_table import models_table
from signbridge.vlm.catalog import HubModel, ModelParams
from signbridge.vlm.families import FAMILIES
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_table_of_the_docs_is_made_from_the_catalog():
    page = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- the table of signbridge.models_table -->\n(.*?)\n<!-- its end -->", page, re.DOTALL)
    assert shown[1] == models_table(), "run `python -m signbridge.models_table` and put it there"


def test_a_row_says_what_is_known_and_no_more():
    rows = dict(line.strip("| ").split(" | ", 1) for line in models_table().splitlines()[2:])
    assert rows["`qwen2-5-vl-7b`"] == "`Qwen/Qwen2.5-VL-7B-Instruct` `cc594898` | Apache-2.0 | no | 5.5"
    assert rows["`gemma-3-4b-it`"].endswith("| Gemma | yes | 3.0")
    assert rows["`llava-gemma-2b`"].endswith("| – | – | –")
    assert "`llava-1-5-7b-nf4-decoder`" not in rows


def test_what_the_table_says_of_a_model_reads_none_again():
    entry = params.entry("llava-1-5-7b", params.MODELS, ModelParams)
    assert isinstance(entry, HubModel)
    assert entry.about is not None
    assert "about" not in entry.model_dump()


def test_three_lines_are_enough_for_a_model_of_a_known_family():
    entry = params.entry("qwen3-vl-8b", params.MODELS, ModelParams)
    assert (entry.source, entry.prompt, entry.dtype, entry.quantization, entry.max_new_tokens) == (
        "hub", "auto", "auto", "none", 20
    )  # fmt: skip
    assert "qwen3_vl" in FAMILIES


def test_entries_of_one_model_differ_in_their_weights_alone():
    whole = params.entry("miniature", params.MODELS, ModelParams).model_dump()
    for name in ("miniature-nf4", "miniature-nf4-decoder", "miniature-bfloat16"):
        other = params.entry(name, params.MODELS, ModelParams).model_dump()
        assert {key for key in whole if whole[key] != other[key]} <= {"quantization", "quantize", "dtype"}
