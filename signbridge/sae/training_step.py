"""One step of training on a batch that may not fit into memory at once: gradients are summed over parts of it.

The mean over the batch is the sum of its parts' means, each weighted by its share of the tokens, so the step is the
same but for rounding. Only `batchtopk` is taken whole: it chooses its features among those of all tokens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from sae_lens.saes.sae import TrainStepInput
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from signbridge.core import params
from signbridge.core.errors import SignBridgeError
from signbridge.vlm.memory import halving, said_when_full

REMEDY = f"Free some, or lower `width` of the preset in {params.SAE_PRESETS}, or train fewer `sae.layers` at a time."


class StepOutput(NamedTuple):
    """What a step made of its batch, before the weights were changed."""

    losses: dict[str, Tensor]  # `loss`, then what it is the sum of: means over the batch
    given: Float[Tensor, "tokens width"]  # as they are trained on
    given_back: Float[Tensor, "tokens width"]
    active: Int[Tensor, " tokens"]  # how many features fire


def take_step(trainer: SAETrainer, vectors: Float[Tensor, "tokens width"], at_once: int) -> tuple[StepOutput, int]:
    """Train on a batch of vectors as `SAETrainer.step` does, `at_once` tokens together; what came of it, and how many.

    They are halved whenever memory runs out. Raises `SignBridgeError` if that does not help.
    """
    device = trainer.sae.device
    trainer.maybe_reset_sparsity()
    trainer.sae.train()
    whole = trainer.sae.cfg.architecture() == "batchtopk"

    def gradients(size: int) -> tuple[StepOutput, Tensor]:
        if whole and size < len(vectors):
            raise SignBridgeError(
                f"{device}: out of memory with a batch of {len(vectors)} tokens, which batchtopk takes whole. "
                f"Lower `batch` of the preset in {params.SAE_PRESETS}."
            )
        trainer.optimizer.zero_grad()
        return _gradients(trainer, vectors, size)

    (output, fired), at_once = halving(gradients, at_once, device, "one token at a time", REMEDY)
    trainer.n_training_samples += len(vectors)
    trainer.n_forward_passes_since_fired += 1
    trainer.n_forward_passes_since_fired[fired > 0] = 0
    trainer.act_freq_scores += fired
    trainer.n_frac_active_samples += len(vectors)
    with said_when_full(device, "changing the weights of an autoencoder", REMEDY):
        torch.nn.utils.clip_grad_norm_(trainer.sae.parameters(), 1.0)
        trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    trainer.lr_scheduler.step()
    for scheduler in trainer.coefficient_schedulers.values():
        scheduler.step()
    trainer.n_training_steps += 1
    return output, at_once


def _gradients(
    trainer: SAETrainer, vectors: Float[Tensor, "tokens width"], at_once: int
) -> tuple[StepOutput, Float[Tensor, " features"]]:
    """Sum the gradients over parts of the batch; what came of it, and for how many tokens each feature fired."""
    dead, coefficients = trainer.dead_neurons, trainer.get_coefficients()
    parts, fired = [], torch.zeros_like(trainer.act_freq_scores)
    for part in vectors.split(at_once):
        given = trainer.activation_scaler(part.to(trainer.sae.device, torch.float32))
        asked = TrainStepInput(given, coefficients, dead, trainer.n_training_steps, is_logging_step=False)
        output = trainer.sae.training_forward_pass(asked)
        share = len(part) / len(vectors)
        (output.loss * share if share < 1 else output.loss).backward()
        features = output.feature_acts.detach()
        fired += (features != 0).sum(0)
        losses = {name: loss.detach() * share for name, loss in {"loss": output.loss, **output.losses}.items()}
        parts.append(StepOutput(losses, given, output.sae_out.detach(), (features > 0).sum(1)))
        del output, features  # or they would stand beside those of the next part
    losses = {name: sum(part.losses[name] for part in parts) for name in parts[0].losses}
    _, *joined = zip(*parts, strict=True)
    return StepOutput(losses, *map(torch.cat, joined)), fired


@contextmanager
def multiplying(matmul: Literal["float32", "tf32"]) -> Iterator[None]:
    """Within the block, GPUs multiply float32 matrices so: `tf32` rounds what is multiplied to 10 bits, not the sums.

    It is switched for the whole process. Processor cores mostly have no such products.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision({"float32": "highest", "tf32": "high"}[matmul])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
