"""Extraction in batches and shards: what is kept, what is computed again, and what makes no difference."""

import numpy as np
import pytest
import torch

from signbridge.core.errors import SignBridgeError
from signbridge.core.shards import Shard, answers_of, names_of, vectors_of
from signbridge.vlm.extraction import Reader, Work, in_batches
from signbridge.vlm.loading import load
from signbridge.vlm.shard_runs import read_in_shards
from signbridge.vlm.store import stored_dtype
from tests.vlm.conftest import CPU, PROMPT, tiny_random


def same(one, other) -> bool:
    return one.answers == other.answers and all(
        one.vectors[name].tobytes() == other.vectors[name].tobytes() for name in one.vectors
    )


def test_an_images_vectors_do_not_depend_on_what_fills_the_batch(tiny, images):
    reader = Reader(tiny, PROMPT, 5, batch_size=4)
    alone, beside = reader.read(images[:1]), reader.read([images[0], *images[3:6]])
    assert alone.answers[0] == beside.answers[0]
    for name, vectors in alone.vectors.items():
        assert vectors[0].tobytes() == beside.vectors[name][0].tobytes(), name


def test_every_image_comes_back_once_and_in_order(tiny, images):
    whole = Reader(tiny, PROMPT, 3, batch_size=4).read(images)
    assert len(whole.answers) == len(images)
    for index, image in enumerate(images):
        single = Reader(tiny, PROMPT, 3, batch_size=1).read([image])
        ours = whole.vectors["layer_03.prompt_last"][index]
        np.testing.assert_allclose(ours, single.vectors["layer_03.prompt_last"][0], rtol=1e-3, atol=1e-5)


def test_an_images_vectors_do_not_depend_on_how_many_batches_there_are(tiny, images, monkeypatch):
    """However many threads there are: each batch of a run computes with the same number of them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        reader = Reader(tiny, PROMPT, 6, batch_size=2)
        together = reader.read(images)
        one_by_one = [reader.read(images[start : start + 2]) for start in range(0, len(images), 2)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    for name, vectors in together.vectors.items():
        assert vectors.tobytes() == b"".join(shard.vectors[name].tobytes() for shard in one_by_one), name


def test_running_out_of_memory_halves_the_batch_and_loses_nothing(tiny, images, monkeypatch, caplog):
    forward = type(tiny.model).forward

    def small_machine(self, input_ids, **inputs):
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, input_ids=input_ids, **inputs)

    expected = Reader(tiny, PROMPT, 3, batch_size=2).read(images)
    monkeypatch.setattr(type(tiny.model), "forward", small_machine)
    reader = Reader(tiny, PROMPT, 3, batch_size=8)
    assert same(reader.read(images), expected)
    assert reader.batch_size == 2
    assert "going on with batches of 2" in caplog.text


def test_no_memory_for_one_image_is_said(tiny, images, monkeypatch):
    def no_memory(self, **inputs):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(type(tiny.model), "forward", no_memory)
    with pytest.raises(SignBridgeError, match="out of memory with one image"):
        Reader(tiny, PROMPT, 3, batch_size=4).read(images)


def test_only_missing_and_damaged_shards_are_computed_again(tiny, images, tmp_path):
    reader = Reader(tiny, PROMPT, 3, batch_size=2)
    paths = read_in_shards(reader, images, tmp_path, items_per_shard=2)
    assert len(paths) == 3
    before = [path.read_bytes() for path in paths]
    paths[0].unlink()
    damaged = bytearray(before[2])
    damaged[-5] ^= 1
    paths[2].write_bytes(bytes(damaged))
    kept = paths[1].stat()
    assert read_in_shards(reader, images, tmp_path, items_per_shard=2) == paths
    assert [path.read_bytes() for path in paths] == before
    assert (paths[1].stat().st_ino, paths[1].stat().st_mtime_ns) == (kept.st_ino, kept.st_mtime_ns)


def test_a_resumed_run_ends_with_a_full_bar(tiny, images, tmp_path, capsys):
    reader = Reader(tiny, PROMPT, 3, batch_size=2)
    paths = read_in_shards(reader, images, tmp_path, items_per_shard=2)
    paths[1].unlink()
    capsys.readouterr()
    read_in_shards(reader, images, tmp_path, items_per_shard=2)
    assert "6/6" in capsys.readouterr().err.split("\r")[-1]


def test_shards_of_another_batch_size_are_computed_again(tiny, images, tmp_path):
    paths = read_in_shards(Reader(tiny, PROMPT, 3, batch_size=1), images, tmp_path / "one", items_per_shard=2)
    read_in_shards(Reader(tiny, PROMPT, 3, batch_size=2), images, tmp_path / "one", items_per_shard=2)
    others = read_in_shards(Reader(tiny, PROMPT, 3, batch_size=2), images, tmp_path / "two", items_per_shard=2)
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in others]


def test_memory_that_runs_out_late_leaves_no_mixture_of_batch_sizes(tiny, images, tmp_path, monkeypatch):
    forward = type(tiny.model).forward
    passes = []

    def crowded_later(self, input_ids, **inputs):
        passes.append(len(input_ids))
        if len(passes) > 4 and len(input_ids) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, input_ids=input_ids, **inputs)

    expected = read_in_shards(Reader(tiny, PROMPT, 3, batch_size=1), images, tmp_path / "one", items_per_shard=2)
    monkeypatch.setattr(type(tiny.model), "forward", crowded_later)
    mixed = read_in_shards(Reader(tiny, PROMPT, 3, batch_size=2), images, tmp_path / "two", items_per_shard=2)
    assert {1, 2} == set(passes)
    assert [path.read_bytes() for path in mixed] == [path.read_bytes() for path in expected]


def test_shards_together_are_what_one_read_gives(tiny, images, tmp_path):
    reader = Reader(tiny, PROMPT, 3, batch_size=2)
    paths = read_in_shards(reader, images, tmp_path, items_per_shard=4)
    whole = reader.read(images)
    assert answers_of(paths) == whole.answers
    assert names_of(paths[0]) == list(whole.vectors)
    for name, vectors in whole.vectors.items():
        assert vectors_of(paths, name).tobytes() == vectors.tobytes()


def test_sites_are_in_order_of_depth(tiny, images):
    names = list(Reader(tiny, PROMPT, 1, batch_size=2).read(images[:2]).vectors)
    sites = list(dict.fromkeys(name.split(".")[0] for name in names))
    assert sites == ["vision", "projector", "embedding", *(f"layer_{block:02d}" for block in range(9))]


def test_half_precision_is_stored_as_it_is_computed_and_bfloat16_without_loss():
    assert stored_dtype(torch.float16) == torch.float16
    assert stored_dtype(torch.bfloat16) == torch.float32
    assert stored_dtype(torch.float32) == torch.float32


@pytest.fixture
def overflowing(tiny, monkeypatch):
    """The tiny random model, in which block 5 overflows for the images of a second batch of two, from one on."""

    def overflow(number: float, from_image: int) -> None:
        seen = []

        def hook(module, arguments, stream):
            if stream.shape[1] > 1:  # a prompt, not a token fed back
                seen.extend(range(len(stream)))
                stream = stream.clone()
                for row in range(len(stream)):
                    if len(seen) - len(stream) + row >= from_image:
                        stream[row] = number
            return stream

        handles.append(tiny.parts.blocks[5].register_forward_hook(hook))

    handles = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one batch after another
    yield overflow
    torch.set_num_threads(threads)
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_end_the_run_at_the_first_shard(tiny, images, tmp_path, overflowing, number):
    overflowing(number, from_image=3)
    reader = Reader(tiny, PROMPT, 2, batch_size=2)
    with pytest.raises(SignBridgeError) as stopped:
        read_in_shards(reader, images, tmp_path, items_per_shard=2)
    message = str(stopped.value)
    assert message.startswith("layer_05.")
    assert "for image number 3 (counted from 0)." in message
    assert "float32" in message
    assert "weights are damaged" in message
    assert [path.name for path in tmp_path.iterdir()] == ["shard-0000.safetensors"], "the shards before it are kept"


def test_a_model_in_half_precision_is_told_what_to_try(model_scratch, images, tmp_path):
    half = load(tiny_random(dtype="float16"), model_scratch, CPU)
    with torch.no_grad():
        half.parts.blocks[2].mlp.down_proj.weight.fill_(6e4)
    with pytest.raises(SignBridgeError, match=r"^layer_02\.\w+: not finite .*float16.*Try dtype bfloat16 or float32"):
        Reader(half, PROMPT, 2, batch_size=2).read(images)


def test_other_work_is_looked_at_as_well_and_integers_pass(tiny, images):
    reader = Reader(tiny, PROMPT, 2, batch_size=2)

    def rows(numbers):
        def read(batch, keep: int) -> Shard:
            return Shard({"count": np.arange(keep), "tokens": np.array(numbers, np.float32)}, [""] * keep)

        return Work(read, lambda batch: batch, in_batches)

    assert reader.read(images[:2], rows([1, 2, 3])).vectors["tokens"].tolist() == [1, 2, 3]
    with pytest.raises(
        SignBridgeError, match=r"tokens: not finite \(nan, float32\) for row of image 2 and those after"
    ):
        reader.read(images[:4], Work(*rows([1, np.nan, 3])[:2], lambda items, most: [items]), numbers=range(2, 6))
