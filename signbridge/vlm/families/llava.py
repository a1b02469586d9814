"""LLaVA and its kin: LLaVA-1.5, Pixtral 12B, LLaVA-NeXT, LLaVA-NeXT-Video, LLaVA-OneVision.

What hooks see: everything. Image tokens enter at the embedding alone, between the decoder's words, and attention is
causal. `vision` is what the projector takes in: the tower's features of the layer that the model uses, without the
class token. LLaVA-NeXT and LLaVA-OneVision cut an image into tiles, by its size, beside the whole: each is a row of
tower and projector, and the sites have their mean. What they omit: the parts of a tile that are padding, and are cut
away behind the projector, are in its mean; the token that ends each row of an image, `image_newline`, is in no site
before `embedding`.

Pixtral's tower takes images of any shape; their patches lie in one row, image after image, as Mistral 3 has it
(`mistral3.py`).

Of a clip LLaVA-NeXT-Video takes the mean of four neighbouring vectors of the tower before the projector, so `vision` is
read behind that; LLaVA-OneVision takes it behind the projector, so `projector` is read before, and adds one newline
behind the last frame, which is in the mean over the clip and in no frame's.

Where the text model is Gemma (Intel/llava-gemma-2b), `projector` is read before image tokens are scaled, `embedding`
after.
"""

from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedConfig, PreTrainedModel, ProcessorMixin
from transformers.models.gemma.modeling_gemma import GemmaTextScaledWordEmbedding
from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

from signbridge.core.errors import SignBridgeError
from signbridge.vlm.families.parts import Inputs, Parts, no_grid, sharing_by_tokens


def llava(model: PreTrainedModel) -> Parts:
    """The parts of a LLaVA, which are those of most families."""
    decoder = model.get_decoder()
    parts = Parts(
        blocks=list(decoder.layers),
        final_norm=decoder.norm,
        projector=model.model.multi_modal_projector,
        image_token_id=model.config.image_token_id,
    )
    return of_any_shape(parts, model.config) if model.config.vision_config.model_type == "pixtral" else parts


def of_any_shape(parts: Parts, config: PreTrainedConfig) -> Parts:
    """`parts` of a model with Pixtral's tower."""
    pixels = config.vision_config.patch_size * getattr(config, "spatial_merge_size", 1)  # a side of what is one token

    def grid(inputs: Inputs) -> tuple[int, int]:
        height, width = inputs["image_sizes"][0].tolist()
        return height // pixels, width // pixels

    return sharing_by_tokens(parts)._replace(grid=grid)


def llava_next(model: PreTrainedModel) -> Parts:
    """The parts of a LLaVA-NeXT, a LLaVA-NeXT-Video or a LLaVA-OneVision."""
    return llava(model)._replace(rows_of_images=partial(_tiles, model.config), grid=no_grid)


def _tiles(config: PreTrainedConfig, inputs: Inputs) -> list[int]:
    """How many rows of tower and projector each image of a batch takes."""
    grid, side = config.image_grid_pinpoints, config.vision_config.image_size
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
    model.model.multi_modal_projector.register_forward_hook(lambda _, args, image_tokens: image_tokens * root)


def complete_processor(processor: ProcessorMixin, config: PreTrainedConfig) -> None:
    """Let the processor know how many tokens an image takes, which older repositories say in `config`, the model's."""
    if (
        config.model_type not in ("llava", "llava_next", "llava_next_video")
        or config.vision_config.model_type == "pixtral"
    ):
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


def check_processor(processor: ProcessorMixin, config: PreTrainedConfig, folder: Path, prompt: str) -> None:
    """Raises `SignBridgeError` if `processor`, which lies with `config` in `folder`, was made for another model.

    `prompt` is the model's own, with an image token: each of its tokens must have an embedding.
    """
    rows, most = config.get_text_config().vocab_size, max(processor.tokenizer(prompt)["input_ids"])
    if most >= rows:
        raise SignBridgeError(
            f"{folder}: the tokenizer makes token {most} of '{processor.tokenizer.decode(most)}' in the prompt, and "
            f"the model has {rows} embeddings. Take the tokenizer of this very model."
        )
    if config.model_type == "gemma3":  # whose processor's mark is where an image begins
        return
    ours, theirs = config.image_token_id, processor.image_token_id
    if ours != theirs:
        raise SignBridgeError(
            f"{folder / 'config.json'}: its image token is {ours}, and the tokenizer's {processor.image_token} is "
            f"{theirs}. Correct image_token_index, or take the tokenizer of this very model."
        )
    images, tower = processor.image_processor, config.vision_config
    if config.model_type != "llava" or tower.model_type not in ("clip_vision_model", "siglip_vision_model"):
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
