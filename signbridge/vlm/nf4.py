"""Weights that bitsandbytes packs to 4 bits each (NF4), as LLaVA-1.5-7B is read by default."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText, BitsAndBytesConfig, PreTrainedModel

from signbridge.core.errors import SignBridgeError
from signbridge.vlm.catalog import Model
from signbridge.vlm.families import parts_of
from signbridge.vlm.library_errors import said_of_files
from signbridge.vlm.memory import SHARE_USED, all_bytes

log = logging.getLogger(__name__)

# Weights that a processor packs at once, of which bitsandbytes' temporaries take 20 bytes each: whole blocks of 64, and
# 256 of those, which share a scale of the scales.
PACKED_AT_ONCE = 2**22

# What expanded weights must leave for activations and the key-value cache of a good batch: 16 images of LLaVA-1.5-7B.
BYTES_BESIDE_EXPANDED_WEIGHTS = 6 * 2**30


def quantization_of(
    wanted: Literal["none", "nf4"], dtype: torch.dtype, skipped: list[str] | None = None
) -> BitsAndBytesConfig | None:
    """How Transformers is told to pack weights; `dtype` is what is computed in. Modules in `skipped` are left as is.

    Without `skipped` the library itself leaves out the unembedding; with it, only what it names.

    Raises `SignBridgeError` if bitsandbytes is missing.
    """
    if wanted == "none":
        return None
    try:
        with without_kernels():
            import bitsandbytes  # noqa: F401
    except ImportError:
        raise SignBridgeError(
            "quantization nf4 needs bitsandbytes: pip install 'signbridge[gpu]', or set it to none."
        ) from None
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=skipped,
    )


def quantization_for(entry: Model, folder: Path) -> BitsAndBytesConfig | None:
    """How the weights in `folder` are packed for an entry of the catalog; raises as `quantization_of` does."""
    skipped = outside_decoder(folder) if entry.quantization == "nf4" and entry.quantize == "decoder" else None
    return quantization_of(entry.quantization, getattr(torch, entry.dtype), skipped)


def outside_decoder(folder: Path) -> list[str]:
    """What `quantize: decoder` leaves in 16 bits of the model in `folder`: tower, projector, unembedding, by name.

    bitsandbytes compares each with the start of a module's name, up to a dot.
    """
    with said_of_files(folder), torch.device("meta"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = AutoModelForImageTextToText.from_config(config, trust_remote_code=False)
    return modules_beside(model, in_decoder(model))


def in_decoder(model: PreTrainedModel) -> str:
    """The name of the module that holds the decoder blocks: `model.language_model.layers`."""
    first = parts_of(model).blocks[0]
    [name] = [name for name, module in model.named_modules() if module is first]
    return name.rpartition(".")[0]


def modules_beside(model: torch.nn.Module, name: str) -> list[str]:
    """The names of the largest modules of `model` that neither hold the module `name` nor lie in it."""
    way = name.split(".")
    above = [".".join(way[:length]) for length in range(len(way))]
    return [
        f"{parent}.{child}".removeprefix(".")
        for parent in above
        for child, _ in model.get_submodule(parent).named_children()
        if f"{parent}.{child}".removeprefix(".") not in (*above, name)
    ]


@contextmanager
def packing_in_parts() -> Iterator[None]:
    """Within the block a processor packs a matrix `PACKED_AT_ONCE` weights at a time, to the same bytes.

    A block of 64 weights is packed by itself. The scales of all blocks are packed together at the end, since it is
    their common mean that is taken off. GPUs have a kernel that needs no temporaries.
    """
    functional = sys.modules.get("bitsandbytes.functional")
    if functional is None:  # `quantization_of` has not imported it: nothing is packed
        yield
        return
    at_once = functional.quantize_4bit

    def in_parts(A: Tensor, *args: Any, **how: Any) -> tuple[Tensor, Any]:
        told = signature(at_once).bind(A, *args, **how)
        told.apply_defaults()
        asked = told.arguments
        if A.device.type != "cpu" or A.numel() <= PACKED_AT_ONCE or asked["blocksize"] not in (None, 64):
            return at_once(A, *args, **how)
        kind = {"quant_type": asked["quant_type"], "quant_storage": asked["quant_storage"]}
        parts = [at_once(part, compress_statistics=False, **kind) for part in A.reshape(-1).split(PACKED_AT_ONCE)]
        packed, state = torch.cat([part for part, _ in parts]), parts[0][1]
        state.shape, state.absmax = A.shape, torch.cat([of_part.absmax for _, of_part in parts])
        if asked["compress_statistics"]:
            state.nested, state.offset = True, state.absmax.mean()
            state.absmax, state.state2 = functional.quantize_blockwise(state.absmax - state.offset, blocksize=256)
        return packed, state

    functional.quantize_4bit = in_parts
    try:
        yield
    finally:
        functional.quantize_4bit = at_once


def prepare_packed(model: PreTrainedModel) -> None:
    """Let the model compute in its dtype, and alike on any processor, however many rows it is given.

    bitsandbytes multiplies few rows, up to 1,536 of them by card and shape, in kernels that unpack as they go, and more
    rows by matrices that it expands first. The two round differently, and so a prompt that is run again from some token
    on, or a token that is fed back, would be computed otherwise than in the clean run. Here matrices are always
    expanded first, which is also what weights do that were expanded for good. On processors that have AVX512-BF16 it
    packs the weights anew, for a kernel that would not be used either.
    Where weights were packed when they were saved, the library leaves others in the dtype in which they were saved.
    """
    for layer in packed_layers(model):
        layer.support_avx512bf16_for_cpu = False
        layer.compute_dtype = model.dtype
        layer.forward = partial(_expand_and_multiply, layer)
    if getattr(getattr(model, "hf_quantizer", None), "pre_quantized", False):
        for weight in model.parameters():
            if weight.is_floating_point():
                weight.data = weight.data.to(model.dtype)


def _expand_and_multiply(layer: torch.nn.Module, rows: Tensor) -> Tensor:
    """What `Linear4bit.forward` gives, its matrix expanded as `PreTrainedModel.dequantize` does it."""
    from bitsandbytes.functional import dequantize_4bit

    weight = dequantize_4bit(layer.weight.data, layer.weight.quant_state).to(layer.compute_dtype)
    bias = None if layer.bias is None else layer.bias.to(layer.compute_dtype)
    return torch.nn.functional.linear(rows.to(layer.compute_dtype), weight, bias).to(rows.dtype)


def expanded_weights_fit(model: PreTrainedModel, device: torch.device) -> bool:
    """Whether the memory of `device` is large enough for the packed weights of `model`, expanded, and a good batch.

    It goes by the size of the memory and not by what is free, so that every stage of a study finds the same.
    """
    layers = packed_layers(model)
    others = model.get_memory_footprint() - sum(layer.weight.nbytes for layer in layers)
    expanded = others + sum(layer.in_features * layer.out_features for layer in layers) * model.dtype.itemsize
    there = all_bytes(device)
    fits = room_for_expanded(expanded, there)
    log.info(
        "NF4 weights %s: the model takes %.1f GiB expanded, %s has %.1f GiB",
        "are expanded once, to the same values" if fits else "stay packed",
        expanded / 2**30,
        device,
        there / 2**30,
    )
    return fits


def room_for_expanded(expanded: int, there: int) -> bool:
    """Whether so many bytes of memory are large enough for a model of `expanded` bytes and a good batch."""
    return expanded + BYTES_BESIDE_EXPANDED_WEIGHTS <= SHARE_USED * there


def packed_layers(model: PreTrainedModel) -> list[torch.nn.Module]:
    """The layers of `model` whose weights are packed now."""
    return [layer for layer in model.modules() if type(layer).__name__ == "Linear4bit"]


@contextmanager
def without_kernels() -> Iterator[None]:
    """As if `kernels` were not installed: with it bitsandbytes, as it is imported, runs compiled code of the hub."""
    there, quiet = sys.modules.get("kernels"), logging.getLogger("bitsandbytes.backends.cpu.ops")
    level = quiet.level
    quiet.setLevel(logging.ERROR)  # it advises to install it
    sys.modules["kernels"] = None
    try:
        yield
    finally:
        quiet.setLevel(level)
        del sys.modules["kernels"]
        if there is not None:
            sys.modules["kernels"] = there
