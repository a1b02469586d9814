"""What a model is asked about clips, and what reading them takes: found out before any weights are read."""

import logging
import time
from pathlib import Path
from typing import Any

import torch

from signbridge.core import params
from signbridge.core.errors import SignBridgeError
from signbridge.core.model_folder import check_model_folder
from signbridge.motion.frames import Seen
from signbridge.motion.reading import ClipPrompts, read_as
from signbridge.motion.settings import ReadAs
from signbridge.vlm.catalog import AUTO, Model
from signbridge.vlm.chosen import SCRATCH_MODELS, complete, write_model
from signbridge.vlm.loading import settings_of
from signbridge.vlm.memory import all_bytes, image_bytes
from signbridge.vlm.needs import needs_of
from signbridge.vlm.prompts import prompt_for

log = logging.getLogger(__name__)

_FEWER = "Set fewer `frames` for the dataset in datasets.yaml"


def write_asked(path: Path, name: str, entry: Model, question: str, wanted: ReadAs) -> None:
    """Write what the entry `name` is, with the question about a clip in its prompt, and how it reads clips, to `path`.

    With `prompt: auto` the question stands in the model's chat template. In a prompt that is written out it stands in
    the place of the study's question; one that holds another question is left as it is.
    Raises `SignBridgeError` as `write_model` does, and if the prompt has no `<image>`, or the family takes no video.
    """
    if entry.source == "folder":
        check_model_folder(Path(entry.path).expanduser(), entry.quantization)
    is_written = entry.prompt != AUTO
    asked = complete(entry, question)
    _, config, processor = settings_of(asked, SCRATCH_MODELS)
    prompt = asked.prompt.replace(params.section("question", str), question) if is_written else asked.prompt
    prompt = prompt_for(prompt, f"models.yaml: {name}.prompt", processor.image_token)
    how = read_as(wanted, config.model_type)
    write_model(path, name, asked.model_copy(update={"prompt": prompt}), read_as=how)


def check_clips(name: str, model: Model, prompts: ClipPrompts, items: list[Seen], device: torch.device) -> int:
    """How many tokens a prompt with the largest clip takes; what reading all `items` takes at least is logged.

    Raises `SignBridgeError` if that is longer than the model reads, or needs more memory than `device` has.
    """
    config = prompts.config
    tokens = prompts.tokens(max(items, key=lambda item: item.size[0] * item.size[1]))
    most = getattr(config.get_text_config(), "max_position_embeddings", None)
    if most is not None and tokens + model.max_new_tokens > most:
        each = "" if prompts.read_as == "video" else ", or choose a model with video input, where a frame takes fewer"
        raise SignBridgeError(
            f"{name}: a clip of {prompts.frames} frames takes {tokens} tokens with its prompt, and an answer up to "
            f"{model.max_new_tokens} more; the model reads {most}. {_FEWER}{each}."
        )
    needs = needs_of(config, model)
    there = all_bytes(device)
    needed = needs.weights + image_bytes(config, tokens, model.max_new_tokens, getattr(torch, model.dtype).itemsize)
    if needed > there:
        raise SignBridgeError(
            f"{device}: {name} needs {needed / 2**30:.1f} GiB with one clip of {prompts.frames} frames at a time "
            f"({tokens} tokens), and {there / 2**30:.1f} GiB are there. {_FEWER}, or choose a smaller model."
        )
    tower = max(0.0, needs.prompt - needs.word * needs.prompt_tokens)  # of one image, its share of attention included
    work = len(items) * (prompts.frames * tower + (tokens + model.max_new_tokens) * needs.word)
    hours = work / _speed(device, getattr(torch, model.dtype)) / 3600
    count = len(items), prompts.frames, prompts.read_as, tokens
    log.info("%d times %d frames, read as %s: %d tokens a prompt, at least %.2f hours", *count, hours)
    return tokens


def prompts_before_loading(model: Model, wanted: ReadAs, frames: int, load: Any) -> ClipPrompts:
    """`ClipPrompts` of a complete entry, from its files alone; no weights are fetched."""
    _, config, processor = settings_of(model, SCRATCH_MODELS)
    return ClipPrompts(processor, config, model.prompt, wanted, frames, load)


def _speed(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a product of large matrices on `device`: no model is faster."""
    side = 4096 if device.type == "cuda" else 512
    matrix = torch.ones(side, side, dtype=dtype, device=device)
    matrix @ matrix
    started, times = time.perf_counter(), 3
    for _ in range(times):
        product = matrix @ matrix
    product.sum().item()  # waits for the device
    return times * 2.0 * side**3 / (time.perf_counter() - started)
