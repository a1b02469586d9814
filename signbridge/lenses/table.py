"""One table for the three lenses: what each patch says at each visual layer.

image_id, patch (its place among the image's tokens), site (the visual layer), lens, rank (1 is nearest), row (of the
text index; of the other two lenses the token's id), token, word (which the token is part of, in its sentence),
sentence, start and end (of the word in the sentence), text_site (the layer of the text vector), score (cosine; of
LogitLens the logit). Sentence and text_site are LatentLens's alone. The metadata's `grid` has the rows and columns of
all image tokens of an image, or None where their number is no square. After an approximate search it also has
`recall`, of each site the share of the exact neighbours that were found, and a patch may have fewer of LatentLens's
rows than k.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from signbridge.layer_choice import Layers
from signbridge.lenses.embedding import embedding_lens
from signbridge.lenses.logit import logit_lens
from signbridge.params import Section
from signbridge.text_index.index import TextIndex
from signbridge.text_index.search import Neighbours
from signbridge.vlm.loading import LoadedModel

LOGIT_ROWS = 4096  # of patches x vocabulary logits at once
COLUMNS = [
    "image_id",
    "patch",
    "site",
    "lens",
    "rank",
    "row",
    "token",
    "word",
    "sentence",
    "start",
    "end",
    "text_site",
    "score",
]


class LensesParams(Section):
    """The section `lenses`."""

    images: int = Field(ge=1)  # of different photos, at most
    patches: int = Field(ge=1)  # of an image, at most
    layers: Layers  # visual layers: what enters block 0 is one of them
    k: int = Field(ge=1)
    search: Literal["exact", "approximate"]
    probes: int = Field(ge=1)  # cells of the index that an approximate search looks into
    memory_gib: float = Field(gt=0)


def lens_rows(
    vectors: Float[Tensor, "rows width"],
    image_ids: Sequence[str],
    patches: Int[np.ndarray, "patches"],
    site: str,
    loaded: LoadedModel,
    vocabulary: pd.DataFrame,
    index: TextIndex,
    found: Neighbours,
    k: int,
) -> pd.DataFrame:
    """The rows of one visual layer: `vectors` are those of the `patches` of each image, one image after the other.

    `vocabulary` is that of `vocabulary_table`, and `found` what LatentLens has found in `index`.
    """
    model = loaded.model
    embeddings, unembedding = model.get_input_embeddings().weight, model.get_output_embeddings()
    parts = [
        _of_vocabulary("embedding", *embedding_lens(vectors, embeddings, k), vocabulary),
        _of_vocabulary("logit", *_in_blocks(vectors, loaded.parts.final_norm, unembedding, k), vocabulary),
        _of_index(found, index),
    ]
    place = pd.DataFrame(
        {"image_id": np.repeat(list(image_ids), len(patches)), "patch": np.tile(patches, len(image_ids)), "site": site}
    )
    placed = [pd.concat([place.iloc[part.pop("query")].reset_index(drop=True), part], axis=1) for part in parts]
    return pd.concat(placed, ignore_index=True)[COLUMNS]


def _in_blocks(flat: Tensor, norm: nn.Module, unembedding: nn.Module, k: int) -> tuple[Tensor, Tensor]:
    """LogitLens some rows at a time: all logits of all patches of a large vocabulary would fill the memory."""
    parts = [logit_lens(part, norm, unembedding, k) for part in flat.split(LOGIT_ROWS)]
    return torch.cat([score for score, _ in parts]), torch.cat([token for _, token in parts])


def vocabulary_table(tokenizer: PreTrainedTokenizerBase, rows: int) -> pd.DataFrame:
    """What each row of the vocabulary says: token and word, in order of the token's id.

    A vocabulary that was filled up to a round number of `rows` has some without a token: these say nothing.
    """
    tokens = tokenizer.convert_ids_to_tokens(list(range(rows)))
    words = [decoded.strip() for decoded in tokenizer.batch_decode([[row] for row in range(rows)])]
    return pd.DataFrame({"token": [token or "" for token in tokens], "word": words})


def _of_vocabulary(lens: str, score: Tensor, token_ids: Tensor, vocabulary: pd.DataFrame) -> pd.DataFrame:
    ids = token_ids.flatten().cpu().numpy()
    said = vocabulary.iloc[ids].reset_index(drop=True)
    query, rank = _queries_and_ranks(token_ids)
    return said.assign(
        query=query, rank=rank, lens=lens, row=ids, sentence="", start=0, end=0, text_site="",
        score=score.flatten().float().cpu().numpy(),
    )  # fmt: skip


def _of_index(found: Neighbours, index: TextIndex) -> pd.DataFrame:
    """What LatentLens found: a neighbour that an approximate search did not find has no row."""
    score, row, layer = (values.flatten().cpu().numpy() for values in found)
    there = row >= 0
    rows = index.contexts.iloc[row[there]].reset_index(drop=True)
    query, rank = (values[there] for values in _queries_and_ranks(found.row))
    return rows[["token", "word", "sentence", "start", "end"]].assign(
        query=query, rank=rank, lens="latent", row=row[there], text_site=np.array(list(index.vectors))[layer[there]],
        score=score[there],
    )  # fmt: skip


def _queries_and_ranks(best: Int[Tensor, "queries best"]) -> tuple[np.ndarray, np.ndarray]:
    """Of each entry which query's it is, and its place in the order of the best, from 1."""
    query, place = np.indices(best.shape)
    return query.ravel(), place.ravel() + 1
