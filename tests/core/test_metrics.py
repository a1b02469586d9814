"""Findings and metrics: what DVC compares, and all else."""

import json

import pytest

from signbridge.core import tables


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
