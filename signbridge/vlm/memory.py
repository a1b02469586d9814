"""How much memory there is, and how many images a batch may therefore hold."""

import os

import torch
from transformers import PreTrainedModel

# Powers of two, so that every one divides a shard.
LARGEST_BATCH = {"cuda": 64, "cpu": 32}


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


def first_batch_size(model: PreTrainedModel, tokens: int) -> int:
    """The largest power of two of images that should fit beside the weights on the model's device.

    `tokens` is the length of a prompt with its answer. It goes by the size of the memory and not by what is free at
    the moment, so that one machine always finds the same; where that is too much, out of memory lowers it.
    """
    text = model.config.get_text_config()
    head_width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    keys_and_values = 2 * text.num_hidden_layers * text.num_key_value_heads * head_width
    in_one_block = 6 * text.hidden_size + 3 * text.intermediate_size
    image_bytes = tokens * (keys_and_values + in_one_block) * model.dtype.itemsize
    at_once = torch.get_num_threads() if model.device.type == "cpu" else 1  # batches side by side
    fitting = int(0.8 * (all_bytes(model.device) - model.get_memory_footprint())) // (image_bytes * at_once)
    batch = LARGEST_BATCH.get(model.device.type, 32)
    while batch > 1 and batch > fitting:
        batch //= 2
    return batch
