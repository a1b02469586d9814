"""LatentLens: an image token's vector beside contextual vectors of text tokens, at whatever text layer is nearest.

"LatentLens: Revealing Highly Interpretable Visual Tokens in LLMs" (2026): the top k by cosine over all stored text
layers together, each shown with its sentence.
"""

from jaxtyping import Float
from torch import Tensor

from signbridge.lenses.search import Neighbours, nearest
from signbridge.lenses.text_index import TextIndex


def latent_lens(vectors: Float[Tensor, "patches width"], index: TextIndex, k: int, memory_bytes: int) -> Neighbours:
    """The k nearest text vectors of each patch: cosine, row of the index, and which of its text sites."""
    return nearest(vectors.float(), index.vectors, k, memory_bytes)
