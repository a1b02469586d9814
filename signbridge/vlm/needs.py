"""What a model needs, from its configuration alone: memory of its weights and of an image, disk, operations.

The model is built without weights (PyTorch's meta device), so no parameter is counted by a formula of its own.
"""

import copy
import logging
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedConfig, PreTrainedModel

from signbridge.core.errors import SignBridgeError
from signbridge.vlm.catalog import Model
from signbridge.vlm.extraction import EVERYTHING
from signbridge.vlm.families import parts_of
from signbridge.vlm.families.image_sizes import of_image
from signbridge.vlm.library_errors import said_of_files
from signbridge.vlm.machine import free_disk, matmul_rate
from signbridge.vlm.memory import image_bytes
from signbridge.vlm.nf4 import in_decoder
from signbridge.vlm.store import TWICE, Store, check_sites, stored_bytes

log = logging.getLogger(__name__)

LARGE = 10**9  # bytes: so much is said before it is stored
SECONDS = 1.0  # of measuring the machine for that
CHARACTERS_OF_A_TOKEN = 4  # of English, roughly; a prompt's image takes far more tokens than its words
PACKED_BLOCK = 64  # NF4: weights that share a scale of one byte, and 256 such scales one of four bytes


class Needs(NamedTuple):
    """What one model needs; bytes unless it says otherwise."""

    parameters: int  # how many numbers its weights are
    weights: int  # as they are loaded: packed where they are quantised
    expanded: int  # once packed weights are expanded; the same where they are not packed
    image: int  # beside the weights, to read one image and answer
    stored: int  # on disk, of one image: its vectors, as far as they are stored
    image_tokens: int  # of an image, in a prompt
    prompt_tokens: int  # of the model's own prompt, those of its image included
    prompt: float  # FLOP of reading that prompt
    word: float  # FLOP of one more token: of a prompt's text, or of an answer


def config_of(folder: Path) -> PreTrainedConfig:
    """The configuration in `folder`. Raises `SignBridgeError` if Transformers cannot read it."""
    with said_of_files(folder):
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def needs_of(config: PreTrainedConfig, entry: Model, store: Store = EVERYTHING) -> Needs:
    """What a model of that configuration needs, loaded and asked as its `entry` of the catalog, a complete one, says.

    Raises `SignBridgeError` if the family is not known.
    """
    config = copy.deepcopy(config)
    for one in (config, config.get_text_config()):
        if hasattr(one, "quantization_config"):  # of weights that were packed when they were saved
            del one.quantization_config
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(
            config, dtype=getattr(torch, entry.dtype), trust_remote_code=False
        )
    image_tokens = of_image(config).tokens
    tokens = image_tokens + 1 + len(entry.prompt) // CHARACTERS_OF_A_TOKEN
    expanded = model.get_memory_footprint()
    return Needs(
        parameters=sum(weight.numel() for weight in model.parameters()),
        weights=expanded - _saved_by_packing(model, entry.quantize) if entry.quantization == "nf4" else expanded,
        expanded=expanded,
        image=image_bytes(config, tokens, entry.max_new_tokens, model.dtype.itemsize),
        stored=stored_bytes(store, config, model.dtype),
        image_tokens=image_tokens,
        prompt_tokens=tokens,
        prompt=_flop_of_image(model) + _flop_of_tokens(model, tokens),
        word=2.0 * _of_decoder(model),
    )


def check_room(store: Store, config: PreTrainedConfig, entry: Model, device: torch.device, images: int) -> None:
    """Say what so many images take, in bytes and hours, where it is much, before any is read.

    Raises `SignBridgeError` if the model lacks a site that is to be stored, or the disk has no room.
    """
    check_sites(store, config)
    needs = needs_of(config, entry, store)
    size, free = TWICE * images * needs.stored, free_disk(Path.cwd())
    if size >= LARGE:
        rate = matmul_rate(device, getattr(torch, entry.dtype), SECONDS)
        hours = images * (needs.prompt + needs.word * entry.max_new_tokens) / rate / 3600
        log.info(
            "%s images take %.1f GB of vectors, once in .scratch/ and once in data/ (%.1f GB are free), and %.2g hours "
            "at the speed of bare matrix products on one %s: no model runs faster",
            f"{images:,}", size / 1e9, free / 1e9, hours, device.type,
        )  # fmt: skip
    if free < size:
        raise SignBridgeError(
            f"{Path.cwd()}: {images:,} images take {size / 1e9:.1f} GB of vectors, {free / 1e9:.1f} GB are free. Free "
            "some, or store less: extract.store in params.yaml."
        )


def _saved_by_packing(model: PreTrainedModel, quantize: str) -> int:
    """Bytes that NF4 with double quantisation saves: every linear layer is packed, or every one of the decoder.

    The unembedding is not.
    """
    packs = model.get_submodule(in_decoder(model)) if quantize == "decoder" else model
    unembedding = model.get_output_embeddings()
    weights = sum(
        layer.weight.numel() for layer in packs.modules() if isinstance(layer, nn.Linear) and layer is not unembedding
    )
    packed = weights / 2 + weights / PACKED_BLOCK + 4 * weights / PACKED_BLOCK / 256
    return int(weights * model.dtype.itemsize - packed)


def _of_decoder(model: PreTrainedModel) -> int:
    """Parameters of the decoder blocks: of what each token passes."""
    return sum(weight.numel() for block in parts_of(model).blocks for weight in block.parameters())


def _flop_of_tokens(model: PreTrainedModel, tokens: int) -> float:
    """A multiplication and an addition for each parameter and token; and attention, of each token to each."""
    text = model.config.get_text_config()
    head_width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    attention = 4.0 * tokens**2 * text.num_hidden_layers * text.num_attention_heads * head_width
    return 2.0 * tokens * _of_decoder(model) + attention


def _flop_of_image(model: PreTrainedModel) -> float:
    """The tower and the projector: each of their parameters, for every patch."""
    of_text = {id(weight) for weight in model.get_decoder().parameters()}
    words = {id(weight) for weight in model.get_output_embeddings().parameters()}
    others = sum(weight.numel() for weight in model.parameters() if id(weight) not in of_text | words)
    return 2.0 * of_image(model.config).patches * others
