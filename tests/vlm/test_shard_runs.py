"""Shards that several runs or processes make are those of one: the same bytes, and nothing is written too early."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from signbridge.core import scratch, tables
from signbridge.core.errors import PartDone, SignBridgeError
from signbridge.core.scratch import PART, Part, part_of_environment
from signbridge.vlm import shard_runs
from signbridge.vlm.extraction import Reader
from signbridge.vlm.shard_runs import read_in_shards
from tests.conftest import ROOT
from tests.vlm.conftest import PROMPT


@pytest.fixture
def reader(tiny) -> Reader:
    """Of the tiny random model, one image at a time."""
    return Reader(tiny, PROMPT, 2, 1)


@pytest.fixture
def images() -> list[Image.Image]:
    """Nine images, the seventh like the first and the last like the third."""
    pixels = np.random.default_rng(0).integers(0, 256, (7, 28, 28, 3), dtype=np.uint8)
    return [Image.fromarray(pixels[row]) for row in (0, 1, 2, 3, 4, 5, 0, 6, 2)]


def read(reader: Reader, images: list, folder: Path, **how) -> dict[str, bytes]:
    """The bytes of each shard of two images."""
    return {path.name: path.read_bytes() for path in read_in_shards(reader, images, folder, 2, **how)}


def test_parts_make_the_bytes_of_one_run_and_the_last_run_finds_them(reader, images, tmp_path, monkeypatch):
    monkeypatch.setattr(scratch, "SCRATCH", tmp_path)
    whole = read(reader, images, tmp_path / "whole")
    assert len(whole) == 4
    for number in (1, 3):
        monkeypatch.setenv(PART, f"{number}/3")
        with pytest.raises(PartDone, match=rf"extract: part {number}/3 is done, . of 4 shards are still to be made"):
            read(reader, images, tmp_path / "parts")
    there = {path.name for path in (tmp_path / "parts").iterdir()}
    assert there < set(whole)  # the second part is missing
    monkeypatch.delenv(PART)
    made = []
    monkeypatch.setattr("signbridge.vlm.shard_runs.write_shard", counting(made))
    assert read(reader, images, tmp_path / "parts") == whole
    assert set(made) == set(whole) - there


def counting(made: list[str]):
    """`write_shard`, which notes what it wrote."""
    from signbridge.core.shards import write_shard

    def write(path, shard):
        made.append(path.name)
        write_shard(path, shard)

    return write


def test_a_part_makes_no_shard_that_holds_copies_of_what_another_is_still_to_read(
    reader, images, tmp_path, monkeypatch
):
    monkeypatch.setenv(PART, "4/4")
    with pytest.raises(PartDone):  # the last shard has an image of the second
        read(reader, images, tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_run_of_a_part_writes_no_table(tmp_path, monkeypatch):
    monkeypatch.setenv(PART, "1/2")
    monkeypatch.setattr(scratch, "SCRATCH", tmp_path / "scratch")
    tables.write_json(tmp_path / "scratch/stage/found.json", {})
    with pytest.raises(PartDone, match="part 1/2: all shards are there"):
        tables.write_json(tmp_path / "data/found.json", {})
    with pytest.raises(PartDone), tables.whole_folder(tmp_path / "data/found"):
        pass
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("said", ["0/3", "4/3", "a/3", "3", "1/0"])
def test_what_names_no_part_is_refused(said, monkeypatch):
    monkeypatch.setenv(PART, said)
    with pytest.raises(SignBridgeError, match=rf"{PART}={said}: expected a part .* counted from 1: 3/16"):
        part_of_environment()


def test_every_shard_is_in_one_part():
    for shard in range(10):
        assert sum(Part(number, 3).has(shard) for number in (1, 2, 3)) == 1


def test_work_is_sent_without_its_model_and_makes_the_same_bytes_on_another(tmp_path):
    """Shards are made in another order, by another model of the same weights: `shipped_works.py`."""
    command = [sys.executable, "-m", "tests.vlm.shipped_works", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    *works, shards = (line.split() for line in done.stdout.splitlines())
    assert [name for name, *_ in works] == ["sites", "letters", "patches", "patching"]
    for name, sent, weights, same in works:
        assert same == "True", name
        assert int(sent) < int(weights) / 100, name
    assert shards == ["shards", "4", "4", "True"]


def test_a_first_run_speaks_of_no_shards_and_one_that_goes_on_says_how_many_are_there(
    reader, images, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(shard_runs.log, "info", lambda message, *of: print(message % of, file=sys.stderr))
    read(reader, images, tmp_path)
    said = capsys.readouterr().err
    assert "shards" not in said
    assert said.startswith("reading on cpu"), "and no bar is drawn before it"
    assert "extract: 100%" in said
    next(tmp_path.iterdir()).unlink()
    read(reader, images, tmp_path)
    assert capsys.readouterr().err.startswith("3 of 4 shards already there\n")
