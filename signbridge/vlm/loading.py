"""Load a vision-language model: from the hub at a pinned commit, from a folder, or drawn at random.

Weights are read from safetensors only, and no code of a model's repository is run: every call says so, and where the
library loses that on the way it does not ask on standard input either, but refuses.
"""

import gc
import hashlib
import json
import logging
import os
import re
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import tokenizers
import torch
import transformers
from pydantic import Field
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
)

from signbridge.core.errors import SignBridgeError
from signbridge.core.model_folder import MODEL_FILES, check_model_folder, packing
from signbridge.core.params import Section
from signbridge.vlm import hub, random_weights
from signbridge.vlm.families import FAMILIES, Parts, adapt, attention_of, parts_of, why_refused
from signbridge.vlm.families.llava import (
    check_processor,
    check_vision_layers,
    complete_processor,
)
from signbridge.vlm.families.processors import processor_in
from signbridge.vlm.library_errors import own_code, said_of_files
from signbridge.vlm.machine import why_no_gpu
from signbridge.vlm.memory import said_when_full
from signbridge.vlm.nf4 import expanded_weights_fit, packing_in_parts, prepare_packed, quantization_of
from signbridge.vlm.packed_weights import is_kept, keep_packed, packed_folder
from signbridge.vlm.prompts import check_prompt
from signbridge.vlm.random_weights import tiny_config, write_random_llava
from signbridge.vlm.untrained_twin import from_untrained

log = logging.getLogger(__name__)

_SMALLER = "Free some, or choose a smaller one or quantization: nf4."
_PACKED = "Free some, or set dequantize: never for this model in models.yaml."


class _ModelParams(Section):
    """What every entry of `models.yaml` says."""

    quantization: Literal["none", "nf4"]
    dequantize: Literal["auto", "always", "never"]
    dtype: Literal["float32", "float16", "bfloat16"]
    prompt: str = Field(min_length=1)
    max_new_tokens: int = Field(ge=1)


class HubModel(_ModelParams):
    """A model of the Hugging Face hub, at one commit."""

    source: Literal["hub"]
    hub_id: str
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")


class FolderModel(_ModelParams):
    """A model in a local folder, in the Hugging Face layout."""

    source: Literal["folder"]
    path: str


class TinyRandomModel(_ModelParams):
    """LLaVA's architecture at a few million parameters, with seeded random weights."""

    source: Literal["tiny_random"]
    seed: int


ModelParams = Annotated[HubModel | FolderModel | TinyRandomModel, Field(discriminator="source")]


class LoadedModel(NamedTuple):
    """A model ready to be read."""

    model: PreTrainedModel
    processor: ProcessorMixin  # pads on the left
    parts: Parts
    end_tokens: list[int]  # any of these ends an answer; without any it has as many tokens as it may
    device: torch.device


def device_from_environment() -> torch.device:
    """`SIGNBRIDGE_DEVICE` if it is set, else the GPU if there is one, else the CPU."""
    name = os.environ.get("SIGNBRIDGE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        if name.startswith("cuda") and not torch.cuda.is_available():
            raise SignBridgeError(f"SIGNBRIDGE_DEVICE={name}: {why_no_gpu()}\nOr set it to cpu.") from None
        first_line = str(error).splitlines()[0]
        raise SignBridgeError(
            f"SIGNBRIDGE_DEVICE={name}: {first_line.rstrip('.')}. Set it to cpu, or unset it."
        ) from None
    return device


def load(
    params: HubModel | FolderModel | TinyRandomModel, scratch: Path, device: torch.device, twin_seed: int | None = None
) -> LoadedModel:
    """Load the model of a catalog entry onto `device`; random models are written below `scratch` first.

    With a `twin_seed` it is the model's untrained twin: the same but for its weights, which are drawn from that seed.
    Of a large model that is packed here, the packed weights are kept below `scratch`, and loaded the next time.
    Raises `SignBridgeError` if the hub cannot be reached, the files in a folder make no model that can be loaded, the
    family is not known or bitsandbytes is missing.
    """
    folder = model_folder(params, scratch)
    quantization = quantization_of(params.quantization, getattr(torch, params.dtype))
    kept = None if twin_seed is not None else packed_folder(folder, quantization, device, scratch)
    weights = kept if is_kept(kept) else folder
    how_packed = {} if packing(weights) else {"quantization_config": quantization}  # else config.json says it
    with said_of_files(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        check_vision_layers(config, folder)
        processor = processor_in(folder, config)
    if not hasattr(processor, "image_token"):
        raise SignBridgeError(
            f"{folder}: its processor takes no images. Copy processor_config.json from the model's source."
        )
    check_prompt(params.prompt, "models.yaml: <model>.prompt", processor.image_token)
    from_pretrained = AutoModelForImageTextToText.from_pretrained
    if twin_seed is not None:
        from_pretrained = partial(from_untrained, seed=twin_seed)
    with said_of_files(weights), said_when_full(device, "loading the model", _SMALLER), packing_in_parts():
        model, found = from_pretrained(
            weights,
            use_safetensors=True,
            dtype=getattr(torch, params.dtype),
            **how_packed,
            attn_implementation=attention_of(config),
            device_map={"": device},
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported, and refused below with their names
        )
    _check_complete(found, weights)
    if kept is not None and weights is folder:
        keep_packed(model, folder, kept)
    model.eval()
    prepare_packed(model)
    adapt(model)
    complete_processor(processor, model)
    check_processor(processor, model, folder, params.prompt)
    processor.tokenizer.padding_side = "left"
    _complete_padding(processor)
    loaded = LoadedModel(
        model=model,
        processor=processor,
        parts=parts_of(model),
        end_tokens=_end_tokens(model, processor),
        device=device,
    )
    return expand_nf4(loaded, params.dequantize) if params.quantization == "nf4" else loaded


def expand_nf4(loaded: LoadedModel, policy: Literal["auto", "always", "never"]) -> LoadedModel:
    """Turn packed NF4 weights into ordinary matrices of the same values, so that no kernel unpacks them again.

    `auto` does so where they fit beside what a good batch needs. The packed weights are given up. Raises
    `SignBridgeError` if memory runs out, which leaves no model.
    """
    if policy == "never" or (policy == "auto" and not expanded_weights_fit(loaded.model, loaded.device)):
        return loaded
    with said_when_full(loaded.device, "expanding the NF4 weights", _PACKED):
        model = loaded.model.dequantize(dtype=loaded.parts.final_norm.weight.dtype)  # BLIP keeps others in float32
    gc.collect()
    return loaded._replace(model=model, parts=parts_of(model))


def model_folder(params: HubModel | FolderModel | TinyRandomModel, scratch: Path) -> Path:
    """The folder with the files of a catalog entry: fetched from the hub, or written below `scratch` if random.

    Raises `SignBridgeError` if the hub cannot be reached, or the files make no model that can be loaded.
    """
    if params.source == "hub":
        return _checked(hub.fetch(params.hub_id, params.revision, MODEL_FILES), params)
    if params.source == "folder":
        return _checked(Path(params.path).expanduser(), params)
    config = tiny_config()
    code = [Path(random_weights.__file__).read_text(encoding="utf-8")]
    versions = [torch.__version__, transformers.__version__, tokenizers.__version__]
    made_from = json.dumps([params.seed, config.to_json_string(), versions, code])
    folder = scratch / f"tiny-random-{hashlib.sha256(made_from.encode()).hexdigest()[:16]}"
    write_random_llava(folder, config, params.seed)
    return folder


def stream_width(params: HubModel | FolderModel | TinyRandomModel) -> int:
    """The width of the residual stream, from the configuration alone: no weights are fetched or read.

    Raises `SignBridgeError` if the hub cannot be reached, or the files make no model that can be loaded.
    """
    return _text_config(params).hidden_size


def decoder_blocks(params: HubModel | FolderModel | TinyRandomModel) -> int:
    """How many decoder blocks the model has, as `stream_width` has it."""
    return _text_config(params).num_hidden_layers


def _text_config(params: HubModel | FolderModel | TinyRandomModel) -> PreTrainedConfig:
    if params.source == "tiny_random":
        return tiny_config().get_text_config()
    if params.source == "hub":
        folder = hub.fetch(params.hub_id, params.revision, ["config.json"])
        check_family(folder)
    else:
        folder = _checked(Path(params.path).expanduser(), params)
    with said_of_files(folder):
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).get_text_config()


def _check_complete(found: dict[str, Any], folder: Path) -> None:
    """Transformers draws at random what it does not find, and reads part of a decoder: here those are errors."""
    for problem in ("missing_keys", "mismatched_keys"):
        if found[problem]:
            first = sorted(map(str, found[problem]))[0]
            raise SignBridgeError(
                f"{folder}: the weights do not fit config.json: {len(found[problem])} {problem.replace('_', ' ')}, "
                f"first {first}. Save model and configuration again, together."
            )
    left = sorted(name for name in map(str, found["unexpected_keys"]) if re.search(r"language_model\.layers\.\d", name))
    if left:
        raise SignBridgeError(
            f"{folder}: the weights do not fit config.json, whose decoder lacks {len(left)} of them, first {left[0]}. "
            "Save model and configuration again, together."
        )


def _checked(folder: Path, params: _ModelParams) -> Path:
    """The folder, if it holds a model that can be loaded and whose family is described here; no weights are read."""
    check_model_folder(folder, params.quantization)
    check_family(folder)
    return folder


def check_family(folder: Path) -> None:
    """Raises `SignBridgeError` if config.json in `folder` names a family that is not described, or code to run."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    of_parts = (part for part in config.values() if isinstance(part, dict))
    if any("/" in str(part.get("_attn_implementation")) for part in (config, *of_parts)):
        raise own_code(folder / "config.json", "_attn_implementation")
    family = config.get("model_type")
    if (reason := why_refused(config)) is not None:
        raise SignBridgeError(
            f"{folder / 'config.json'}: model family '{family}' cannot be read: {reason}. Choose another model."
        )
    if family in FAMILIES:
        return
    if config.get("auto_map"):
        raise own_code(folder / "config.json", "auto_map")
    raise SignBridgeError(
        f"{folder / 'config.json'}: model family '{family}' is not known. There are: {', '.join(sorted(FAMILIES))}. "
        "Choose a model of one of them, or describe this one in signbridge/vlm/families/."
    )


def _end_tokens(model: PreTrainedModel, processor: ProcessorMixin) -> list[int]:
    """What ends an answer, from the first place that says it; many folders lack one or another."""
    config = model.config
    places = (model.generation_config, config.get_text_config(), config, processor.tokenizer)
    for place in places:
        said = getattr(place, "eos_token_id", None)
        ends = [end for end in (said if isinstance(said, (list, tuple)) else [said]) if isinstance(end, int)]
        if ends:
            return ends
    return []


def _complete_padding(processor: ProcessorMixin) -> None:
    """Let a tokenizer without a token for padding take another: what is filled up is masked, whatever stands there."""
    tokenizer = processor.tokenizer
    if tokenizer.pad_token_id is None:
        others = (tokenizer.eos_token, tokenizer.unk_token, tokenizer.bos_token)
        of_text = (word for word, _ in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1]))
        tokenizer.pad_token = next(word for word in (*others, *of_text) if word and word != processor.image_token)
