"""What tests/quick_dvc.py makes quicker reads and writes what DVC does."""

import copy
import io
import os
import sys
from pathlib import Path

import pytest
from dvc.stage.exceptions import StageCmdFailedError
from dvc.utils.serialize import _yaml

from tests import quick_dvc, stub_stage
from tests.conftest import PARAMS_FILES, ROOT
from tests.stub_stage import STUB

LOCKS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("stages/*/dvc.lock"))


@pytest.mark.parametrize("file", [Path("stages/finetune/dvc.yaml"), *PARAMS_FILES], ids=str)
def test_a_text_is_parsed_as_ever_each_time_anew(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    expected = _yaml.parse_yaml(text, file)
    quick_dvc._parse_yaml(text, file).clear()
    assert quick_dvc._parse_yaml(text, file) == expected


@pytest.mark.parametrize("file", LOCKS)
def test_a_lock_file_is_written_to_the_byte_as_ever_and_read_as_it_was_written(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    data = quick_dvc._parse_yaml_for_update(text, file)
    assert data == _yaml.parse_yaml(text, file)
    assert written(quick_dvc._dump, data) == text
    first = next(iter(data["stages"]))
    data["stages"][first]["params"] = {"new": {"a: b": ["yes", None, 1e-5, "\u624b " * 60], "c": [{}, [], True, ""]}}
    assert written(quick_dvc._dump, data) == written(_yaml._dump, data)
    data["stages"]["added"] = {"cmd": "python -m stages.added", "outs": [{"path": "data/added", "size": 1}]}
    text = written(quick_dvc._dump, data)
    assert text == written(_yaml._dump, data)
    assert (
        quick_dvc._parse_yaml_for_update(text, file)
        == quick_dvc._parse_yaml(text, file)
        == _yaml.parse_yaml(text, file)
    )


def test_what_is_there_twice_is_numbered_as_ever():
    shared = {"pairs": 3}
    data = {"schema": "2.0", "stages": {name: {"params": [shared, shared]} for name in "ab"}}
    data["stages"]["b"] = copy.deepcopy(data["stages"]["b"])
    assert written(quick_dvc._dump, data) == written(_yaml._dump, data)
    assert "&id002" in written(quick_dvc._dump, data)


def test_a_stub_that_fails_fails_its_stage_and_an_edited_one_is_run_by_a_new_python(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("stages").mkdir()
    Path("stages/__init__.py").touch()
    Path("dvc.yaml").write_text("stages: {}")
    Path("params.yaml").write_text("seed: 1")
    Path("stages/broken.py").write_text(STUB)
    Path("stages/edited.py").write_text("raise SystemExit('error: no such layer')\n")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for name, said in (("broken", "KeyError: 'broken'"), ("edited", "error: no such layer")):
        with pytest.raises(StageCmdFailedError):
            quick_dvc._run_command(
                "/bin/sh", f"python -m stages.{name}", cwd=str(tmp_path), env={**os.environ, "PATH": path}
            )
        assert said in capfd.readouterr().err
    stub_stage.all_deps.cache_clear()


def written(dump, data) -> str:
    """The text that `dump` writes."""
    stream = io.StringIO()
    dump(data, stream)
    return stream.getvalue()
