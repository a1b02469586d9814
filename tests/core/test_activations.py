"""The activation tables give back what was written, by image and not by place."""

import numpy as np
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
    with pytest.raises(SignBridgeError, match=r"no position 'last'\. There are: prompt_last, answer_last, image_mean"):
        activations.read(folder, "layer_00", "last", IDS)


def test_an_image_without_a_row_is_named(folder):
    with pytest.raises(SignBridgeError, match="no row for image 'z'"):
        activations.read(folder, "layer_00", "prompt_last", ["a", "z"])


def test_equal_vectors_give_equal_bytes(folder, tmp_path_factory):
    again = tmp_path_factory.mktemp("again")
    pixels = activations.read(folder, "pixels", "flat", IDS)
    activations.write(again, "pixels", IDS, {"flat": pixels}, {"sites": SITES})
    assert (again / "pixels.parquet").read_bytes() == (folder / "pixels.parquet").read_bytes()
