"""What tuning takes of memory, before a weight is fetched or loaded; and how many images go through at once."""

import importlib.util
import logging
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import AutoModelForImageTextToText, PreTrainedConfig

from signbridge.core import params
from signbridge.core.errors import SignBridgeError
from signbridge.finetune.settings import Recipe, recipe_of
from signbridge.vlm import hub
from signbridge.vlm.catalog import Model
from signbridge.vlm.families import parts_of
from signbridge.vlm.families.adapted import adapted_layers
from signbridge.vlm.memory import all_bytes, fitting_batch
from signbridge.vlm.needs import Needs, config_of, needs_of
from signbridge.vlm.nf4 import room_for_expanded
from signbridge.vlm.random_weights import tiny_config

log = logging.getLogger(__name__)

# Bytes of an adapter's parameter, in single precision: itself, its gradient, that of the images which are added to it,
# and AdamW's two means.
OF_A_PARAMETER = 20
GIB = 2**30
_LESS = (
    "Set quantization: nf4 and dequantize: never for the model in models.yaml, checkpointing: true or a lower r in "
    f"{params.FINETUNE}, or choose a smaller model."
)


class Room(NamedTuple):
    """What tuning takes, in bytes."""

    weights: int  # of the model
    adapter: int  # with gradients and optimiser
    block: int  # matrices of a block that are expanded to be multiplied, where they are packed
    image: int  # activations that are kept of one image for its gradient

    def at_once(self, images: int) -> int:
        """Bytes for so many images at once."""
        return self.weights + self.adapter + self.block + images * self.image


def require_peft() -> None:
    """Raises `SignBridgeError` if PEFT is missing: it is an extra, and fine-tuning alone needs it."""
    if importlib.util.find_spec("peft") is None:
        raise SignBridgeError("fine-tuning needs PEFT: pip install -c requirements.lock -e '.[finetune]'.")


def check_room(entry: Model, recipe: Recipe, blocks: range, device: torch.device) -> int:
    """How many images should go through at once: at most a step's, and a power of two.

    It goes by the size of the memory; where that is too much, memory that runs out lowers it. Raises `SignBridgeError`
    if one at a time does not fit.
    """
    room, there = _room(entry, recipe, blocks, device), all_bytes(device)
    log.info("%s", _said(room, device, there))
    if room.at_once(1) > there:
        raise SignBridgeError(f"{device}: {_said(room, device, there)}\n{_LESS}")
    return min(2 ** (recipe.batch - 1).bit_length(), fitting_batch(device.type, there - room.at_once(0), room.image))


def memory_of_tuning(entry: Model, blocks: int, device: torch.device) -> str:
    """A line on the memory that tuning all of so many decoder blocks takes by the chosen preset, for the preflight.

    There is one more where that is too much: it is no matter of the study.
    """
    try:
        preset, recipe = recipe_of()
        room, there = _room(entry, recipe, range(blocks), device), all_bytes(device)
    except SignBridgeError as error:
        return f"Memory of fine-tuning: not known. {error}"
    said = f"Memory of fine-tuning, preset {preset}: {_said(room, device, there)}"
    return said if room.at_once(1) <= there else f"{said}\nThat is too little for it. {_LESS}"


def _said(room: Room, device: torch.device, there: int) -> str:
    return (
        f"tuning takes {room.at_once(1) / GIB:.1f} GiB with one image at a time ({room.weights / GIB:.1f} of weights, "
        f"{room.adapter / GIB:.1f} of the adapter), {device} has {there / GIB:.1f} GiB."
    )


def _room(entry: Model, recipe: Recipe, blocks: range, device: torch.device) -> Room:
    config = _config(entry)
    return room_for_tuning(config, entry, needs_of(config, entry), recipe, blocks, all_bytes(device))


def room_for_tuning(
    config: PreTrainedConfig, entry: Model, needs: Needs, recipe: Recipe, blocks: range, there: int
) -> Room:
    """What tuning these decoder blocks takes; `there` is the memory, by which packed weights are expanded or not.

    Of an image a block keeps, for each token: what goes into its products, its norms and the adapters, which compute in
    single precision. With checkpointing that is held of one block at a time, and of every other what goes into it.
    """
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(
            config, dtype=getattr(torch, entry.dtype), trust_remote_code=False
        )
    layers = [model.get_submodule(name) for name in adapted_layers(model, parts_of(model), blocks).layers]
    adapter = sum(recipe.r * (layer.in_features + layer.out_features) for layer in layers)
    size, text = model.dtype.itemsize, config.get_text_config()
    mlp = getattr(text, "intermediate_size", None) or text.ffn_dim
    into_adapters = 4 * sum(layer.in_features for layer in layers) // len(blocks)
    in_block = text.hidden_size * (12 * size + 8) + mlp * 5 * size + into_adapters
    through = text.num_hidden_layers - blocks.start  # gradients go down to the first block that is tuned
    kept = in_block + through * text.hidden_size * size if recipe.checkpointing else through * in_block
    expands = entry.dequantize == "always" or (entry.dequantize == "auto" and room_for_expanded(needs.expanded, there))
    packed = entry.quantization == "nf4" and not expands
    of_block = sum(weight.numel() for weight in parts_of(model).blocks[0].parameters()) * size
    return Room(
        weights=needs.weights if packed else needs.expanded,
        adapter=OF_A_PARAMETER * adapter,
        block=of_block * (1 if recipe.checkpointing else through) if packed else 0,
        image=needs.prompt_tokens * kept,
    )


def _config(entry: Model) -> PreTrainedConfig:
    if entry.source == "tiny_random":
        return tiny_config(entry.family)
    if entry.source == "hub":
        return config_of(hub.fetch(entry.hub_id, entry.revision, ["config.json"]))
    return config_of(Path(entry.path).expanduser())
