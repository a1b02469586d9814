"""Which layers of a decoder are adapted when a model is fine-tuned: the products of attention and MLP, of some blocks.

A list of names would hit more: LLaVA's tower has a `q_proj` as well, and PEFT's `all-linear` takes the projector too.
Here a layer must lie in one of the decoder blocks that `Parts` names, and match its family's regular expression there.
"""

import re
from typing import NamedTuple

from torch import nn

from signbridge.core.errors import SignBridgeError
from signbridge.vlm.families.parts import Parts

# Names within a block, by the model_type of the text model. Llama's are those of most.
LLAMA = r"(self_attn\.[qkvo]|mlp\.(gate|up|down))_proj"
LAYERS = {"opt": r"(self_attn\.(q|k|v|out)_proj|fc[12])"}


class Adapted(NamedTuple):
    """The layers that are adapted."""

    pattern: str  # a regular expression for their whole names, as PEFT takes it
    layers: list[str]  # their names in the model


def adapted_layers(model: nn.Module, parts: Parts, blocks: range) -> Adapted:
    """The linear layers of attention and MLP in these of the decoder's blocks, and of no other module.

    Raises `SignBridgeError` if a block has none.
    """
    family = model.config.get_text_config().model_type
    within = LAYERS.get(family, LLAMA)
    name_of = {module: name for name, module in model.named_modules()}
    chosen = {name_of[parts.blocks[number]]: parts.blocks[number] for number in blocks}
    layers = []
    for name, block in chosen.items():
        found = [inner for inner, layer in block.named_modules() if _is_linear(layer) and re.fullmatch(within, inner)]
        if not found:
            raise SignBridgeError(
                f"no layer to adapt in {name} of a '{family}': none is called {within}. "
                "Name its layers in signbridge/vlm/families/adapted.py."
            )
        layers += [f"{name}.{inner}" for inner in found]
    pattern = rf"({'|'.join(re.escape(name) for name in chosen)})\.{within}"
    hit = [name for name, _ in model.named_modules() if re.fullmatch(pattern, name)]
    if sorted(hit) != sorted(layers):
        raise AssertionError(f"{pattern} also hits {sorted(set(hit) - set(layers))[:3]}")
    return Adapted(pattern, layers)


def _is_linear(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear)  # packed ones are, too
