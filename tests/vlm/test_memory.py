"""What is counted for an image is what it takes; whatever says that memory ran out is known, and answered."""

import importlib
import os

import bitsandbytes
import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText

import stages
from benchmarks.live_memory import LiveMemory
from benchmarks.llava_shape import llava_1_5_7b_config
from signbridge.core.errors import SignBridgeError, is_out_of_memory
from signbridge.vlm import memory, nf4
from signbridge.vlm.answering import read_and_answer
from signbridge.vlm.extraction import Reader, sites_and_answers
from signbridge.vlm.loading import expand_nf4, load
from signbridge.vlm.memory import expanded_matrix_bytes, fitting_batch, halving, image_bytes
from tests.vlm.conftest import CPU, PROMPT, tiny_random, within_budget

GIB = 2**30


@pytest.mark.parametrize("answer", [1, 20])
def test_what_is_counted_for_an_image_is_what_reading_it_takes_at_its_peak(tiny, images, answer):
    inputs = Reader(tiny, PROMPT, answer, batch_size=3).prepare(images[:3])
    with torch.inference_mode(), LiveMemory() as counted:
        read_and_answer(tiny.model, tiny.parts, inputs, answer, end_tokens=[])
    estimate = image_bytes(tiny.model.config, inputs["input_ids"].shape[1], answer, tiny.model.dtype.itemsize)
    assert 1 <= 3 * estimate / counted.peak < 1.1


def test_a_packed_matrix_that_is_expanded_to_be_multiplied_is_counted(model_scratch, images):
    packed = load(tiny_random(quantization="nf4", dequantize="never", dtype="float16"), model_scratch, CPU)
    inputs = Reader(packed, PROMPT, 1, batch_size=1).to_device(Reader(packed, PROMPT, 1, 1).prepare(images[:1]))
    with torch.inference_mode(), LiveMemory() as counted:
        read_and_answer(packed.model, packed.parts, inputs, 1, end_tokens=[])
    of_image = image_bytes(packed.model.config, inputs["input_ids"].shape[1], 1, 2)
    assert 1 <= (of_image + expanded_matrix_bytes(packed.model)) / counted.peak < 1.25
    assert expanded_matrix_bytes(packed.model) == 320 * 864 * 2


def llava_on(total: int) -> tuple[int, int, bool]:
    """Of LLaVA-1.5-7B in NF4 on a card with `total` bytes: bytes of weights, images in the first batch, expanded?"""
    with torch.device("meta"):
        config = llava_1_5_7b_config()
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.float16, trust_remote_code=False)
    expanded = model.get_memory_footprint()
    linear = [layer for name, layer in model.named_modules() if type(layer) is torch.nn.Linear and name != "lm_head"]
    saved = sum(layer.weight.numel() for layer in linear) * (2 - 0.5 - 0.016)
    fits = nf4.room_for_expanded(expanded, total)
    weights = int(expanded if fits else expanded - saved)
    of_image = image_bytes(model.config, 602, 20, 2)
    return weights, fitting_batch("cuda", total - weights, of_image) * of_image, fits


@pytest.mark.parametrize(
    ("card", "total", "images", "expanded"),
    [
        ("T4", 14.6, 16, False),
        ("RTX 4090", 23.6, 32, False),
        ("L4", 22.0, 32, False),
        ("RTX 5090", 31.3, 32, True),
        ("A100", 79.2, 64, True),
    ],
)
def test_the_first_batch_of_llava_fits_on_cards_of_16_24_32_and_80_gb(card, total, images, expanded):
    weights, batch, fits = llava_on(int(total * GIB))
    assert fits == expanded
    assert weights + batch < 0.9 * total * GIB, "a tenth is left for CUDA itself and what is not counted"
    assert batch / image_bytes(llava_1_5_7b_config(), 602, 20, 2) == images


def test_packed_or_expanded_follows_the_size_of_the_memory_and_not_what_is_free(model_scratch, monkeypatch):
    model = load(tiny_random(quantization="nf4", dequantize="never"), model_scratch, CPU).model
    monkeypatch.setattr(memory, "free_bytes", lambda device: pytest.fail("what is free differs from stage to stage"))
    for total, fits in ((16 * GIB, True), (7 * GIB, False)):
        monkeypatch.setattr(nf4, "all_bytes", lambda device, total=total: total)
        assert nf4.expanded_weights_fit(model, CPU) is fits


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (MemoryError("Unable to allocate 8.00 GiB for an array"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_whatever_says_that_memory_ran_out_halves_and_nothing_else_does(error, known):
    assert is_out_of_memory(error) is known
    tried = []

    def work(size: int) -> int:
        tried.append(size)
        if size > 2:
            raise error
        return 10 * size

    if known:
        assert halving(work, 4, CPU, "one", "Free some.") == (20, 2)
        assert tried == [4, 2]
    else:
        with pytest.raises(type(error)):
            halving(work, 4, CPU, "one", "Free some.")
        assert tried == [4]


def test_what_a_failed_try_held_is_free_when_the_next_one_begins():
    def work(size: int) -> int:
        return len(torch.ones(100 * size)) // 100

    with LiveMemory(budget=1000) as memory_left:
        assert halving(work, 8, CPU, "one", "Free some.") == (2, 2)
    assert memory_left.live == 0


def test_reading_in_less_memory_gives_what_smaller_batches_give(tiny, images):
    peaks = {}
    for size in (2, 4):
        with torch.inference_mode(), LiveMemory() as counted:
            read_and_answer(tiny.model, tiny.parts, Reader(tiny, PROMPT, 3, size).prepare(images[:size]), 3, [])
        peaks[size] = counted.peak
    reader = Reader(tiny, PROMPT, 3, batch_size=4)
    found = reader.read(images, within_budget(sites_and_answers(reader), (peaks[2] + peaks[4]) / 2))
    assert reader.batch_size == 2
    expected = Reader(tiny, PROMPT, 3, batch_size=2).read(images)
    assert found.answers == expected.answers
    for name, vectors in expected.vectors.items():
        np.testing.assert_array_equal(found.vectors[name], vectors)


def test_running_out_of_memory_while_weights_are_expanded_is_said(model_scratch):
    packed = load(tiny_random(quantization="nf4", dequantize="never"), model_scratch, CPU)
    with LiveMemory(budget=10_000), pytest.raises(SignBridgeError) as refused:
        expand_nf4(packed, "always")
    assert str(refused.value) == (
        "cpu: out of memory while expanding the NF4 weights. "
        "Free some, or set dequantize: never for this model in models.yaml."
    )


def test_packed_weights_multiply_as_expanded_ones_however_many_rows_there_are(model_scratch, monkeypatch):
    packed = load(tiny_random(quantization="nf4", dequantize="never", dtype="float16"), model_scratch, CPU)
    stream = torch.randn(40, 320, generator=torch.Generator().manual_seed(0)).half()
    with torch.inference_mode():
        monkeypatch.setattr(bitsandbytes, "matmul_4bit", lambda *args, **kwargs: pytest.fail("a fused kernel"))
        from_packed = [packed.parts.blocks[0].mlp(stream[:rows]) for rows in (1, 40)]
        expanded = expand_nf4(packed, "always").parts.blocks[0].mlp
        assert all(torch.equal(found, expanded(stream[: len(found)])) for found in from_packed)


@pytest.mark.parametrize("name", ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"])
def test_a_gpus_memory_grows_in_place_unless_the_environment_says_how(monkeypatch, name):
    monkeypatch.delenv("PYTORCH_ALLOC_CONF", raising=False)
    monkeypatch.delenv("PYTORCH_CUDA_ALLOC_CONF", raising=False)
    importlib.reload(stages)
    assert os.environ["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
    monkeypatch.delenv("PYTORCH_ALLOC_CONF")
    monkeypatch.setenv(name, "max_split_size_mb:128")
    importlib.reload(stages)
    assert os.environ.get("PYTORCH_ALLOC_CONF", "max_split_size_mb:128") == "max_split_size_mb:128"
