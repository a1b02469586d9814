"""LogitLens: what the model would say next if the stream ended here (nostalgebraist 2020)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


@torch.inference_mode()
def logit_lens(
    vectors: Float[Tensor, "patches width"], final_norm: nn.Module, unembedding: nn.Module, k: int
) -> tuple[Float[Tensor, "patches k"], Int[Tensor, "patches k"]]:
    """The k likeliest tokens after the final norm and the unembedding: their logits, descending, and the tokens."""
    weight = next(unembedding.parameters())
    logits = unembedding(final_norm(vectors.to(weight.device, weight.dtype)))
    return torch.topk(logits.float(), k, dim=-1)
