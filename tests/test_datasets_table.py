"""The table of docs/datasets.md is the catalog's, and every entry of the catalog can be read."""

import re

import pytest
from ruamel.yaml import YAML

import stages.fetch
from signbridge.clips import sources
from signbridge.core import params
from signbridge.datasets.entry import Entry
from signbridge.datasets_table import datasets_table
from tests.conftest import ROOT

ENTRIES = dict(YAML(typ="safe").load((ROOT / "datasets.yaml").read_text(encoding="utf-8")))


def test_the_table_of_the_docs_is_made_from_the_catalog(monkeypatch):
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs/datasets.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- the table of signbridge.datasets_table -->\n(.*?)\n<!-- its end -->", page, re.DOTALL)
    assert shown[1] == datasets_table(), "run `python -m signbridge.datasets_table` and put it there"


def test_what_only_this_machine_has_is_not_in_the_table(workspace):
    before = set(datasets_table().splitlines())
    workspace.set(datasets__mine={"source": "image_folder", "path": "../my-signs"})
    assert set(datasets_table().splitlines()) == before


def entry_of(name: str) -> Entry:
    """The entry, as the study or the question of motion reads it."""
    kinds = sources.Dataset if ENTRIES[name]["source"] in sources.SOURCES else stages.fetch.Dataset
    return params.entry(name, params.DATASETS, kinds)


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_says_its_licence_and_borrows_from_no_other(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert entry_of(name).licence
    assert "like" not in params.whole(dict, params.DATASETS)[name], "DVC tracks the chosen entry alone"


def test_a_set_whose_licence_is_not_known_may_not_be_passed_on(monkeypatch):
    monkeypatch.chdir(ROOT)
    passed_on = {name: entry_of(name).pass_on for name in ENTRIES}
    assert {name: said for name, said in passed_on.items() if said is not True} == {
        "dataset5": "unclear", "wlasl": "unclear", "asl_citizen": False
    }  # fmt: skip
