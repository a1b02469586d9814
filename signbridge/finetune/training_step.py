"""One step of tuning: the adapter, its optimiser, and the gradients of a step's images, as many at once as fit.

LoRA (Hu et al. 2021) by PEFT; on packed weights QLoRA (Dettmers et al. 2023). The loss is that of the answer's tokens
and of the token that ends it.
"""

import json
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import BatchFeature

from signbridge.core import params
from signbridge.core.errors import SignBridgeError
from signbridge.datasets.images import decoded
from signbridge.finetune.frozen import entering, pass_on
from signbridge.finetune.settings import Recipe
from signbridge.vlm.extraction import Reader, in_batches
from signbridge.vlm.families.adapted import Adapted
from signbridge.vlm.families.parts import with_text_behind
from signbridge.vlm.memory import halving, said_when_full
from signbridge.vlm.nf4 import without_kernels

with without_kernels():  # PEFT imports bitsandbytes
    from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict

REMEDY = f"Free some, lower r of the preset in {params.FINETUNE}, or set quantization: nf4 for the model."
LARGEST_GRADIENT = 1.0  # norm to which a step's gradient is cut
# Of AdamW's means of gradients and of their squares. At first gradients are large, as no answer is a letter: the usual
# 0.999 remembers that for longer than a run of some hundred steps lasts, and keeps its steps small.
BETAS = (0.9, 0.98)


class Example(NamedTuple):
    """An image and what is to be answered."""

    png: bytes
    tokens: list[int]  # of the answer, and the one that ends it


class Right(NamedTuple):
    """What held-out images say."""

    loss: float  # nats a token
    accuracy: float  # the share whose tokens are all the likeliest


class Trainer:
    """The adapter, its optimiser, and the adapter that is to be kept."""

    def __init__(
        self, reader: Reader, layers: Adapted, recipe: Recipe, seed: int, at_once: int, examples: Sequence[Example]
    ):
        """`examples` are all that it will be tuned on and asked."""
        self.reader, self.recipe, self.seed = reader, recipe, seed
        self.device, model = reader.loaded.device, reader.loaded.model
        with _seeded(self.device, seed, -1):
            self.peft = _adapted(model, layers, recipe)
        self.weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        if recipe.checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        self.model, self.at_once = model, at_once
        blocks = reader.loaded.parts.blocks
        first = next(number for number, block in enumerate(blocks) if _is_tuned(block))
        named = model.named_modules()
        of_adapters = [layer for name, layer in named if "lora_dropout" in name and isinstance(layer, nn.Dropout)]
        self.trained = [*blocks[first:], *of_adapters]
        self.longest = max(len(example.tokens) for example in examples)
        self.frozen = self._read_frozen(first, examples)
        # On processor cores all weights in one call: else it takes a tenth of a small model's step.
        self.optimiser = torch.optim.AdamW(
            self.weights.values(), lr=recipe.lr, betas=BETAS, weight_decay=0.0, fused=self.device.type == "cpu" or None
        )
        # In half precision small gradients are lost, unless the loss is a large number.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=model.dtype == torch.float16)
        self.kept: dict[str, Tensor] = {}

    def begin(self, checkpoint: Path | None) -> dict[str, Any]:
        """The state of the loop: of a checkpoint, which this is then as well, or of the beginning."""
        if checkpoint is None:
            return {"step": 0, "rows": [], "losses": []}
        said = json.loads((checkpoint / "progress.json").read_text(encoding="utf-8"))
        self.at_once = said["at_once"]
        tensors = load_file(checkpoint / "tensors.safetensors")
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(tensors[f"weight {name}"])
        adam = {
            number: {key: tensors[f"{key} {name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            for number, name in enumerate(self.weights)
        }
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": adam})
        self.scaler.load_state_dict(said["scaler"])
        self.kept = {name[5:]: tensor for name, tensor in tensors.items() if name.startswith("kept ")}
        return said["state"]

    def write(self, folder: Path, state: dict[str, Any]) -> None:
        """Write all that `begin` takes."""
        adam = self.optimiser.state_dict()["state"]
        tensors = {f"weight {name}": weight.detach() for name, weight in self.weights.items()}
        for number, name in enumerate(self.weights):
            tensors |= {f"{key} {name}": adam[number][key] for key in ("step", "exp_avg", "exp_avg_sq")}
        tensors |= {f"kept {name}": tensor for name, tensor in self.kept.items()}
        save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, folder / "tensors.safetensors")
        said = {"state": state, "at_once": self.at_once, "scaler": self.scaler.state_dict()}
        (folder / "progress.json").write_text(json.dumps(said), encoding="utf-8")

    def keep(self) -> None:
        """Let the adapter be, as it is now, the one that is kept."""
        state = get_peft_model_state_dict(self.peft, save_embedding_layers=False)
        self.kept = {name: state[name].detach().float().cpu().clone() for name in sorted(state)}

    def config(self) -> dict[str, Any]:
        """PEFT's configuration, ready for JSON."""
        config = self.peft.peft_config["default"].to_dict()
        return {name: sorted(value) if isinstance(value, set) else value for name, value in config.items()}

    def rate(self, step: int, steps: int) -> float:
        """The rate of learning: up over the first steps, then down half a cosine."""
        warm_up = math.ceil(self.recipe.warm_up * steps)
        if step < warm_up:
            return self.recipe.lr * (step + 1) / warm_up
        return self.recipe.lr * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up))) / 2

    def step(self, step: int, steps: int, batch: list[Example]) -> float:
        """Take one step; the loss in nats a token. Raises `SignBridgeError` if it is not finite."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(step, steps)

        tokens, weights = sum(len(example.tokens) for example in batch), list(self.weights.values())

        def of_part(part: Sequence[Example]) -> tuple[float, tuple[Tensor, ...]]:
            losses, is_token = self._losses(part)
            loss = (losses * is_token).sum() / tokens
            return loss.item(), torch.autograd.grad(self.scaler.scale(loss), weights)

        def gradients(at_once: int) -> float:
            self.optimiser.zero_grad(set_to_none=True)
            total = 0.0
            for loss, gradient in map(of_part, in_batches(batch, at_once)):
                total += loss
                for weight, change in zip(weights, gradient, strict=True):
                    weight.grad = change if weight.grad is None else weight.grad.add_(change)
            return total

        with _seeded(self.device, self.seed, step), _training(self.trained):
            loss, self.at_once = halving(gradients, self.at_once, self.device, "one image at a time", REMEDY)
        if not math.isfinite(loss):
            raise SignBridgeError(
                f"fine-tuning: the loss is {loss} at step {step + 1} of {steps}: it has diverged. Lower lr of the "
                f"preset in {params.FINETUNE}; in float16, try dtype bfloat16 for the model in models.yaml."
            )
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.weights.values(), LARGEST_GRADIENT)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return loss

    def look(self, held_out: Sequence[Example]) -> Right:
        """How the adapted model does on images that it is not trained on."""

        @torch.no_grad()
        def of_part(part: Sequence[Example]) -> list[tuple[float, int, bool]]:
            losses, is_token = self._losses(part, right := [])
            of_image = (losses * is_token).sum(1).tolist(), is_token.sum(1).tolist(), right[0].tolist()
            return list(zip(*of_image, strict=True))

        def measure(at_once: int) -> list[tuple[float, int, bool]]:
            return [image for part in in_batches(held_out, at_once) for image in of_part(part)]

        found, self.at_once = halving(measure, self.at_once, self.device, "one image at a time", REMEDY)
        losses, tokens, right = zip(*found, strict=True)
        return Right(sum(losses) / sum(tokens), float(np.mean(right)))

    def _losses(
        self, batch: Sequence[Example], right: list[Tensor] | None = None
    ) -> tuple[Float[Tensor, "images tokens"], Bool[Tensor, "images tokens"]]:
        """The loss of each token of the answers, and which are tokens; shorter answers are filled up."""
        tokens, is_token = self._filled(batch)
        if self.frozen:
            fed = {"inputs_embeds": torch.stack([self.frozen[_key(example)] for example in batch]).to(self.device)}
        else:
            fed = self._fed(batch, tokens)
        logits = self.model(**fed, use_cache=False, logits_to_keep=tokens.shape[1]).logits.float()
        if right is not None:
            right.append(((logits.argmax(-1) == tokens) | ~is_token).all(1))
        return nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none").view_as(
            tokens
        ), is_token

    def _fed(self, batch: Sequence[Example], tokens: Int[Tensor, "images tokens"]) -> BatchFeature:
        """What the model takes in: the prompts, and the answers but for the last token, which is predicted."""
        inputs = self.reader.to_device(self.reader.prepare(decoded([example.png for example in batch])))
        return BatchFeature(with_text_behind(self.reader.loaded.parts, inputs, tokens[:, :-1]))

    def _filled(self, batch: Sequence[Example]) -> tuple[Int[Tensor, "images tokens"], Bool[Tensor, "images tokens"]]:
        answers = [example.tokens for example in batch]
        filled = [answer + answer[-1:] * (self.longest - len(answer)) for answer in answers]
        lengths = torch.tensor([len(answer) for answer in answers], device=self.device)
        tokens = torch.tensor(filled, device=self.device)
        return tokens, torch.arange(self.longest, device=self.device) < lengths[:, None]

    def _read_frozen(self, first: int, examples: Sequence[Example]) -> dict[tuple, Float[Tensor, "tokens width"]]:
        """What enters block `first` of each example, one by one for the same bytes at whatever step it begins."""
        parts = self.reader.loaded.parts
        passes = (self._fed([example], self._filled([example])[0]) for example in examples)
        with said_when_full(self.device, "reading what is frozen", REMEDY):
            streams = entering(self.model, parts, first, passes, len(examples))
        if streams is None:
            return {}
        pass_on(parts.blocks[:first])
        return {_key(example): stream for example, stream in zip(examples, streams, strict=True)}


def _adapted(model: nn.Module, layers: Adapted, recipe: Recipe) -> PeftModel:
    """PEFT's model around `model`, whose `layers` alone have an adapter, in single precision."""
    config = LoraConfig(
        r=recipe.r, lora_alpha=recipe.alpha, lora_dropout=recipe.dropout, bias="none", target_modules=layers.pattern,
        task_type="CAUSAL_LM",
    )  # fmt: skip
    with warnings.catch_warnings():  # PEFT asks for it by its older name
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        adapted = get_peft_model(model, config)
    found = {name for name, layer in model.named_modules() if hasattr(layer, "lora_A")}
    if found != set(layers.layers):
        raise AssertionError(f"PEFT adapts {sorted(found ^ set(layers.layers))[:3]} otherwise than asked")
    return adapted


def _is_tuned(block: nn.Module) -> bool:
    return any(weight.requires_grad for weight in block.parameters())


def _key(example: Example) -> tuple:
    return example.png, *example.tokens


@contextmanager
def _seeded(device: torch.device, seed: int, step: int) -> Iterator[None]:
    """While open, PyTorch draws what follows from the seed and the step."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(np.random.SeedSequence([seed, step + 1, 23]).generate_state(1)[0]))
        yield


@contextmanager
def _training(layers: Sequence[nn.Module]) -> Iterator[None]:
    """While open, these adapters drop out, and these blocks know that they are trained; nothing else does."""
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False
