"""Three lenses on image tokens: the words that each patch lies nearest to, at each visual layer.

- EmbeddingLens: the cosine of the token's vector with the rows of the input embedding matrix.
- LogitLens: what the model would say next if the stream ended here (nostalgebraist 2020).
- LatentLens: the contextual vectors of text tokens that are nearest by cosine, over all stored text layers together,
  each shown with its sentence ("LatentLens: Revealing Highly Interpretable Visual Tokens in LLMs", 2026).

Each lens gives its first k different words: of tokens or contexts that are one word, in whatever case, the nearest
stands for it. (The published code gives the k nearest neighbours of LatentLens, which mostly repeat a word or two.)

They share one table, a row a word: image_id, patch (its place among the image's tokens), site (the visual layer), lens,
rank (1 is nearest), row (of the text index; for the other two lenses the token's id), token, word (which the token is
part of, in its sentence), sentence, start and end (of the word in the sentence), text_site (the layer of the text
vector), score (cosine; for LogitLens the logit). Sentence and text_site are LatentLens's alone. The table on disk has
two columns more, rows and columns: the grid of all image tokens of the image, empty where their number is no square.
After an approximate search a patch may have fewer of LatentLens's rows than k.
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

from signbridge.core.activations import Layers
from signbridge.core.params import Section
from signbridge.lenses.search import (
    Best,
    Neighbours,
    best_of_words,
    nearest,
    nearest_approximate,
    recall,
)
from signbridge.lenses.stored_vectors import TextIndex
from signbridge.vlm.families.parts import Parts, within_softcap
from signbridge.vlm.loading import LoadedModel


@torch.inference_mode()
def embedding_lens(
    vectors: Float[Tensor, "patches width"],
    embeddings: Float[Tensor, "vocabulary width"],
    word: Int[Tensor, " vocabulary"],
    k: int,
) -> tuple[Float[Tensor, "patches k"], Int[Tensor, "patches k"]]:
    """The tokens of the k words most similar among the rows of `embeddings`: cosines, descending, and the tokens.

    `word` has the number of each token's word (`numbered`).
    """
    unit = torch.nn.functional.normalize(vectors.float(), dim=-1)
    rows = torch.nn.functional.normalize(embeddings.float(), dim=-1)
    return _best_tokens(unit @ rows.T, word, k)


@torch.inference_mode()
def logit_lens(
    vectors: Float[Tensor, "patches width"],
    parts: Parts,
    unembedding: nn.Module,
    word: Int[Tensor, " vocabulary"],
    k: int,
) -> tuple[Float[Tensor, "patches k"], Int[Tensor, "patches k"]]:
    """The tokens of the k words likeliest after the final norm and the unembedding: logits, descending, and the tokens.

    `parts` are the model's, and logits are drawn as its own. `word` has the number of each token's word (`numbered`).
    """
    weight = next(unembedding.parameters())
    logits = unembedding(parts.final_norm(vectors.to(weight.device, weight.dtype)))
    return _best_tokens(within_softcap(parts, logits.float()), word, k)


def _best_tokens(scores: Float[Tensor, "patches vocabulary"], word: Int[Tensor, " vocabulary"], k: int) -> Best:
    return best_of_words(lambda count: scores.topk(count), k, scores.shape[1], word.to(scores.device))


def numbered(words: pd.Series) -> Int[Tensor, " rows"]:
    """The number of the word that each row stands for: rows that differ in case alone have the same."""
    return torch.from_numpy(pd.factorize(words.str.lower())[0].astype(np.int64))


RECALL_OF = 256  # vectors, at most, that are searched exactly as well
NEIGHBOURS = 256  # of a text token: those that have read the same text are among them, at every text layer


def latent_lens(
    vectors: Float[Tensor, "patches width"], index: TextIndex, k: int, memory_bytes: int, cells: int | None = None
) -> Neighbours:
    """The nearest text vector of each of the k nearest words of each patch: cosine, row of the index, and text site.

    With `cells` the search is approximate: row and site are -1 where the cells that it looks into hold fewer words.
    """
    word = numbered(index.contexts["word"])
    if cells is None:
        return nearest(vectors.float(), index.vectors, k, memory_bytes, word)
    return nearest_approximate(vectors.float(), index.vectors, k, cells, word)


def recall_of_some(
    found: Neighbours,
    vectors: Float[Tensor, "patches width"],
    index: TextIndex,
    memory_bytes: int,
    generator: np.random.Generator,
) -> float:
    """The share of the exact neighbours that an approximate search has `found`, over up to 256 patches, drawn."""
    drawn = torch.from_numpy(generator.permutation(len(vectors))[:RECALL_OF]).to(vectors.device)
    exact = latent_lens(vectors[drawn], index, found.row.shape[1], memory_bytes)
    return recall(Neighbours(*(values[drawn] for values in found)), exact)


def reads_text(index: TextIndex, words: int, generator: np.random.Generator, memory_bytes: int) -> float:
    """How often LatentLens names a word of a text right: a control where there is something to find.

    Stored vectors (up to `words`, drawn over all text sites) are looked up as if they were patches. It is right where
    the nearest neighbour in another text is the same word: another sentence, and one that reads otherwise up to there,
    since after the same words a token has the same vector. NaN where there is no such neighbour.
    """
    rows, sites = len(index.contexts), list(index.vectors)
    drawn = generator.permutation(rows * len(sites))[:words]
    vectors = [index.vectors[sites[place // rows]].block(place % rows, place % rows + 1, "cpu") for place in drawn]
    found = nearest(torch.cat(vectors), index.vectors, NEIGHBOURS, memory_bytes)
    sentence, word, end = (index.contexts[name].to_numpy() for name in ("sentence", "word", "end"))
    read, _ = pd.factorize(pd.Series([text[:last] for text, last in zip(sentence, end, strict=True)]))
    asked, near = drawn % rows, found.row.numpy()
    elsewhere = (sentence[near] != sentence[asked][:, None]) & (read[near] != read[asked][:, None])
    first, there = elsewhere.argmax(axis=1), elsewhere.any(axis=1)
    right = word[near[np.arange(len(near)), first]] == word[asked]
    return float(right[there].mean()) if there.any() else float("nan")


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
    cells: int = Field(ge=1)  # of each text layer that an approximate search looks into
    memory_gib: float = Field(gt=0)
    text_words: int = Field(ge=1)  # words of text that LatentLens is tried on, at most


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
    model, word = loaded.model, numbered(vocabulary["word"])
    embeddings, unembedding = model.get_input_embeddings().weight, model.get_output_embeddings()
    logits = _in_blocks(vectors, loaded.parts, unembedding, word, k)
    parts = [
        _of_vocabulary("embedding", *embedding_lens(vectors, embeddings, word, k), vocabulary),
        _of_vocabulary("logit", *logits, vocabulary),
        _of_index(found, index),
    ]
    place = pd.DataFrame(
        {"image_id": np.repeat(list(image_ids), len(patches)), "patch": np.tile(patches, len(image_ids)), "site": site}
    )
    placed = [pd.concat([place.iloc[part.pop("query")].reset_index(drop=True), part], axis=1) for part in parts]
    return pd.concat(placed, ignore_index=True)[COLUMNS]


def _in_blocks(flat: Tensor, parts: Parts, unembedding: nn.Module, word: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """LogitLens some rows at a time: all logits of all patches of a large vocabulary would fill the memory."""
    found = [logit_lens(rows, parts, unembedding, word, k) for rows in flat.split(LOGIT_ROWS)]
    return torch.cat([score for score, _ in found]), torch.cat([token for _, token in found])


def vocabulary_table(tokenizer: PreTrainedTokenizerBase, rows: int) -> pd.DataFrame:
    """What each row of the vocabulary says: token and word, in order of the token's id.

    A vocabulary may be padded to a round number of `rows`: those without a token say nothing.
    """
    tokens = tokenizer.convert_ids_to_tokens(list(range(rows)))
    words = [decoded.strip() for decoded in tokenizer.batch_decode([[row] for row in range(rows)])]
    return pd.DataFrame({"token": [token or "" for token in tokens], "word": words})


def with_grid(words: pd.DataFrame, grid: Sequence[int] | None) -> pd.DataFrame:
    """The table of words with the columns rows and columns: the `grid` of all image tokens; empty without one."""
    rows, columns = grid or (None, None)
    sizes = {
        name: pd.array([size] * len(words), dtype="Int64") for name, size in (("rows", rows), ("columns", columns))
    }
    return words.assign(**sizes)


def _of_vocabulary(lens: str, score: Tensor, token_ids: Tensor, vocabulary: pd.DataFrame) -> pd.DataFrame:
    score, ids = (values.flatten().cpu().numpy() for values in (score.float(), token_ids))
    there = ids >= 0
    said = vocabulary.iloc[ids[there]].reset_index(drop=True)
    query, rank = (values[there] for values in _queries_and_ranks(token_ids))
    return said.assign(
        query=query, rank=rank, lens=lens, row=ids[there], sentence="", start=0, end=0, text_site="",
        score=score[there],
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
