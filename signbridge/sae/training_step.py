"""One step of training on a batch that may not fit into memory at once: gradients are summed over parts of it.

The mean over the batch is the sum of its parts' means, each weighted by its share of the tokens, so the step is the
same but for rounding. `batchtopk` chooses its features among those of all tokens. So in parts the batch is encoded
twice: first for the activations that are chosen, of which the least is the threshold of the second time.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from sae_lens.saes.sae import TrainStepInput
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from signbridge.core import params
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
    over_batch = trainer.sae.cfg.architecture() == "batchtopk"

    def gradients(size: int) -> tuple[StepOutput, Tensor]:
        trainer.optimizer.zero_grad()
        with _over_batch(trainer, vectors, size) if over_batch else nullcontext():
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


class _AtLeast(torch.nn.Module):
    """Activations of at least `threshold`; all others are 0."""

    def __init__(self, threshold: Float[Tensor, ""]):
        super().__init__()
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        active = x.relu()
        return active * (active >= self.threshold)


@contextmanager
def _over_batch(trainer: SAETrainer, vectors: Float[Tensor, "tokens width"], at_once: int) -> Iterator[None]:
    """Within the block a `batchtopk` autoencoder that is given parts of the batch keeps what it would of the whole.

    The running threshold, which becomes that of the stored autoencoder, moves once a batch, also where memory ran out
    on the way. Of activations that equal the least one that is chosen all are kept.
    """
    sae = trainer.sae
    before, library = sae.topk_threshold, sae.activation_fn
    try:
        if at_once >= len(vectors):
            yield
            return
        chosen = _chosen(trainer, vectors, at_once)
        sae.activation_fn = _AtLeast(chosen.min())
        yield
        sae.topk_threshold = before
        sae.update_topk_threshold(chosen)
    except BaseException:
        sae.topk_threshold = before
        raise
    finally:
        sae.activation_fn = library


@torch.no_grad()
def _chosen(trainer: SAETrainer, vectors: Float[Tensor, "tokens width"], at_once: int) -> Float[Tensor, " activations"]:
    """The largest activations of the batch, k a token."""
    sae = trainer.sae
    wanted = int(sae.cfg.k * len(vectors))
    sae.activation_fn = torch.nn.ReLU()
    largest = torch.zeros(0, device=sae.device)
    for part in vectors.split(at_once):
        active, _ = sae.encode_with_hidden_pre(trainer.activation_scaler(part.to(sae.device, torch.float32)))
        of_part = active.flatten().topk(min(wanted, active.numel())).values
        both = torch.cat([largest, of_part])
        largest = both.topk(min(wanted, len(both))).values
    return largest


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
