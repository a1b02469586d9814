"""Put a low-rank adapter into a model's weights, for good: the model is then read like any other.

LoRA (Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1): W + alpha / r B A. Both are
added in single precision and rounded once to the model's dtype. PEFT is not needed for it.
"""

import re
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from signbridge.core import activations
from signbridge.core.errors import SignBridgeError
from signbridge.vlm.adapter_files import WEIGHTS, Base, read_config

_KEY = re.compile(r"base_model\.model\.(?P<layer>.+)\.lora_(?P<factor>[AB])\.weight")
ALMOST = 0.01  # of the length of all vectors


@torch.no_grad()
def merge_adapter(model: nn.Module, folder: Path, base: Base) -> None:
    """Add the adapter in `folder` to the weights of `model`, which is `base`; no weight of `model` may be packed.

    Raises `SignBridgeError` if the adapter is of another model, is damaged, or does not fit.
    """
    config, path = read_config(folder, base), folder / WEIGHTS
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise SignBridgeError(f"{path}: not readable ({error}). Copy it again, or tune it again.") from None
    factors: dict[str, dict[str, torch.Tensor]] = {}
    for name, factor in weights.items():
        found = _KEY.fullmatch(name)
        if found is None:
            raise SignBridgeError(f"{path}: {name}: only plain LoRA is applied here. Merge it by PEFT.")
        factors.setdefault(found["layer"], {})[found["factor"]] = factor
    scale = config["lora_alpha"] / (config["r"] ** 0.5 if config.get("use_rslora") else config["r"])
    layers = dict(model.named_modules())
    changes = []
    for name, pair in factors.items():  # all are checked before the first is changed
        layer = layers.get(name)
        shape = tuple(layer.weight.shape) if isinstance(layer, nn.Linear) else None
        if set(pair) != {"A", "B"} or shape != (len(pair["B"]), pair["A"].shape[1]):
            raise SignBridgeError(f"{path}: {name}: fits no layer of {base}. Choose the adapter of this model.")
        if not all(factor.isfinite().all() for factor in pair.values()):
            raise SignBridgeError(f"{path}: {name}: not finite. Tune it again at a lower rate of learning.")
        changes.append((layer.weight, pair["A"], pair["B"]))
    for weight, a, b in changes:
        change = b.to(weight.device).float() @ a.to(weight.device).float()
        weight.copy_(weight.float() + scale * change)


def check_untouched(tuned: Path, base: Path) -> str:
    """How alike what an adapted model holds before its decoder is to what its base holds: an adapter changes nothing.

    `tuned` and `base` are folders of activations. Read in the same batches, on the same kind of device and by the same
    packages, they are alike bit for bit; otherwise to within `ALMOST`. Raises `SignBridgeError` if they are not.
    """
    ours, theirs = (activations.made_by(folder, "embedding") for folder in (tuned, base))
    on, of = (made_by.get("read_on", {}) for made_by in (ours, theirs))
    same = (
        all(on.get(key) == of.get(key) for key in ("device", "batch_size")) and ours["packages"] == theirs["packages"]
    )
    for site in activations.SITES_BEFORE_LAYERS:
        image_ids = activations.image_ids(tuned, site)
        for position in set(activations.positions_in(tuned, site)) - {
            "answer_last"
        }:  # another answer feeds other tokens back
            here, there = (activations.read(folder, site, position, image_ids) for folder in (tuned, base))
            error = float(np.linalg.norm(here - there) / max(np.linalg.norm(there), 1e-30))
            if error > (0 if same else ALMOST):
                raise SignBridgeError(
                    f"{tuned}: {site} at {position} is not that of the model without its adapter ({base}): off by "
                    f"{error:.2g} of its length. The adapter reaches beyond the decoder, or {base} is of another model."
                )
    return "bit for bit" if same else f"to {ALMOST:.0%}, as they were read in other batches or on another device"
