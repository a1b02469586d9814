"""A file is there whole or not at all."""

import pytest

from signbridge.core.tables import whole_file


def test_a_file_appears_when_it_is_finished_with_its_folder(tmp_path):
    path = tmp_path / "plots" / "curve.csv"
    with whole_file(path) as unfinished:
        unfinished.write_text("half")
        assert not path.exists()
        unfinished.write_text("whole")
    assert path.read_text() == "whole"
    assert [file.name for file in path.parent.iterdir()] == ["curve.csv"]


def test_a_writer_that_fails_leaves_the_earlier_file_as_it_was(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text("earlier")
    with pytest.raises(OSError, match="disk full"):
        _fail_half_way(path)
    assert path.read_text() == "earlier"


def _fail_half_way(path):
    with whole_file(path) as unfinished:
        unfinished.write_text("half")
        raise OSError("disk full")
