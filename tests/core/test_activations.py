"""The activation tables give back what was written, by image and not by place."""

import platform
import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from signbridge.core import activations, tables
from signbridge.core.errors import SignBridgeError

SITES = ["pixels", "vision", "layer_00"]
IDS = ["a", "b", "c"]


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    made_by = {"sites": SITES}
    activations.write(tmp_path, "pixels", IDS, {"flat": generator.random((3, 4), dtype=np.float32)}, made_by)
    vectors = {position: generator.random((3, 5)).astype(np.float16) for position in ("prompt_last", "image_mean")}
    activations.write(tmp_path, "layer_00", IDS, vectors, made_by)
    return tmp_path


def test_vectors_come_back_in_the_order_that_is_asked_for(folder):
    forward = activations.read(folder, "layer_00", "image_mean", IDS)
    assert forward.dtype == np.float32
    assert forward.shape == (3, 5)
    np.testing.assert_array_equal(activations.read(folder, "layer_00", "image_mean", ["c", "a"]), forward[[2, 0]])


def test_positions_are_kept_apart(folder):
    last = activations.read(folder, "layer_00", "prompt_last", IDS)
    assert not np.array_equal(last, activations.read(folder, "layer_00", "image_mean", IDS))


def test_half_precision_is_stored_as_half_precision(folder):
    vector = tables.read_arrow(folder / "layer_00.parquet").schema.field("vector").type
    assert str(vector.value_type) == "halffloat"
    assert vector.list_size == 5


def test_the_sites_of_a_run_come_from_the_table_and_not_from_the_folder(folder):
    (folder / "layer_99.parquet").write_bytes(b"left over")
    assert activations.sites(folder) == SITES


def test_an_unknown_position_is_refused_with_those_there_are(folder):
    with pytest.raises(SignBridgeError, match=r"no position 'last'\. There are: prompt_last, image_mean"):
        activations.read(folder, "layer_00", "last", IDS)


def test_an_image_without_a_row_is_named(folder):
    with pytest.raises(SignBridgeError, match="no row for image 'z'"):
        activations.read(folder, "layer_00", "prompt_last", ["a", "z"])


def test_equal_vectors_give_equal_bytes(folder, tmp_path_factory):
    again = tmp_path_factory.mktemp("again")
    pixels = activations.read(folder, "pixels", "flat", IDS)
    activations.write(again, "pixels", IDS, {"flat": pixels}, {"sites": SITES})
    assert (again / "pixels.parquet").read_bytes() == (folder / "pixels.parquet").read_bytes()


MANY = [f"image-{number:02d}" for number in range(10)]


@pytest.fixture
def in_parts(tmp_path, monkeypatch):
    """Ten images in parts of four, their vectors, and the same in one file."""
    vectors = {"prompt_last": np.random.default_rng(0).random((10, 3)).astype(np.float16)}
    vectors["image_mean"] = -vectors["prompt_last"]
    activations.write(tmp_path / "one", "layer_00", MANY, vectors, {"sites": ["layer_00"]})
    monkeypatch.setattr(activations, "PART_IMAGES", 4)
    parts = {position: activations.Rows(lambda start, stop, of=of: of[start:stop]) for position, of in vectors.items()}
    activations.write(tmp_path / "parts", "layer_00", MANY, parts, {"sites": ["layer_00"]})
    return tmp_path


def test_many_images_lie_in_parts_which_are_read_as_one_file_is(in_parts):
    files = sorted(file.name for file in (in_parts / "parts/layer_00").iterdir())
    assert files == ["_index.json", "part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    asked = [MANY[row] for row in (7, 1, 9, 1)]
    for position in ("prompt_last", "image_mean"):
        one, parts = (activations.read(in_parts / kind, "layer_00", position, asked) for kind in ("one", "parts"))
        np.testing.assert_array_equal(parts, one)
    assert activations.image_ids(in_parts / "parts", "layer_00") == MANY
    assert activations.positions_in(in_parts / "parts", "layer_00") == ["prompt_last", "image_mean"]
    assert activations.made_by(in_parts / "parts", "layer_00") == {"sites": ["layer_00"]}


def test_a_part_that_is_missing_or_another_is_named(in_parts):
    folder = in_parts / "parts"
    activations.check_digests(folder, "layer_00")
    part = folder / "layer_00/part-00001.parquet"
    activations.write(folder, "other", MANY[4:8], {"prompt_last": np.ones((4, 3), np.float16)}, {"sites": []})
    (folder / "other.parquet").replace(part)  # of as many images
    with pytest.raises(SignBridgeError, match=r"part-00001\.parquet: not the bytes that .*_index\.json names"):
        activations.check_digests(folder, "layer_00")
    activations.write(folder, "other", MANY[4:7], {"prompt_last": np.ones((3, 3), np.float16)}, {"sites": []})
    (folder / "other.parquet").replace(part)
    with pytest.raises(SignBridgeError, match=r"part-00001\.parquet: 3 images, .*_index\.json says 4"):
        activations.read(folder, "layer_00", "prompt_last", MANY)
    part.unlink()
    with pytest.raises(SignBridgeError, match=r"part-00001\.parquet: no such table"):
        activations.read(folder, "layer_00", "prompt_last", MANY)


def test_other_readers_open_a_folder_of_parts(in_parts):
    table = pd.read_parquet(in_parts / "parts/layer_00")
    assert len(table) == 20
    last = table[table["position"] == "prompt_last"]
    assert last["image_id"].tolist() == MANY
    np.testing.assert_array_equal(
        np.stack(last["vector"]), activations.read(in_parts / "one", "layer_00", "prompt_last", MANY)
    )


def test_a_part_of_one_position_is_in_memory_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(activations, "PART_IMAGES", 100)
    ids, largest = [str(number) for number in range(400)], 0

    def zeros(start, stop):
        nonlocal largest
        largest = max(largest, stop - start)
        return np.zeros((stop - start, 2000), np.float32)

    activations.write(tmp_path, "layer_00", ids, {"prompt_last": activations.Rows(zeros)}, {"sites": ["layer_00"]})
    assert largest == 100
    monkeypatch.setattr(activations, "ROWS_TOGETHER", 20)
    tracemalloc.start()
    vectors = activations.read(tmp_path, "layer_00", "prompt_last", ids)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < vectors.nbytes + 40 * 2000 * 4 + 2**18  # two batches of rows beside what is returned


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["polars", "duckdb", "datasets"])
def test_readers_of_other_makers_open_the_parts(in_parts, reader, monkeypatch):
    """Those that are not installed fail here: `make test-slow` installs them."""
    parts = str(in_parts / "parts/layer_00/*.parquet")
    if reader == "polars":
        import polars

        table = polars.read_parquet(parts).filter(polars.col("position") == "prompt_last")
        ids, vectors = table["image_id"].to_list(), table["vector"].to_numpy()
    elif reader == "duckdb":
        import duckdb

        rows = duckdb.sql(f"select image_id, vector from '{parts}' where position = 'prompt_last'").fetchall()
        ids, vectors = [row[0] for row in rows], np.array([row[1] for row in rows])
    else:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        import datasets

        files = sorted(map(str, (in_parts / "parts/layer_00").glob("*.parquet")))
        table = datasets.Dataset.from_parquet(files, cache_dir=str(in_parts / "cache"))
        table = table.filter(lambda row: row["position"] == "prompt_last")
        ids, vectors = table["image_id"], np.array(table["vector"])
    assert list(ids) == MANY
    np.testing.assert_array_equal(vectors, activations.read(in_parts / "one", "layer_00", "prompt_last", MANY))


KILLED = """
import os, signal, sys
from pathlib import Path
from signbridge.core import activations
activations.SCRATCH = Path(sys.argv[1]) / "scratch"
activations.read(Path(sys.argv[1]), "layer_00", "prompt_last", ["a", "b"], most_bytes=0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_vectors_that_a_killed_process_left_on_disk_are_deleted_and_those_of_others_stay(folder, monkeypatch):
    monkeypatch.setattr(activations, "SCRATCH", folder / "scratch")
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)])
    process.wait()
    [left] = (folder / "scratch/vectors").iterdir()
    assert left.name.startswith("layer_00-prompt_last-")
    assert left.name.endswith(f"@{platform.node()}@{process.pid}")
    elsewhere = left.with_name(f"layer_00-prompt_last-x@another-machine@{process.pid}")
    elsewhere.touch()
    own = activations.read(folder, "layer_00", "prompt_last", IDS, most_bytes=0)
    activations.discard_orphans()
    assert not left.exists()
    assert elsewhere.exists()
    np.testing.assert_array_equal(own, activations.read(folder, "layer_00", "prompt_last", IDS))
    activations.let_go(own)
    np.testing.assert_array_equal(own, activations.read(folder, "layer_00", "prompt_last", IDS))
    activations.discard(own)
    assert list((folder / "scratch/vectors").iterdir()) == [elsewhere]
