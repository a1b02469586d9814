"""Findings and metrics: what DVC compares, and all else."""

import json

import pytest

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError


def test_findings_are_sorted_rounded_and_end_in_a_newline(tmp_path):
    tables.write_findings(tmp_path / "data/a.json", {"b": 1 / 3, "a": 2, "site": "layer_16"})
    assert (tmp_path / "data/a.json").read_text() == '{\n  "a": 2,\n  "b": 0.333333,\n  "site": "layer_16"\n}\n'


def test_metrics_are_the_named_findings_in_the_order_of_their_names_and_no_others(tmp_path):
    findings = {"b": 1 / 3, "a": 2, "site": "layer_16"}
    headline = {"accuracy": "b", "best_layer": "site", "not_measured": "c"}
    tables.write_metrics(tmp_path / "metrics/a.json", findings, headline)
    assert (tmp_path / "metrics/a.json").read_text() == '{\n  "accuracy": 0.3333,\n  "best_layer": "layer_16"\n}\n'


@pytest.mark.parametrize("value", [None, [1, 2], {"a": 1}, float("nan"), float("inf")])
def test_what_dvc_would_drop_or_json_cannot_hold_is_refused_and_nothing_written(tmp_path, value):
    tables.write_findings(tmp_path / "a.json", {"a": 1})
    with pytest.raises(Exception, match=r"a\b"):
        tables.write_findings(tmp_path / "a.json", {"a": value})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}


def test_findings_and_metrics_come_back(tmp_path):
    findings = {"a": 2, "leaking": True, "share": 0.5, "site": "layer_16"}
    tables.write_findings(tmp_path / "a.json", findings)
    assert tables.read_findings(tmp_path / "a.json") == findings


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "not there. Make it with `dvc repro`"),
        (b"", "not readable as JSON"),
        (b"{", "not readable as JSON"),
        (b"\xff", "not readable as JSON"),
        (b"[1]", "expected one flat JSON object. Delete it and `dvc repro`."),
        (b"1", "expected one flat JSON object"),
        (b'{"a": {}}', "expected one flat JSON object"),
        (b'{"a": null}', "expected one flat JSON object"),
        (b'{"a": 1, "b": [1]}', "expected one flat JSON object"),
    ],
)
def test_a_file_that_holds_no_findings_is_named(tmp_path, content, said):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SignBridgeError) as stopped:
        tables.read_findings(path)
    assert str(stopped.value).startswith(f"{path}: {said}")
