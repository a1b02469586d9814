"""A shard is whole or it is not there."""

import numpy as np
import pytest

from signbridge.core.shards import (
    Shard,
    answers_of,
    is_whole,
    made_with,
    names_of,
    vectors_of,
    write_shard,
)

SHARD = Shard(
    {"vision.image_mean": np.eye(2, dtype=np.float16), "layer_00.prompt_last": np.ones((2, 3))},
    ["a", "ü\n"],
    "batches of 2",
)


def test_a_shard_comes_back_as_it_was_written(tmp_path):
    path = tmp_path / "folder" / "shard-0000.safetensors"
    write_shard(path, SHARD)
    assert is_whole(path)
    assert names_of(path) == list(SHARD.vectors)
    assert made_with(path) == "batches of 2"
    assert answers_of([path, path]) == SHARD.answers * 2
    for name, vectors in SHARD.vectors.items():
        assert vectors_of([path], name).tobytes() == vectors.tobytes()


def test_equal_shards_are_equal_bytes(tmp_path):
    for name in ("one", "two"):
        write_shard(tmp_path / name, SHARD)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_missing_shard_is_not_whole(tmp_path):
    assert not is_whole(tmp_path / "shard-0000.safetensors")


def test_any_changed_byte_is_found(tmp_path):
    path = tmp_path / "shard"
    write_shard(path, SHARD)
    written = path.read_bytes()
    for place in range(8, len(written)):
        damaged = bytearray(written)
        damaged[place] ^= 0x01
        path.write_bytes(bytes(damaged))
        if is_whole(path):  # a changed blank of the header's padding changes nothing that is read
            assert written[place : place + 1] == b" "
    path.write_bytes(written)
    assert is_whole(path)


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_a_truncated_shard_is_not_whole(tmp_path, length):
    path = tmp_path / "shard"
    write_shard(path, SHARD)
    path.write_bytes(path.read_bytes()[:length])
    assert not is_whole(path)
