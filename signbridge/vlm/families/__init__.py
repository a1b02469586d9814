"""Families of vision-language models: where each keeps its decoder, its projector and its image tokens.

A family or its kin has a module here, whose docstring says what hooks on its modules see and what they omit. It makes
the `Parts` of a model; `FAMILIES` names it by the `model_type` of the configuration.
"""

from collections.abc import Callable, Mapping
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel

from signbridge.core.errors import SignBridgeError
from signbridge.vlm.families import blip, gemma, idefics3, internvl, llava, mistral3, qwen_vl
from signbridge.vlm.families.parts import Parts as Parts

FAMILIES: dict[str, Callable[[PreTrainedModel], Parts]] = {
    "llava": llava.llava,
    "llava_next": llava.llava_next,
    "gemma3": gemma.gemma3,
    "qwen2_vl": qwen_vl.qwen2_5_vl,
    "qwen2_5_vl": qwen_vl.qwen2_5_vl,
    "qwen3_vl": qwen_vl.qwen3_vl,
    "internvl": internvl.internvl,
    "smolvlm": idefics3.idefics3,
    "idefics3": idefics3.idefics3,
    "llava_onevision": llava.llava_next,
    "llava_next_video": llava.llava_next,
    "paligemma": gemma.paligemma,
    "mistral3": mistral3.mistral3,
    "instructblip": blip.blip,
    "blip-2": blip.blip,
}

_ENCODER_DECODER = "its text is written by an encoder-decoder, which has no one residual stream"
_RECURRENT = "most blocks of its decoder are recurrent: their state is no list of keys and values to leave a run from"
REFUSED = {  # by the model_type of a configuration: why such a model cannot be read
    "florence2": _ENCODER_DECODER,
    "pix2struct": _ENCODER_DECODER,
    "udop": _ENCODER_DECODER,
    "vision-encoder-decoder": _ENCODER_DECODER,
    "gemma3n": "its decoder carries four streams side by side, and image tokens enter at every block",
    "gemma3n_text": "its decoder carries four streams side by side",
    "mllama": "images enter by cross-attention, so none of its tokens is an image token",
    "phi4_multimodal": "it reads images only with an adapter of its repository, which is not loaded here",
    "qwen3_5": _RECURRENT,
    "qwen3_5_moe": _RECURRENT,
    "qwen3_5_text": _RECURRENT,
    "qwen3_next": _RECURRENT,
    "minicpmv4_6": _RECURRENT,
    "lfm2_vl": _RECURRENT,
    "t5": _ENCODER_DECODER,
    "phi4mm": "it reads images only with an adapter of its repository, which is not loaded here",
}
_ATTENTION = ("full_attention", "sliding_attention", "chunked_attention")  # blocks that keep keys and values


def parts_of(model: PreTrainedModel) -> Parts:
    """The parts of `model`. Raises `SignBridgeError` for a family that is not described here, or cannot be read."""
    family = model.config.model_type
    if (reason := why_refused(model.config.to_dict())) is not None:
        raise SignBridgeError(f"model family '{family}' cannot be read: {reason}.")
    if family not in FAMILIES:
        raise SignBridgeError(
            f"model family '{family}' is not known. There are: {', '.join(sorted(FAMILIES))}. "
            "Describe it in signbridge/vlm/families/."
        )
    parts = FAMILIES[family](model)
    expected = model.config.get_text_config().num_hidden_layers
    if len(parts.blocks) != expected:
        raise AssertionError(f"{family}: found {len(parts.blocks)} decoder blocks, the configuration says {expected}")
    return parts


def adapt(model: PreTrainedModel) -> None:
    """Let `model` compute as it was trained, and be called as those of other families are, for good."""
    llava.scale_image_tokens(model)
    if model.config.model_type in blip.QUERYING:
        blip.call_decoder(model)


def attention_of(config: PreTrainedConfig) -> str:
    """How the model of `config` computes attention: by PyTorch, but where what the softmax is of has bounds.

    It has in Gemma 2, which is the decoder of PaliGemma 2.
    """
    return "eager" if getattr(config.get_text_config(), "attn_logit_softcapping", None) else "sdpa"


def why_refused(config: Mapping[str, Any]) -> str | None:
    """Why a model with that `config.json` cannot be read, whatever is described here; None if nothing is known."""
    text = config.get("text_config") or {}
    for part in (config, text):
        if (reason := REFUSED.get(part.get("model_type"))) is not None:
            return reason
        if part.get("is_encoder_decoder"):
            return _ENCODER_DECODER
        if set(part.get("layer_types") or ()) - set(_ATTENTION):
            return _RECURRENT
    tokens = (config.get(name) for name in ("image_token_index", "image_token_id"))
    if config.get("model_type") in blip.QUERYING and not any(isinstance(token, int) for token in tokens):
        return "its configuration has no image_token_index, as those of older commits"
    return None
