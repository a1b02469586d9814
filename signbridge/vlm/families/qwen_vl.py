"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL: images of any shape, tokens with three positions each, and in Qwen3-VL DeepStack.

What hooks see. Image tokens enter at the embedding, attention is causal. Each token has a position in time, height and
width. The model would count them itself, but keeps on itself what it needs for the answer, where another thread or a
branch reads it; so here `positions` are found once, by the model's own rule, and handed to every pass. Without the
processor's `mm_token_type_ids` the model would go on with plain positions and not say so: that is refused.

The merger takes and gives the vectors of all images in one list, image after image; the tower of Qwen2.5-VL has those
of one image in the order of its windows. Means over an image are right in any order; single rows of `vision` and
`projector` are not those of the image tokens in turn.

DeepStack: Qwen3-VL adds features of three layers of its tower to the image tokens behind the decoder blocks 0, 1 and 2,
between one block and the next. A site is read where the next block takes it in, so `layer_00` to `layer_02` have them;
what these blocks return has not. What hooks omit: `vision` and `projector` are those of the last layer alone.

Of a clip two frames make one patch in time; an odd last frame is doubled. Qwen2.5-VL's positions in time go by the
seconds between patches; Qwen3-VL writes the seconds before each as text. Qwen2-VL knows no seconds.
"""

from functools import partial

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from signbridge.core.errors import SignBridgeError
from signbridge.vlm.families.parts import Inputs, Parts


def qwen2_5_vl(model: PreTrainedModel) -> Parts:
    """The parts of a Qwen2-VL or a Qwen2.5-VL."""
    decoder = model.get_decoder()
    return Parts(
        blocks=list(decoder.layers),
        final_norm=decoder.norm,
        projector=model.model.visual.merger,
        image_token_id=model.config.image_token_id,
        rows_of_images=_patches,
        positions=partial(_positions, model.model),
        grid=partial(_grid, model.config.vision_config.spatial_merge_size),
    )


def qwen3_vl(model: PreTrainedModel) -> Parts:
    """The parts of a Qwen3-VL."""
    return qwen2_5_vl(model)._replace(injected=tuple(model.model.visual.deepstack_merger_list))


_OF_VISION = ("image_grid_thw", "video_grid_thw", "second_per_grid_ts")  # the last of Qwen2.5-VL: its clock


def _patches(inputs: Inputs) -> list[int]:
    return inputs["image_grid_thw"].prod(-1).tolist()


def _grid(merged: int, inputs: Inputs) -> tuple[int, int]:
    _, height, width = inputs["image_grid_thw"][0].tolist()
    return height // merged, width // merged


def _positions(model: PreTrainedModel, inputs: Inputs) -> Int[Tensor, "3 batch tokens"]:
    if "mm_token_type_ids" not in inputs:
        raise SignBridgeError(
            f"{model.config.model_type}: the processor does not say which tokens are an image's (mm_token_type_ids): "
            "they would stand at wrong positions. Take the processor of this very model."
        )
    mask = inputs.get("attention_mask")
    positions, _ = model.get_rope_index(
        inputs["input_ids"],
        mm_token_type_ids=inputs["mm_token_type_ids"],
        **{name: inputs[name] for name in _OF_VISION if name in inputs},
        attention_mask=torch.ones_like(inputs["input_ids"]) if mask is None else mask,
    )
    return positions
