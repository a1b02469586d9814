"""Idefics3 and SmolVLM: an image is cut into tiles by default, with text tokens between them.

What hooks see: everything. Image tokens enter at the embedding alone, attention is causal. Each tile is a row of the
connector, which is read as the projector; its image tokens say how many there are. What they omit: tokens that say
which row and column a tile has stand between image tokens; they are in no mean over an image, but lie in the span from
the first image token to the last, which patching and erasure replace as a whole.
"""

from transformers import PreTrainedModel

from signbridge.vlm.families.parts import Parts, no_grid, sharing_by_tokens


def idefics3(model: PreTrainedModel) -> Parts:
    """The parts of an Idefics3 or a SmolVLM."""
    decoder = model.model.text_model
    parts = Parts(
        blocks=list(decoder.layers),
        final_norm=decoder.norm,
        projector=model.model.connector,
        image_token_id=model.config.image_token_id,
    )
    return sharing_by_tokens(parts)._replace(grid=no_grid)
