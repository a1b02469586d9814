import json

import pytest

from signbridge.core import tables


def test_a_metric_file_is_sorted_rounded_and_ends_in_a_newline(tmp_path):
    tables.write_metrics(tmp_path / "metrics/a.json", {"b": 1 / 3, "a": 2, "site": "layer_16"})
    assert (tmp_path / "metrics/a.json").read_text() == '{\n  "a": 2,\n  "b": 0.333333,\n  "site": "layer_16"\n}\n'


@pytest.mark.parametrize("value", [None, [1, 2], {"a": 1}, float("nan"), float("inf")])
def test_what_dvc_would_drop_or_json_cannot_hold_is_refused_and_nothing_written(tmp_path, value):
    tables.write_metrics(tmp_path / "a.json", {"a": 1})
    with pytest.raises(Exception, match=r"a\b"):
        tables.write_metrics(tmp_path / "a.json", {"a": value})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
