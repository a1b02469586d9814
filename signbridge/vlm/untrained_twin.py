"""The untrained twin of a model: the same architecture, tokenizer and image processing, with seeded random weights.

What a probe reads in the twin comes from the architecture and the images, not from training.

**Which distribution.** The library's own initialisation runs over a model without storage, and what it would write into
each weight is noted: initializer ranges, norms of one, biases of zero, the rules of a vision tower. No value is drawn.

**Which values.** Each weight is drawn when the library asks for it, and packed or moved before the next. So the twin
needs no file, and one weight of memory beside the model. A weight's values depend on its name and the seed alone.

**The same bytes on any machine.** A value is one of 65,536 equally likely quantiles of its distribution, chosen by 16
bits of Philox. NumPy guarantees its stream of integers. It does not guarantee its streams of floats, and PyTorch's
depend on the width of the processor's vectors. Quantiles of the normal distribution are rounded to float32, and none is
so near to the middle of two floats that another C library could round it otherwise. What follows is a product, a sum
and a cast, which IEEE 754 fixes. The quantiles have a standard deviation of 0.99999 and end at 4.3 of them.
"""

import hashlib
import logging
import math
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.core_model_loading import revert_weight_conversion
from transformers.initialization import TORCH_INIT_FUNCTIONS, no_tie_weights

from signbridge.core.errors import SignBridgeError

log = logging.getLogger(__name__)

LEVELS = 2**16
CHUNK = 2**18  # values drawn at once: 512 KB of random bits and 2 MB of places


def from_untrained(
    folder: Path,
    *,
    seed: int,
    dtype: torch.dtype,
    quantization_config: BitsAndBytesConfig | None = None,
    trust_remote_code: Literal[False],
    **how: Any,
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """What `from_pretrained(folder, ...)` gives and found, but with weights that are drawn from `seed`.

    They are packed as `folder` says, if its own are packed. `how` is handed on. Raises `SignBridgeError` if the weights
    in `folder` do not fit its config.json, or the library does not say how one of them begins.
    """
    log.info("drawing the untrained twin's weights")
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    packed = _unpack(config)
    with torch.device("meta"), no_tie_weights():
        model = AutoModelForImageTextToText.from_config(config, dtype=dtype, trust_remote_code=False)
    _check_shapes(model, folder)
    twin, found = type(model).from_pretrained(
        None,
        config=config,
        state_dict=weights_of_twin(model, seed, folder),
        dtype=dtype,
        quantization_config=packed or quantization_config,
        trust_remote_code=False,
        **how,
    )
    twin.adjust_generation_fn(  # whether an answer ends, and at which tokens: as for the source
        None, False, False, folder, cache_dir=None, force_download=False, proxies=None, local_files_only=True,
        token=None, revision=None, subfolder="", trust_remote_code=False,
    )  # fmt: skip
    return twin, found


def _unpack(config: PreTrainedConfig) -> BitsAndBytesConfig | None:
    """Let `config` tell of weights that are not packed; how it said that they are."""
    packed = None
    for one in (config, config.get_text_config()):
        if hasattr(one, "quantization_config"):
            packed = packed or one.quantization_config
            del one.quantization_config
    return BitsAndBytesConfig.from_dict(packed) if isinstance(packed, dict) else packed


class Write(NamedTuple):
    """What the initialisation writes into a weight, or into a part of it."""

    part: Tensor  # of a weight without storage
    levels: Float[Tensor, " levels"] | None  # the values to draw from, equally likely; one where all are the same
    given: Tensor | None = None  # or the values themselves
    by: str = ""  # what writes


class Unwritten:
    """A weight that is drawn when the library asks for it, as it asks a file: `weight[...]`."""

    def __init__(self, seed: int, name: str, weight: Tensor, writes: list[Write]):
        self.stream = f"untrained twin {seed} {name}"
        self.weight, self.writes = weight, writes

    def __getitem__(self, everything: Any) -> Tensor:
        drawn = torch.empty_strided(self.weight.shape, self.weight.stride(), dtype=self.weight.dtype)
        for number, (part, levels, given, _) in enumerate(self.writes):
            of_drawn = drawn.as_strided(part.shape, part.stride(), part.storage_offset())
            if given is not None:
                of_drawn.copy_(given)
            elif len(levels) == 1:
                of_drawn.fill_(levels.item())
            else:
                values = of_drawn if of_drawn.is_contiguous() else torch.empty_like(of_drawn)
                _draw(values.view(-1), levels.to(drawn.dtype), f"{self.stream} {number}")
                if values is not of_drawn:
                    of_drawn.copy_(values)
        return drawn[everything]


def _draw(into: Float[Tensor, " values"], levels: Float[Tensor, " levels"], stream: str) -> None:
    """Fill `into` with values of `levels`, which have one dtype, chosen by the stream of that name."""
    bits = np.random.Philox(key=int.from_bytes(hashlib.sha256(stream.encode()).digest()[:16], "little"))
    of_size = {2: torch.int16, 4: torch.int32, 8: torch.int64}[into.itemsize]  # NumPy has no bfloat16
    values, table = into.view(of_size).numpy(), levels.view(of_size).numpy()
    for start in range(0, len(values), CHUNK):
        chunk = values[start : start + CHUNK]
        places = bits.random_raw(-(-len(chunk) // 4)).astype("<u8", copy=False).view("<u2")
        np.take(table, places[: len(chunk)], out=chunk, mode="wrap")  # none is outside; `raise` would take a copy


def weights_of_twin(model: PreTrainedModel, seed: int, folder: Path) -> dict[str, Unwritten]:
    """Every weight of a `model` without storage, but for those that are another one's."""
    with torch.random.fork_rng(devices=[]), _Recorder() as recorder:
        torch.manual_seed(seed)  # for a rule that makes a tensor of its own and copies it
        model.initialize_weights()
    weights = {}
    for name, weight in model.state_dict(keep_vars=True).items():
        if name in model.all_tied_weights_keys:
            continue
        writes = recorder.writes[weight.untyped_storage()._cdata] if weight.is_meta else [Write(weight, None, weight)]
        unknown = [write.by for write in writes if write.levels is None and write.given is None]
        if unknown or not writes:
            how = f"is made by {unknown[0]}, which is not known here" if unknown else "is left as it is"
            raise SignBridgeError(
                f"{folder}: the untrained twin cannot be drawn: {name} {how}. "
                "Describe it in signbridge/vlm/untrained_twin.py, or leave untrained_twin out of controls.read."
            )
        weights[name] = Unwritten(seed, name, weight, writes)
    return weights


class _Recorder(TorchDispatchMode):
    """Notes what is written into tensors without storage: the last write to all of one, and what follows it."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: dict[int, list[Write]] = defaultdict(list)  # by storage, which a write keeps from being used again
        self.of_library = TORCH_INIT_FUNCTIONS["trunc_normal_"]

    def __enter__(self) -> "_Recorder":
        TORCH_INIT_FUNCTIONS["trunc_normal_"] = self.trunc_normal_  # which writes nothing where there is no storage
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        TORCH_INIT_FUNCTIONS["trunc_normal_"] = self.of_library
        super().__exit__(*raised)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        told = {argument.name: argument.default_value for argument in func._schema.arguments}
        told |= dict(zip(told, args, strict=False)) | (kwargs or {})
        for argument in func._schema.arguments:
            if argument.alias_info is not None and argument.alias_info.is_write:
                self._note(told[argument.name], str(func), _levels(func.overloadpacket, told), told.get("src"))
        return func(*args, **(kwargs or {}))

    def trunc_normal_(
        self,
        tensor: Tensor,
        mean: float = 0.0,
        std: float = 1.0,
        a: float = -2.0,
        b: float = 2.0,
        generator: Any = None,
    ) -> Tensor:
        """Note `torch.nn.init.trunc_normal_`: a normal distribution cut off at `a` and `b`."""
        levels = _normal((a - mean) / std, (b - mean) / std)
        self._note(tensor, "trunc_normal_", _scaled(levels, mean, std))
        return tensor

    def _note(self, part: Any, by: str, levels: Tensor | None, given: Any = None) -> None:
        if not (isinstance(part, Tensor) and part.is_meta):
            return
        writes = self.writes[part.untyped_storage()._cdata]
        if part.numel() * part.itemsize == part.untyped_storage().nbytes():
            writes.clear()
        writes.append(Write(part, levels, given if isinstance(given, Tensor) and not given.is_meta else None, by))


def _levels(op: Any, told: Mapping[str, Any]) -> Float[Tensor, " levels"] | None:
    """What an operation of PyTorch with these arguments draws from, if that is known here."""
    aten = torch.ops.aten
    if op is aten.normal_:
        return _scaled(_normal(), told["mean"], told["std"])
    if op is aten.uniform_:
        return _scaled((torch.arange(LEVELS) + 0.5) / LEVELS, told["from"], told["to"] - told["from"])
    if op is aten.zero_:
        return torch.zeros(1)
    if op is aten.fill_:
        return torch.tensor([float(told["value"])])
    return None


@cache
def _normal(low: float = -math.inf, high: float = math.inf) -> Float[Tensor, " levels"]:
    """Quantiles of the standard normal distribution between `low` and `high`."""
    normal = NormalDist()
    first, last = normal.cdf(low), normal.cdf(high)
    places = (first + (last - first) * (level + 0.5) / LEVELS for level in range(LEVELS))
    return torch.tensor([normal.inv_cdf(place) for place in places], dtype=torch.float32)


def _scaled(levels: Float[Tensor, " levels"], start: float, factor: float) -> Float[Tensor, " levels"]:
    return (start + factor * levels.double()).float()


def _check_shapes(model: PreTrainedModel, source: Path) -> None:
    """Weights that both name have one shape: a check of the source, which `load` may not have read by now.

    The packed weights of a source have no shape of their own.
    """
    ours, theirs = revert_weight_conversion(model, model.state_dict()), {}
    for path in source.glob("*.safetensors"):
        with safe_open(path, framework="numpy") as file:
            theirs |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (no mapping)
    theirs = {name: shape for name, shape in theirs.items() if f"{name}.absmax" not in theirs}
    for name in sorted(ours.keys() & theirs.keys()):
        if list(ours[name].shape) != theirs[name]:
            raise SignBridgeError(
                f"{source}: the weights do not fit config.json: {name} is {theirs[name]}, the configuration makes it "
                f"{list(ours[name].shape)}. Save model and configuration again, together."
            )
