"""Mistral Small 3.1 with Pixtral's tower: images of any shape, with a text token at the end of each row.

What hooks see: everything. Image tokens enter at the embedding alone, attention is causal. The projector takes the
patches of all images in one list, image after image, and gives one vector for four of them. What they omit: the tokens
that end the rows of an image are text, in no mean over an image, but lie in the span from the first image token to the
last, which patching and erasure replace as a whole. Pixtral 12B is a LLaVA with the same tower.
"""

from transformers import PreTrainedModel

from signbridge.vlm.families.llava import llava, of_any_shape
from signbridge.vlm.families.parts import Parts


def mistral3(model: PreTrainedModel) -> Parts:
    """The parts of a Mistral 3."""
    return of_any_shape(llava(model), model.config)
