"""Weights that bitsandbytes packs to 4 bits each (NF4), as LLaVA-1.5-7B is read by default."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from transformers import BitsAndBytesConfig, PreTrainedModel

from signbridge.core.errors import SignBridgeError
from signbridge.vlm.memory import free_bytes

log = logging.getLogger(__name__)

# What expanded weights must leave free for activations and the key-value cache of a good batch.
BYTES_BESIDE_EXPANDED_WEIGHTS = 6 * 2**30


def quantization_of(wanted: Literal["none", "nf4"], dtype: torch.dtype) -> BitsAndBytesConfig | None:
    """How Transformers is told to pack weights; `dtype` is what is computed in.

    Raises `SignBridgeError` if bitsandbytes is missing.
    """
    if wanted == "none":
        return None
    try:
        with _without("kernels"):
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
    )


def prepare_packed(model: PreTrainedModel) -> None:
    """Let the model compute in its dtype, and alike on any processor.

    Where weights were packed when they were saved, the library leaves others in the dtype in which they were saved.
    On processors that have AVX512-BF16, bitsandbytes packs NF4 weights anew: that takes matrices of some shapes only,
    and its products are bfloat16's, so results would depend on the processor.
    """
    for layer in _packed_layers(model):
        layer.support_avx512bf16_for_cpu = False
        layer.compute_dtype = model.dtype
    if getattr(getattr(model, "hf_quantizer", None), "pre_quantized", False):
        for weight in model.parameters():
            if weight.is_floating_point():
                weight.data = weight.data.to(model.dtype)


def expanded_weights_fit(model: PreTrainedModel, device: torch.device) -> bool:
    """Whether the packed weights of `model`, expanded, leave room on `device` for a good batch."""
    expanded = sum(layer.in_features * layer.out_features for layer in _packed_layers(model)) * model.dtype.itemsize
    free = free_bytes(device)
    fits = expanded + BYTES_BESIDE_EXPANDED_WEIGHTS < free
    log.info(
        "NF4 weights %s: %.1f GiB expanded, %.1f GiB free",
        "are expanded once, to the same values" if fits else "stay packed",
        expanded / 2**30,
        free / 2**30,
    )
    return fits


def _packed_layers(model: PreTrainedModel) -> list[torch.nn.Module]:
    return [layer for layer in model.modules() if type(layer).__name__ == "Linear4bit"]


@contextmanager
def _without(package: str) -> Iterator[None]:
    """As if `package` were not installed: with `kernels`, bitsandbytes runs compiled code of a hub repository."""
    there, quiet = sys.modules.get(package), logging.getLogger("bitsandbytes.backends.cpu.ops")
    level = quiet.level
    quiet.setLevel(logging.ERROR)  # it advises to install it
    sys.modules[package] = None
    try:
        yield
    finally:
        quiet.setLevel(level)
        del sys.modules[package]
        if there is not None:
            sys.modules[package] = there
