"""A folder is there whole or not at all."""

import os
import shutil
import subprocess

import pytest

from signbridge.core.tables import whole_folder
from tests.conftest import ROOT


def write(path, *names):
    with whole_folder(path) as unfinished:
        for name in names:
            (unfinished / name).write_text(name)


def names(path):
    return sorted(file.name for file in path.iterdir())


def test_a_folder_appears_when_it_is_finished_in_place_of_what_was_there(tmp_path):
    path = tmp_path / "data" / "index"
    write(path, "a", "b")
    write(path, "c")
    assert names(path) == ["c"]
    assert names(path.parent) == ["index"]


def test_a_writer_that_fails_leaves_the_earlier_folder_and_nothing_for_the_next(tmp_path):
    path = tmp_path / "index"
    write(path, "a")
    with pytest.raises(OSError, match="disk full"):
        _fail_half_way(path)
    assert names(path) == ["a"]
    write(path, "b")
    assert names(path) == ["b"]
    assert names(tmp_path) == ["index"]


def test_what_is_killed_between_the_two_renames_leaves_no_folder_and_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "index"
    write(path, "a")
    with monkeypatch.context() as here:
        here.setattr(os, "replace", _fail_at_second(os.replace))
        with pytest.raises(KeyboardInterrupt):
            write(path, "b")
    assert not path.exists()
    write(path, "c")
    assert names(path) == ["c"]
    assert names(tmp_path) == ["index"]


def _fail_half_way(path):
    with whole_folder(path) as unfinished:
        (unfinished / "b").write_text("half")
        raise OSError("disk full")


def _fail_at_second(replace):
    calls = []

    def failing(source, target):
        calls.append(source)
        if len(calls) == 2:
            raise KeyboardInterrupt
        replace(source, target)

    return failing


def test_git_does_not_see_what_is_half_written(tmp_path, monkeypatch):
    """A run that is killed leaves it beside outputs, in folders whose own .gitignore names the outputs alone."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    asked = ["git", "status", "--porcelain", "--untracked-files=all"]
    with whole_folder(tmp_path / "data/sae/twin") as unfinished:
        (unfinished / "half").touch()
        seen = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert seen == "?? .gitignore\n"
