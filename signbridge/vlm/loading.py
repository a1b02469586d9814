"""Load a vision-language model: from the hub at a pinned commit, from a folder, or drawn at random.

Weights are read from safetensors only, and no code of a model's repository is run.
"""

import gc
import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import tokenizers
import torch
import transformers
from huggingface_hub import snapshot_download
from pydantic import Field
from safetensors import SafetensorError
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    BitsAndBytesConfig,
    PreTrainedModel,
    ProcessorMixin,
)

from signbridge.core.errors import SignBridgeError
from signbridge.core.model_folder import MODEL_FILES
from signbridge.core.params import Section
from signbridge.vlm import random_weights
from signbridge.vlm.families import (
    Parts,
    complete_processor,
    parts_of,
    scale_image_tokens,
)
from signbridge.vlm.memory import free_bytes
from signbridge.vlm.prompts import check_prompt
from signbridge.vlm.random_weights import tiny_config, write_random_llava

log = logging.getLogger(__name__)

# What expanded weights must leave free for activations and the key-value cache of a good batch.
BYTES_BESIDE_EXPANDED_WEIGHTS = 6 * 2**30


class _ModelParams(Section):
    """What every entry of `models` in params.yaml says."""

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
    end_tokens: list[int]  # any of these ends an answer
    device: torch.device


def device_from_environment() -> torch.device:
    """`SIGNBRIDGE_DEVICE` if it is set, else the GPU if there is one, else the CPU."""
    name = os.environ.get("SIGNBRIDGE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        first_line = str(error).splitlines()[0]
        raise SignBridgeError(
            f"SIGNBRIDGE_DEVICE={name}: {first_line.rstrip('.')}. Set it to cpu, or unset it."
        ) from None
    return device


def load(params: HubModel | FolderModel | TinyRandomModel, scratch: Path, device: torch.device) -> LoadedModel:
    """Load the model of a catalog entry onto `device`; random models are written below `scratch` first.

    Raises `SignBridgeError` if the hub cannot be reached, a folder has no safetensors weights, the family is not
    known or bitsandbytes is missing.
    """
    try:
        folder = model_folder(params, scratch)
        processor = AutoProcessor.from_pretrained(folder, backend="pil", local_files_only=True)
        check_prompt(params.prompt, "models.<model>.prompt", processor.image_token)
        model, found = AutoModelForImageTextToText.from_pretrained(
            folder,
            use_safetensors=True,
            dtype=getattr(torch, params.dtype),
            quantization_config=_quantization(params),
            attn_implementation="sdpa",
            device_map={"": device},
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported, and refused below with their names
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise _unusable(params, error) from error
    except torch.OutOfMemoryError:
        raise SignBridgeError(
            f"{device}: out of memory while loading the model. Free some, or choose a smaller one or quantization: nf4."
        ) from None
    _check_complete(found, folder)
    model.eval()
    _packed_alike_on_any_processor(model)
    scale_image_tokens(model)
    complete_processor(processor, model)
    processor.tokenizer.padding_side = "left"
    end_tokens = model.generation_config.eos_token_id
    loaded = LoadedModel(
        model=model,
        processor=processor,
        parts=parts_of(model),
        end_tokens=end_tokens if isinstance(end_tokens, list) else [end_tokens],
        device=device,
    )
    return expand_nf4(loaded, params.dequantize) if params.quantization == "nf4" else loaded


def expand_nf4(loaded: LoadedModel, policy: Literal["auto", "always", "never"]) -> LoadedModel:
    """Turn packed NF4 weights into ordinary matrices of the same values, so that no kernel unpacks them again.

    `auto` does so where they fit beside what a good batch needs. The packed weights are given up.
    """
    if policy == "never" or (policy == "auto" and not _expanded_weights_fit(loaded)):
        return loaded
    model = loaded.model.dequantize(dtype=loaded.model.dtype)
    gc.collect()
    return loaded._replace(model=model, parts=parts_of(model))


def model_folder(params: HubModel | FolderModel | TinyRandomModel, scratch: Path) -> Path:
    """The folder with the files of a catalog entry: fetched from the hub, or written below `scratch` if random.

    Raises `SignBridgeError` if the hub cannot be reached, or a folder has no configuration or safetensors weights.
    """
    if params.source == "hub":
        try:
            return Path(snapshot_download(params.hub_id, revision=params.revision, allow_patterns=list(MODEL_FILES)))
        except (OSError, ValueError) as error:
            raise _unusable(params, error) from error
    if params.source == "folder":
        folder = Path(params.path).expanduser()
        _check_folder(folder)
        return folder
    config = tiny_config()
    code = [Path(random_weights.__file__).read_text(encoding="utf-8")]
    versions = [torch.__version__, transformers.__version__, tokenizers.__version__]
    made_from = json.dumps([params.seed, config.to_json_string(), versions, code])
    folder = scratch / f"tiny-random-{hashlib.sha256(made_from.encode()).hexdigest()[:16]}"
    write_random_llava(folder, config, params.seed)
    return folder


def _check_complete(found: dict[str, Any], folder: Path) -> None:
    """Transformers draws at random what it does not find: here that is an error."""
    for problem in ("missing_keys", "mismatched_keys"):
        if found[problem]:
            first = sorted(map(str, found[problem]))[0]
            raise SignBridgeError(
                f"{folder}: the weights do not fit config.json: {len(found[problem])} {problem.replace('_', ' ')}, "
                f"first {first}. Save model and configuration again, together."
            )


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise SignBridgeError(f"{folder}: no such model folder. Set models.<model>.path to one that holds config.json.")
    if not (folder / "config.json").is_file():
        raise SignBridgeError(f"{folder}: no config.json here, so this is no Hugging Face model folder.")
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(file.name for file in [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")])
    if pickled:
        raise SignBridgeError(
            f"{folder}: the weights are pickled ({pickled[0]}) and could run any code, so they are not read. "
            "Save the model again with save_pretrained(), which writes safetensors."
        )
    raise SignBridgeError(f"{folder}: no weights here. Expected model.safetensors, or its shards.")


def _quantization(params: _ModelParams) -> BitsAndBytesConfig | None:
    if params.quantization == "none":
        return None
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise SignBridgeError(
            "quantization nf4 needs bitsandbytes: pip install 'signbridge[gpu]', or set it to none."
        ) from None
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, params.dtype),
    )


def _unusable(params: HubModel | FolderModel | TinyRandomModel, error: Exception) -> SignBridgeError:
    first_line = str(error).strip().splitlines()[0]
    if params.source == "hub":
        return SignBridgeError(
            f"model {params.hub_id} at {params.revision[:12]} cannot be had from the hub: {first_line}\n"
            "Check the network and the name, or fetch it elsewhere and use source: folder with its path."
        )
    where = params.path if params.source == "folder" else "tiny_random"
    return SignBridgeError(f"model {where} cannot be loaded: {first_line}")


def _packed_layers(model: PreTrainedModel) -> list[torch.nn.Module]:
    return [layer for layer in model.modules() if type(layer).__name__ == "Linear4bit"]


def _packed_alike_on_any_processor(model: PreTrainedModel) -> None:
    """Keep bitsandbytes from packing NF4 weights anew on processors that have AVX512-BF16.

    That takes matrices of some shapes only, and its products are bfloat16's: results would depend on the processor.
    """
    for layer in _packed_layers(model):
        layer.support_avx512bf16_for_cpu = False


def _expanded_weights_fit(loaded: LoadedModel) -> bool:
    packed = _packed_layers(loaded.model)
    expanded = sum(layer.in_features * layer.out_features for layer in packed) * loaded.model.dtype.itemsize
    free = free_bytes(loaded.device)
    fits = expanded + BYTES_BESIDE_EXPANDED_WEIGHTS < free
    log.info(
        "NF4 weights %s: %.1f GiB expanded, %.1f GiB free",
        "are expanded once, to the same values" if fits else "stay packed",
        expanded / 2**30,
        free / 2**30,
    )
    return fits
