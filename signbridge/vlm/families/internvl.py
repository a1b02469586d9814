"""InternVL3, in the layout of Transformers (`-hf`): an image is one tile, or several beside a small whole.

What hooks see: everything. Image tokens enter at the embedding alone, attention is causal. Each tile is a row of the
projector, which takes in four neighbouring vectors of the tower as one; so `vision` is four times as wide as the tower.
The inputs do not say how many tiles an image has: its image tokens do, which are as many for each tile.
"""

import math

from transformers import PreTrainedModel

from signbridge.vlm.families.llava import llava
from signbridge.vlm.families.parts import Inputs, Parts, sharing_by_tokens


def internvl(model: PreTrainedModel) -> Parts:
    """The parts of an InternVL."""
    parts, of_tile = sharing_by_tokens(llava(model)), model.config.image_seq_length
    side = math.isqrt(of_tile)

    def grid(inputs: Inputs) -> tuple[int, int] | None:
        return (side, side) if (inputs["input_ids"][0] == parts.image_token_id).sum() == of_tile else None

    return parts._replace(grid=grid)
