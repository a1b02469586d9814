"""LatentLens: an image token's vector beside contextual vectors of text tokens, at whatever text layer is nearest.

"LatentLens: Revealing Highly Interpretable Visual Tokens in LLMs" (2026): the top k by cosine over all stored text
layers together, each shown with its sentence.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from signbridge.lenses.search import Neighbours, nearest
from signbridge.lenses.text_index import TextIndex

NEIGHBOURS = 64  # of a text token: its own sentence is among them at every text layer


def latent_lens(vectors: Float[Tensor, "patches width"], index: TextIndex, k: int, memory_bytes: int) -> Neighbours:
    """The k nearest text vectors of each patch: cosine, row of the index, and which of its text sites."""
    return nearest(vectors.float(), index.vectors, k, memory_bytes)


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
