"""Where each family of vision-language models keeps its decoder, its projector and its image tokens.

A new family is one more function in `FAMILIES`, keyed by the `model_type` of its configuration.
"""

from typing import NamedTuple

from torch import nn
from transformers import PreTrainedModel

from signbridge.errors import SignBridgeError


class Parts(NamedTuple):
    """The modules of one model that the residual stream is read between."""

    blocks: list[nn.Module]  # the decoder blocks; the input of block i is the residual stream before it
    final_norm: nn.Module  # its input is the residual stream after the last block
    projector: nn.Module  # takes the tower's features that the model uses, gives the image tokens
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


FAMILIES = {"llava": _llava}
