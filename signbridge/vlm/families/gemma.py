"""Gemma 3 and PaliGemma: tokens that see those behind them.

What hooks see: everything. Image tokens enter at the embedding alone.

Gemma 3: attention is causal but for the tokens of one image, which see each other. An edit of one reaches those before
it, so a branch leaves before an image or behind it. Five blocks of six look back a window of tokens only. What
`projector` gives enters as it is, while words are multiplied by the root of the width.

PaliGemma: all tokens of a prompt see each other, and the answer sees what stands before it. An edit of any token of the
prompt reaches all of them, so a branch runs the whole prompt again from the edited site up. Of its logits none is
beyond `softcap`. What hooks omit: nothing; but `prompt_last` is no summary of what came before, as it is elsewhere.
"""

from transformers import PreTrainedModel

from signbridge.vlm.families.llava import llava
from signbridge.vlm.families.parts import Parts


def gemma3(model: PreTrainedModel) -> Parts:
    """The parts of a Gemma 3."""
    return llava(model)._replace(looks_ahead="image")


def paligemma(model: PreTrainedModel) -> Parts:
    """The parts of a PaliGemma or PaliGemma 2."""
    softcap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    return llava(model)._replace(looks_ahead="prompt", softcap=softcap)
