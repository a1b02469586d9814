"""InstructBLIP with Vicuna and BLIP-2 with OPT: a Q-Former reads the tower, and its queries are the image tokens.

What hooks see. Image tokens enter at the embedding alone, attention is causal; they stand before the prompt's first
token, wherever the prompt has its `<image>`. `vision` is what the Q-Former's queries hold, and `projector` what the
language projection makes of them. **In InstructBLIP the Q-Former reads the prompt too, so both depend on it**: another
prompt gives other vectors of the same image. What hooks omit: the tower itself, which the queries look at; and OPT's
positions, which are added before `embedding`.

The library's forward wants an image in every pass and keeps what its decoder gives to itself. Here a pass without
pixels is the decoder's own, and its output is given in either case. Those with Flan-T5 are refused: `families/`.
"""

from functools import wraps
from typing import Any

from transformers import PreTrainedModel

from signbridge.vlm.families.parts import Parts, no_grid

QUERYING = ("instructblip", "blip-2")


def blip(model: PreTrainedModel) -> Parts:
    """The parts of an InstructBLIP or a BLIP-2, whose text model is a decoder."""
    inner = model.language_model.get_decoder()
    decoder = getattr(inner, "decoder", inner)  # OPT has one more around its blocks
    return Parts(
        blocks=list(decoder.layers),
        final_norm=decoder.norm if hasattr(decoder, "norm") else decoder.final_layer_norm,
        projector=model.language_projection,
        image_token_id=model.config.image_token_index,
        grid=no_grid,
    )


def call_decoder(model: PreTrainedModel) -> None:
    """Let `model` be called as those of other families are, for good: with an image or without."""
    whole = model.forward

    @wraps(whole)
    def forward(pixel_values: Any = None, **given: Any) -> Any:
        if pixel_values is None:
            return model.language_model(**given)
        return whole(pixel_values=pixel_values, **given).language_model_outputs

    model.forward = forward
