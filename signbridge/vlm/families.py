"""Where each family of vision-language models keeps its decoder, its projector and its image tokens.

A new family is one more function in `FAMILIES`, keyed by the `model_type` of its configuration.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel, ProcessorMixin
from transformers.models.gemma.modeling_gemma import GemmaTextScaledWordEmbedding
from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

from signbridge.core.errors import SignBridgeError


class Parts(NamedTuple):
    """The modules of one model that the residual stream is read between."""

    blocks: list[nn.Module]  # the decoder blocks; the input of block i is the residual stream before it
    final_norm: nn.Module  # its input is the residual stream after the last block
    projector: nn.Module  # takes the tower's features that the model uses, gives the image tokens, not yet scaled
    image_token_id: int  # marks the image tokens among the prompt's


def parts_of(model: PreTrainedModel) -> Parts:
    """The parts of `model`. Raises `SignBridgeError` for a family that is not described here."""
    family = model.config.model_type
    if family not in FAMILIES:
        raise SignBridgeError(
            f"model family '{family}' is not known. There are: {', '.join(sorted(FAMILIES))}. "
            "Describe it in signbridge/vlm/families.py."
        )
    parts = FAMILIES[family](model)
    expected = model.config.get_text_config().num_hidden_layers
    if len(parts.blocks) != expected:
        raise AssertionError(f"{family}: found {len(parts.blocks)} decoder blocks, the configuration says {expected}")
    return parts


def _llava(model: PreTrainedModel) -> Parts:
    decoder = model.get_decoder()
    return Parts(
        blocks=list(decoder.layers),
        final_norm=decoder.norm,
        projector=model.model.multi_modal_projector,
        image_token_id=model.config.image_token_id,
    )


def _gemma3(model: PreTrainedModel) -> Parts:
    decoder = model.model.language_model
    return Parts(
        blocks=list(decoder.layers),
        final_norm=decoder.norm,
        projector=model.model.multi_modal_projector,
        image_token_id=model.config.image_token_id,
    )


FAMILIES = {"llava": _llava, "llava_next": _llava, "gemma3": _gemma3}


def tiles_of_images(model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> list[int] | None:
    """How many rows of tower and projector each image of a batch takes, in order; None where it is one each.

    LLaVA-NeXT cuts an image into tiles, by its size, beside the whole.
    """
    if model.config.model_type != "llava_next" or "image_sizes" not in inputs:
        return None
    grid, side = model.config.image_grid_pinpoints, model.config.vision_config.image_size
    return [image_size_to_num_patches(size, grid, side) for size in inputs["image_sizes"]]


def scale_image_tokens(model: PreTrainedModel) -> None:
    """Where the text model of a LLaVA is Gemma, multiply what the projector gives by the root of the width, for good.

    Such models (Intel/llava-gemma-2b) were trained while `GemmaModel.forward` multiplied all that came in, image tokens
    and words. In Transformers 5.23 its word embeddings are multiplied where they are looked up, image tokens are not.
    The site `projector` is read and edited before this is done, `embedding` after.
    """
    words = model.get_input_embeddings()
    if model.config.model_type != "llava" or not isinstance(words, GemmaTextScaledWordEmbedding):
        return
    root = torch.tensor(words.embedding_dim**0.5, dtype=words.weight.dtype).item()  # rounded, as it is for words
    parts_of(model).projector.register_forward_hook(lambda _, args, image_tokens: image_tokens * root)


def complete_processor(processor: ProcessorMixin, model: PreTrainedModel) -> None:
    """Let the processor know how many tokens an image takes, which older repositories say in the model alone."""
    config = model.config
    if config.model_type not in ("llava", "llava_next"):
        return
    if processor.patch_size is None:
        processor.patch_size = config.vision_config.patch_size
    if processor.vision_feature_select_strategy is None:
        processor.vision_feature_select_strategy = config.vision_feature_select_strategy
    if config.vision_config.model_type == "clip_vision_model":
        processor.num_additional_image_tokens = 1  # its class token, which the strategy drops


def check_vision_layers(config: PreTrainedConfig, folder: Path) -> None:
    """Raises `SignBridgeError` if a LLaVA's `config`, which lies in `folder`, takes features of layers not there."""
    wanted = getattr(config, "vision_feature_layer", None)
    layers = getattr(getattr(config, "vision_config", None), "num_hidden_layers", None)
    if wanted is None or layers is None:
        return
    wanted = wanted if isinstance(wanted, (list, tuple)) else [wanted]
    beyond = [layer for layer in wanted if not -layers - 1 <= layer <= layers]  # 0: what enters the first
    if beyond or not wanted:
        raise SignBridgeError(
            f"{folder / 'config.json'}: vision_feature_layer is {beyond[0] if beyond else 'empty'}, and the vision "
            f"tower has {layers} layers: {-layers - 1} to {layers} are there. Correct it, or fetch the file again."
        )


def check_processor(processor: ProcessorMixin, model: PreTrainedModel, folder: Path, prompt: str) -> None:
    """Raises `SignBridgeError` if `processor`, which lies with `model` in `folder`, was made for another model.

    `prompt` is the model's own, with an image token: each of its tokens must have an embedding.
    """
    rows, most = model.get_input_embeddings().num_embeddings, max(processor.tokenizer(prompt)["input_ids"])
    if most >= rows:
        raise SignBridgeError(
            f"{folder}: the tokenizer makes token {most} of '{processor.tokenizer.decode(most)}' in the prompt, and "
            f"the model has {rows} embeddings. Take the tokenizer of this very model."
        )
    if model.config.model_type not in ("llava", "llava_next"):
        return
    ours, theirs = model.config.image_token_id, processor.image_token_id
    if ours != theirs:
        raise SignBridgeError(
            f"{folder / 'config.json'}: its image token is {ours}, and the tokenizer's {processor.image_token} is "
            f"{theirs}. Correct image_token_index, or take the tokenizer of this very model."
        )
    images, tower = processor.image_processor, model.config.vision_config
    if model.config.model_type != "llava" or tower.model_type not in ("clip_vision_model", "siglip_vision_model"):
        return
    if processor.patch_size != tower.patch_size:
        raise SignBridgeError(
            f"{folder}: the processor counts patches of {processor.patch_size} pixels, and the vision tower of "
            f"config.json takes {tower.patch_size}. Take the processor_config.json of this very model."
        )
    size = images.crop_size if getattr(images, "do_center_crop", False) else images.size
    side = getattr(size, "height", None) or getattr(size, "shortest_edge", None)
    if side is not None and side != tower.image_size:
        raise SignBridgeError(
            f"{folder}: images are made {side} pixels high, and the vision tower of config.json takes "
            f"{tower.image_size}. Take the processor_config.json of this very model."
        )
