"""Load a vision-language model: from the hub at a pinned commit, from a folder, or drawn at random.

Weights are read from safetensors only, and no code of a model's repository is run: every call says so, and where the
library loses that on the way it does not ask on standard input either, but refuses.
"""

import gc
import json
import logging
import os
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedConfig, PreTrainedModel, ProcessorMixin

from signbridge.core.errors import SignBridgeError
from signbridge.core.model_folder import (
    MODEL_FILES,
    SETTINGS_FILES,
    check_model_folder,
    check_processor_files,
    packing,
)
from signbridge.vlm import hub
from signbridge.vlm.adapter_files import base_of, read_config
from signbridge.vlm.adapters import merge_adapter
from signbridge.vlm.catalog import AUTO, Model
from signbridge.vlm.chat_template import check_length, in_chat_template
from signbridge.vlm.chosen import complete
from signbridge.vlm.families import FAMILIES, Parts, adapt, attention_of, parts_of, why_refused
from signbridge.vlm.families.llava import check_processor, check_vision_layers, complete_processor
from signbridge.vlm.families.processors import processor_in
from signbridge.vlm.library_errors import check_blocks, check_complete, own_code, said_of_files
from signbridge.vlm.machine import why_no_gpu
from signbridge.vlm.memory import said_when_full
from signbridge.vlm.nf4 import expanded_weights_fit, packing_in_parts, prepare_packed, quantization_for
from signbridge.vlm.packed_weights import is_kept, keep_packed, packed_folder
from signbridge.vlm.prompts import check_prompt
from signbridge.vlm.random_weights import tiny_config, tiny_folder
from signbridge.vlm.untrained_twin import from_untrained

log = logging.getLogger(__name__)

_SMALLER = "Free some, or choose a smaller one or quantization: nf4."
_PACKED = "Free some, or set dequantize: never for this model in models.yaml."


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


def load(params: Model, scratch: Path, device: torch.device, twin_seed: int | None = None) -> LoadedModel:
    """Load the model of a catalog entry onto `device`; random models are written below `scratch` first.

    What the entry leaves to the model's own files is found first (`completed`). With a `twin_seed`, or where the entry
    says `untrained`, it is the model's untrained twin: the same but for its weights, which are drawn from that seed. Of
    a large model that is packed here, the packed weights are kept below `scratch`, and loaded the next time. The
    entry's adapter is merged into its weights, which are then expanded; the twin of a `twin_seed` has none.
    Raises `SignBridgeError` if the hub cannot be reached, the files in a folder make no model that can be loaded, the
    family is not known or bitsandbytes is missing. That a prompt is too long, or that processor or weights are another
    model's, is said before weights are read.
    """
    params = complete(params)
    adapter = None if params.adapter is None or twin_seed is not None else Path(params.adapter).expanduser()
    if adapter is not None:  # before anything is spent
        base = base_of(params)
        read_config(adapter, base)
    twin_seed = params.untrained if twin_seed is None else twin_seed
    folder, config, processor = checked_settings(params, scratch)
    if params.source == "hub":  # only its settings have been fetched
        folder = model_folder(params, scratch)
        check_blocks(config, folder)
    quantization = quantization_for(params, folder)
    kept = None if twin_seed is not None else packed_folder(folder, quantization, device, scratch)
    weights = kept if is_kept(kept) else folder
    how_packed = {} if packing(weights) else {"quantization_config": quantization}  # else config.json says it
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
    check_complete(found, weights)
    if kept is not None and weights is folder:
        keep_packed(model, folder, kept)
    model.eval()
    prepare_packed(model)
    adapt(model)
    loaded = LoadedModel(
        model=model,
        processor=processor,
        parts=parts_of(model),
        end_tokens=_end_tokens(model, processor),
        device=device,
    )
    if params.quantization == "nf4":
        loaded = expand_nf4(loaded, params.dequantize if adapter is None else "always")
    if adapter is not None:
        merge_adapter(loaded.model, adapter, base)
    return loaded


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


def model_folder(params: Model, scratch: Path) -> Path:
    """The folder with the files of a catalog entry: fetched from the hub, or written below `scratch` if random.

    Raises `SignBridgeError` if the hub cannot be reached, or the files make no model that can be loaded.
    """
    if params.source == "hub":
        return _checked(hub.fetch(params.hub_id, params.revision, MODEL_FILES), params)
    if params.source == "folder":
        return _checked(Path(params.path).expanduser(), params)
    return tiny_folder(params.family, params.seed, scratch)


def settings_of(params: Model, scratch: Path) -> tuple[Path, PreTrainedConfig, ProcessorMixin]:
    """The folder of an entry, and what it holds beside the weights, of which none is fetched; as `load` uses them.

    Raises `SignBridgeError` if the files cannot be had, or make no model that can be loaded.
    """
    if params.source == "hub":
        folder = hub.fetch(params.hub_id, params.revision, SETTINGS_FILES)
        check_processor_files(folder)
        check_family(folder)
    else:
        folder = model_folder(params, scratch)
    with said_of_files(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        processor = processor_in(folder, config)
    if hasattr(processor, "image_token"):
        complete_processor(processor, config)
        processor.tokenizer.padding_side = "left"
        _complete_padding(processor)
    return folder, config, processor


def checked_settings(params: Model, scratch: Path) -> tuple[Path, PreTrainedConfig, ProcessorMixin]:
    """The `settings_of` a complete entry, whose prompt, processor and index of weights go with its configuration.

    Raises `SignBridgeError` if they do not: no weights have been fetched or read for it.
    """
    folder, config, processor = settings_of(params, scratch)
    check_vision_layers(config, folder)
    if not hasattr(processor, "image_token"):
        raise SignBridgeError(
            f"{folder}: its processor takes no images. Copy processor_config.json from the model's source."
        )
    check_prompt(params.prompt, "models.yaml: <model>.prompt", processor.image_token)
    check_processor(processor, config, folder, params.prompt)
    check_length(params.prompt, processor, config, params.max_new_tokens)
    check_blocks(config, folder)  # of weights in shards the index is there already
    return folder, config, processor


def completed(params: Model, question: str, scratch: Path) -> Model:
    """The catalog entry with what it leaves to the model's own files: dtype, and `question` in their chat template.

    No weights are fetched or read; random models are written below `scratch`. Raises `SignBridgeError` if the files
    cannot be had, there is no processor, or it has no chat template.
    """
    if params.is_complete:
        return params
    folder, config, processor = settings_of(params, scratch)
    dtype = _dtype_of_weights(config, folder) if params.dtype == AUTO else params.dtype
    prompt = in_chat_template(question, processor, folder) if params.prompt == AUTO else params.prompt
    return params.model_copy(update={"dtype": dtype, "prompt": prompt})


def _dtype_of_weights(config: PreTrainedConfig, folder: Path) -> str:
    """The dtype that `config`, of `folder`, says the weights are in, float32 where it says none."""
    said = config.dtype or config.get_text_config().dtype or torch.float32
    dtype = str(said).removeprefix("torch.")
    if dtype not in ("float32", "float16", "bfloat16"):
        raise SignBridgeError(f"{folder / 'config.json'}: dtype {dtype} is not read here. Set dtype in models.yaml.")
    return dtype


def stream_width(params: Model) -> int:
    """The width of the residual stream, from the configuration alone: no weights are fetched or read.

    Raises `SignBridgeError` if the hub cannot be reached, or the files make no model that can be loaded.
    """
    return configuration(params).get_text_config().hidden_size


def decoder_blocks(params: Model) -> int:
    """How many decoder blocks the model has, as `stream_width` has it."""
    return configuration(params).get_text_config().num_hidden_layers


def configuration(params: Model) -> PreTrainedConfig:
    """The model's configuration, as `stream_width` reads it."""
    if params.source == "tiny_random":
        return tiny_config(params.family)
    if params.source == "hub":
        folder = hub.fetch(params.hub_id, params.revision, ["config.json"])
        check_family(folder)
    else:
        folder = _checked(Path(params.path).expanduser(), params)
    with said_of_files(folder):
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _checked(folder: Path, params: Model) -> Path:
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
