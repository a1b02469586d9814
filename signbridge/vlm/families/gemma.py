"""Gemma 3: image tokens see the whole of their own image.

What hooks see: everything. Image tokens enter at the embedding alone. Attention is causal but for the tokens of one
image, which see each other: an edit of one reaches those before it, so a branch leaves before an image or behind it.
Five blocks of six look back a window of tokens only. What they omit: nothing; what `projector` gives enters as it is,
while words are multiplied by the root of the width.
"""

from transformers import PreTrainedModel

from signbridge.vlm.families.llava import llava
from signbridge.vlm.families.parts import Parts


def gemma3(model: PreTrainedModel) -> Parts:
    """The parts of a Gemma 3."""
    return llava(model)._replace(looks_ahead="image")
