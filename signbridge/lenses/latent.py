"""LatentLens: an image token's vector beside contextual vectors of text tokens, at whatever text layer is nearest.

"LatentLens: Revealing Highly Interpretable Visual Tokens in LLMs" (2026): the top k by cosine over all stored text
layers together, each shown with its sentence.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from signbridge.text_index.index import TextIndex
from signbridge.text_index.search import Neighbours, nearest, nearest_approximate, recall

RECALL_OF = 256  # vectors, at most, that are searched exactly as well
NEIGHBOURS = 64  # of a text token: its own sentence is among them at every text layer


def latent_lens(
    vectors: Float[Tensor, "patches width"], index: TextIndex, k: int, memory_bytes: int, probes: int | None = None
) -> Neighbours:
    """The k nearest text vectors of each patch: cosine, row of the index, and which of its text sites.

    With `probes` the search is approximate: row and site are -1 where the cells that it looks into hold fewer than k.
    """
    if probes is None:
        return nearest(vectors.float(), index.vectors, k, memory_bytes)
    return nearest_approximate(vectors.float(), index.vectors, k, probes)


def recall_of_some(
    found: Neighbours,
    vectors: Float[Tensor, "patches width"],
    index: TextIndex,
    memory_bytes: int,
    generator: np.random.Generator,
) -> float:
    """The share of the exact neighbours that an approximate search has `found`, over up to 256 patches, drawn."""
    drawn = torch.from_numpy(generator.permutation(len(vectors))[:RECALL_OF]).to(vectors.device)
    exact = nearest(vectors[drawn].float(), index.vectors, found.row.shape[1], memory_bytes)
    return recall(Neighbours(*(values[drawn] for values in found)), exact)


def reads_text(index: TextIndex, words: int, generator: np.random.Generator, memory_bytes: int) -> float:
    """How often LatentLens names a word of a text right: a control where there is something to find.

    Stored vectors (up to `words`, drawn over all text sites) are looked up as if they were patches; right is whose
    nearest neighbour in another sentence is the same word. NaN where every neighbour stands in the same sentence.
    """
    rows, sites = len(index.contexts), list(index.vectors)
    drawn = generator.permutation(rows * len(sites))[:words]
    vectors = [index.vectors[sites[place // rows]].block(place % rows, place % rows + 1, "cpu") for place in drawn]
    found = nearest(torch.cat(vectors), index.vectors, NEIGHBOURS, memory_bytes)
    sentence, word = (index.contexts[name].to_numpy() for name in ("sentence", "word"))
    asked, near = drawn % rows, found.row.numpy()
    elsewhere = sentence[near] != sentence[asked][:, None]
    first = elsewhere.argmax(axis=1)
    told = elsewhere.any(axis=1)
    right = word[near[np.arange(len(near)), first]] == word[asked]
    return float(right[told].mean()) if told.any() else float("nan")
