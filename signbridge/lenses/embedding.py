"""EmbeddingLens: the cosine of an image token's vector with the rows of the input embedding matrix."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


@torch.inference_mode()
def embedding_lens(
    vectors: Float[Tensor, "patches width"], embeddings: Float[Tensor, "vocabulary width"], k: int
) -> tuple[Float[Tensor, "patches k"], Int[Tensor, "patches k"]]:
    """The k most similar rows of `embeddings`: their cosines, in descending order, and the tokens that they are of."""
    unit = torch.nn.functional.normalize(vectors.float(), dim=-1)
    rows = torch.nn.functional.normalize(embeddings.float(), dim=-1)
    return torch.topk(unit @ rows.T, k, dim=-1)
