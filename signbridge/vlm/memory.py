"""How much memory there is, how many images a batch may therefore hold, and what is done when memory runs out.

Wherever memory may run out, half as much is tried at once, down to one (`halving`); where there is nothing to halve,
the run ends with a sentence (`said_when_full`).
"""

import gc
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from transformers import PretrainedConfig, PreTrainedModel

from signbridge.core.errors import SignBridgeError, is_out_of_memory

log = logging.getLogger(__name__)

# Powers of two, so that every one divides a shard.
LARGEST_BATCH = {"cuda": 64, "cpu": 32}
SHARE_USED = 0.8  # of the memory that the weights leave: the rest is for what the estimate does not count

T = TypeVar("T")


def free_bytes(device: torch.device) -> int:
    """Memory that is free on `device` now, in bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def all_bytes(device: torch.device) -> int:
    """Memory of `device`, in bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def image_bytes(config: PretrainedConfig, tokens: int, room: int, itemsize: int) -> int:
    """What reading a prompt of `tokens` with its image takes at most beside the weights, in bytes.

    That is the keys and values of all blocks, with `room` for an answer; what one block computes at its widest point:
    its gated MLP holds three vectors of the MLP's width a token, beside some seven of the stream's; and the vectors
    that are read at each site, in single precision. The vision tower's share has gone by then.
    """
    text = config.get_text_config()
    head_width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads  # OPT has none that share
    of_mlp = getattr(text, "intermediate_size", None) or text.ffn_dim
    cache = (tokens + room) * 2 * text.num_hidden_layers * heads * head_width
    in_one_block = tokens * (7 * text.hidden_size + 3 * of_mlp)
    return (cache + in_one_block) * itemsize + 3 * (text.num_hidden_layers + 1) * text.hidden_size * 4


def first_batch_size(model: PreTrainedModel, tokens: int, room: int) -> int:
    """The largest power of two of images that should fit beside the weights on the model's device.

    `tokens` is the length of a prompt, `room` that of its answer. It goes by the size of the memory and not by what is
    free at the moment, so that one machine always finds the same; where that is too much, out of memory lowers it.
    """
    device = model.device
    of_image = image_bytes(model.config, tokens, room, model.dtype.itemsize)
    at_once = torch.get_num_threads() if device.type == "cpu" else 1  # batches side by side
    weights = model.get_memory_footprint() + at_once * expanded_matrix_bytes(model)
    return fitting_batch(device.type, all_bytes(device) - weights, of_image * at_once)


def expanded_matrix_bytes(model: PreTrainedModel) -> int:
    """The largest matrix of packed weights, expanded as it is multiplied, in bytes; 0 where none are packed."""
    packed = (layer for layer in model.modules() if type(layer).__name__ == "Linear4bit")
    return max((layer.in_features * layer.out_features for layer in packed), default=0) * model.dtype.itemsize


def fitting_batch(device_type: str, beside_weights: int, of_image: int) -> int:
    """The largest power of two of images, each of so many bytes, for which `SHARE_USED` of the memory is enough."""
    batch = LARGEST_BATCH.get(device_type, 32)
    while batch > 1 and batch * of_image > SHARE_USED * beside_weights:
        batch //= 2
    return batch


def halving(work: Callable[[int], T], most: int, device: torch.device, one: str, remedy: str) -> tuple[T, int]:
    """What `work` gives for `most` items at once, or for half as many each time that memory runs out; and how many.

    `work` begins anew each time. `one` says what is not cut any further, `remedy` what the user may do: if memory runs
    out there too, `SignBridgeError` is raised.
    """
    while True:
        try:
            return work(most), most
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if most == 1:
                raise SignBridgeError(f"{device}: out of memory with {one}. {remedy}") from None
        # Only now, when the error has let go of what the work held.
        most //= 2
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        log.warning("out of memory: going on with batches of %d", most)


@contextmanager
def said_when_full(device: torch.device, doing: str, remedy: str) -> Iterator[None]:
    """Raises `SignBridgeError`, which says `doing` what and the `remedy`, if memory runs out in the block."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise SignBridgeError(f"{device}: out of memory while {doing}. {remedy}") from None
