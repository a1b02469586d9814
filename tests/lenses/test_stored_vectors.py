"""What is stored comes back as unit vectors, in the blocks that are asked for, or not at all."""

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from signbridge.core.errors import SignBridgeError
from signbridge.lenses import stored_vectors as of_stored_vectors
from signbridge.lenses.stored_vectors import StoredVectors, _as_float16, write

ROWS, WIDTH = 150, 67  # a width that no alignment divides


def vectors(seed: int = 0) -> np.ndarray:
    """Rows of very different lengths, some with one entry far above the others as residual streams have it."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(ROWS, WIDTH)) * 10 ** generator.uniform(-6, 6, (ROWS, 1))
    rows[::7, 5] *= 50
    return rows.astype(np.float32)


def written(path, rows, storage="float8", batch=40) -> StoredVectors:
    write(path, (rows[start : start + batch] for start in range(0, len(rows), batch)), *rows.shape, storage)
    return StoredVectors.open(path)


@pytest.mark.parametrize(("storage", "at_most"), [("float8", 0.03), ("float16", 3e-4)])
def test_stored_vectors_come_back_as_unit_vectors_that_point_the_same_way(tmp_path, storage, at_most):
    rows = vectors()
    stored = written(tmp_path / "layer", rows, storage)
    assert (stored.rows, stored.width) == rows.shape
    back = stored.block(0, ROWS, "cpu").numpy()
    np.testing.assert_allclose(np.linalg.norm(back, axis=1), 1, atol=1e-6)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert np.linalg.norm(back - unit, axis=1).max() < at_most


def test_an_entry_is_rounded_by_a_sixteenth_of_itself_at_most_or_to_the_smallest_step(tmp_path):
    rows = vectors()
    back = written(tmp_path / "layer", rows).block(0, ROWS, "cpu").numpy()
    wanted = rows / np.abs(rows).max(1, keepdims=True)
    got = back / np.abs(back).max(1, keepdims=True)
    assert (np.abs(got - wanted) <= np.abs(wanted) / 16 + 2**-10 / 448 + 1e-6).all()


@pytest.mark.parametrize("storage", ["float8", "float16"])
def test_a_block_is_that_part_of_the_whole(tmp_path, storage):
    stored = written(tmp_path / "layer", vectors(), storage)
    whole = stored.block(0, ROWS, "cpu")
    for start, stop in [(0, 1), (1, 100), (63, 129), (149, 150), (7, 7)]:
        assert torch.equal(stored.block(start, stop, "cpu"), whole[start:stop])
        room = torch.full((stop - start, WIDTH), torch.nan)
        assert stored.block(start, stop, "cpu", out=room) is room
        assert torch.equal(room, whole[start:stop])


def test_the_cut_into_batches_changes_no_byte(tmp_path):
    for batch in (1, 40, ROWS):
        written(tmp_path / str(batch), vectors(), batch=batch)
    assert len({(tmp_path / str(batch)).read_bytes() for batch in (1, 40, ROWS)}) == 1


def test_the_file_is_one_that_safetensors_reads(tmp_path):
    written(tmp_path / "layer", vectors())
    with safe_open(tmp_path / "layer", framework="pt") as file:
        stored, scale = file.get_tensor("vectors"), file.get_tensor("scale")
    assert (stored.dtype, tuple(stored.shape), scale.dtype) == (torch.float8_e4m3fn, (ROWS, WIDTH), torch.float32)
    assert (stored.float().abs().amax(1) == 448).all()
    torch.testing.assert_close(scale * torch.linalg.vector_norm(stored.float(), dim=1), torch.ones(ROWS))


def test_every_float8_number_is_expanded_to_a_256th_of_itself():
    every = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn)[None]
    number = ~every.float().isnan()
    assert torch.equal(_as_float16(every).float()[number] * 256, every.float()[number])


def test_a_vector_of_zeros_stays_one(tmp_path):
    rows = vectors()
    rows[3] = 0
    block = written(tmp_path / "layer", rows).block(2, 5, "cpu")
    assert (block[1] == 0).all()
    assert block.isfinite().all()


def test_no_rows_are_no_error(tmp_path):
    stored = written(tmp_path / "layer", np.empty((0, WIDTH), np.float32))
    assert stored.block(0, 0, "cpu").shape == (0, WIDTH)


@pytest.mark.parametrize("storage", ["float8", "float16"])
def test_rows_of_another_file_are_copied_bit_by_bit_between_new_ones(tmp_path, storage, monkeypatch):
    monkeypatch.setattr(of_stored_vectors, "_ROWS_COPIED", 16)
    rows = vectors()
    rows[20] = 0
    old = written(tmp_path / "old", rows, storage)
    wanted = np.flatnonzero(np.arange(ROWS) % 7 < 3)
    copied = list(old.stored_rows(wanted))
    assert max(len(part.stored) for part in copied) <= 16
    batches = [rows[:5], *copied, rows[100:]]
    count = 5 + len(wanted) + ROWS - 100
    write(tmp_path / "new", batches, count, WIDTH, storage)
    written(tmp_path / "whole", np.concatenate([rows[:5], rows[wanted], rows[100:]]), storage)
    assert (tmp_path / "new").read_bytes() == (tmp_path / "whole").read_bytes()


def test_rows_that_are_stored_otherwise_are_not_copied(tmp_path):
    old = written(tmp_path / "old", vectors(), "float16")
    with pytest.raises(ValueError, match="float16"):
        write(tmp_path / "new", old.stored_rows(np.arange(ROWS)), ROWS, WIDTH, "float8")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_vector_that_is_not_finite_is_named_and_nothing_is_left_behind(tmp_path, bad):
    rows = vectors()
    rows[61, 4] = bad
    with pytest.raises(SignBridgeError, match="Text vector 61 is not finite"):
        written(tmp_path / "layer", rows)
    assert not (tmp_path / "layer").exists()


@pytest.mark.parametrize(("rows", "width"), [(ROWS - 1, WIDTH), (ROWS + 1, WIDTH), (ROWS, WIDTH + 1)])
def test_other_rows_than_announced_are_not_written(tmp_path, rows, width):
    with pytest.raises(ValueError, match="announced"):
        write(tmp_path / "layer", iter([vectors()]), rows, width, "float8")
    assert not (tmp_path / "layer").exists()


def test_a_missing_file_says_how_to_get_it(tmp_path):
    with pytest.raises(SignBridgeError, match="no such text vectors"):
        StoredVectors.open(tmp_path / "layer")


@pytest.mark.parametrize("keep", [0, 5, 60, 500, -1])
def test_a_truncated_file_is_named_with_what_to_do(tmp_path, keep):
    written(tmp_path / "layer", vectors())
    (tmp_path / "layer").write_bytes((tmp_path / "layer").read_bytes()[:keep])
    with pytest.raises(SignBridgeError, match=r"layer: no readable text vectors .*dvc repro"):
        StoredVectors.open(tmp_path / "layer")


@pytest.mark.parametrize(
    "tensors",
    [
        {"vectors": torch.ones(3, 4)},
        {"vectors": torch.ones(3, 4), "scale": torch.ones(3)},
        {"vectors": torch.ones(3, 4).half(), "scale": torch.ones(4)},
        {"vectors": torch.ones(3).half(), "scale": torch.ones(3)},
    ],
)
def test_another_safetensors_file_is_not_taken_for_text_vectors(tmp_path, tensors):
    save_file(tensors, tmp_path / "layer")
    with pytest.raises(SignBridgeError, match="text vectors"):
        StoredVectors.open(tmp_path / "layer")
