"""What tests/quick_dvc.py makes quicker reads and writes what DVC does."""

import copy
import io
from pathlib import Path

import pytest
from dvc.utils.serialize import _yaml

from tests import quick_dvc
from tests.conftest import PARAMS_FILES, ROOT

LOCKS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("stages/*/dvc.lock"))


@pytest.mark.parametrize("file", [Path("stages/finetune/dvc.yaml"), *PARAMS_FILES], ids=str)
def test_a_text_is_parsed_as_ever_each_time_anew(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    expected = _yaml.parse_yaml(text, file)
    quick_dvc._parse_yaml(text, file).clear()
    assert quick_dvc._parse_yaml(text, file) == expected


@pytest.mark.parametrize("file", LOCKS)
def test_a_lock_file_is_written_to_the_byte_as_ever(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    data = quick_dvc._parse_yaml_for_update(text, file)
    assert data == _yaml.parse_yaml(text, file)
    assert written(quick_dvc._dump, data) == text
    first = next(iter(data["stages"]))
    data["stages"][first]["params"] = {"new": {"a: b": ["yes", None, 1e-5, "\u624b " * 60], "c": [{}, [], True, ""]}}
    assert written(quick_dvc._dump, data) == written(_yaml._dump, data)
    data["stages"]["added"] = {"cmd": "python -m stages.added", "outs": [{"path": "data/added", "size": 1}]}
    assert written(quick_dvc._dump, data) == written(_yaml._dump, data)


def test_what_is_there_twice_is_numbered_as_ever():
    shared = {"pairs": 3}
    data = {"schema": "2.0", "stages": {name: {"params": [shared, shared]} for name in "ab"}}
    data["stages"]["b"] = copy.deepcopy(data["stages"]["b"])
    assert written(quick_dvc._dump, data) == written(_yaml._dump, data)
    assert "&id002" in written(quick_dvc._dump, data)


def written(dump, data) -> str:
    """The text that `dump` writes."""
    stream = io.StringIO()
    dump(data, stream)
    return stream.getvalue()
