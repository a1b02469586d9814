"""Packing part by part gives the bytes of packing at once; what it saves is in docs/gpu.md."""

from functools import wraps

import pytest
import torch

from signbridge.vlm import nf4
from signbridge.vlm.loading import load
from tests.vlm.conftest import CPU, tiny_random

PARTS = 64 * 256


@pytest.fixture(autouse=True)
def bitsandbytes_is_there():
    nf4.quantization_of("nf4", torch.float16)


def packed(weights: torch.Tensor, compress: bool = True):
    from bitsandbytes.functional import quantize_4bit

    return quantize_4bit(weights, blocksize=64, compress_statistics=compress, quant_type="nf4")


def drawn(values: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(values, generator=torch.Generator().manual_seed(values)).to(dtype)


def bytes_of(weights: torch.Tensor, state) -> dict[str, bytes]:
    tensors = {"weights": weights, **state.as_dict(packed=True)}
    return {name: one.contiguous().view(torch.uint8).numpy().tobytes() for name, one in tensors.items()}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("values", [PARTS, 2 * PARTS, 3 * PARTS + 64, 3 * PARTS + 6])
@pytest.mark.parametrize("compress", [True, False])
def test_packed_in_parts_a_matrix_has_the_bytes_of_one_packed_at_once(monkeypatch, dtype, values, compress):
    monkeypatch.setattr(nf4, "PACKED_AT_ONCE", PARTS)
    weights = drawn(values, dtype).view(2, -1)
    expected = bytes_of(*packed(weights, compress))
    with nf4.packing_in_parts():
        assert bytes_of(*packed(weights, compress)) == expected


def test_a_model_and_its_twin_are_packed_in_parts_as_they_are_loaded(monkeypatch, model_scratch):
    from bitsandbytes import functional

    largest, library = [], functional.quantize_4bit

    @wraps(library)
    def watched(weights, *args, **how):
        largest.append(weights.numel())
        return library(weights, *args, **how)

    monkeypatch.setattr(functional, "quantize_4bit", watched)
    monkeypatch.setattr(nf4, "PACKED_AT_ONCE", PARTS)
    for twin_seed in (None, 0):
        load(tiny_random(quantization="nf4", dequantize="never"), model_scratch, CPU, twin_seed)
        assert max(largest) == PARTS
        largest.clear()
    assert functional.quantize_4bit is watched, "afterwards the library's own way is back"
