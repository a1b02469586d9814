"""One table for the three lenses: what each patch says at each visual layer.

image_id, patch (its place among the image's tokens), site (the visual layer), lens, rank (1 is nearest), token, word
(which the token is part of, in its sentence), sentence, start and end (of the word in the sentence), text_site (the
layer of the text vector), score (cosine; of LogitLens the logit). Sentence and text_site are LatentLens's alone.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from signbridge.layer_choice import Layers
from signbridge.lenses.embedding import embedding_lens
from signbridge.lenses.latent import latent_lens
from signbridge.lenses.logit import logit_lens
from signbridge.lenses.text_index import TextIndex
from signbridge.params import Section
from signbridge.vlm.loading import LoadedModel

LOGIT_ROWS = 4096  # of patches x vocabulary logits at once
COLUMNS = [
    "image_id",
    "patch",
    "site",
    "lens",
    "rank",
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
    memory_gib: float = Field(gt=0)


def lens_rows(
    vectors: np.ndarray,
    image_ids: Sequence[str],
    patches: Int[np.ndarray, "patches"],
    site: str,
    loaded: LoadedModel,
    index: TextIndex,
    k: int,
    memory_bytes: int,
) -> pd.DataFrame:
    """The rows of one visual layer: `vectors` is images x patches x width, in the order of the two."""
    device = loaded.device
    flat = torch.from_numpy(np.ascontiguousarray(vectors.reshape(-1, vectors.shape[-1]))).to(device)
    tokenizer, model = loaded.processor.tokenizer, loaded.model
    embeddings, unembedding = model.get_input_embeddings().weight, model.get_output_embeddings()
    parts = [
        _of_vocabulary("embedding", *embedding_lens(flat, embeddings, k), tokenizer),
        _of_vocabulary("logit", *_in_blocks(flat, loaded.parts.final_norm, unembedding, k), tokenizer),
        _of_index(flat, index, k, memory_bytes),
    ]
    where = pd.DataFrame(
        {
            "image_id": np.repeat(list(image_ids), len(patches) * k),
            "patch": np.tile(np.repeat(patches, k), len(image_ids)),
            "site": site,
            "rank": np.tile(np.arange(1, k + 1), len(flat)),
        }
    )
    return pd.concat([pd.concat([where, part], axis=1) for part in parts], ignore_index=True)[COLUMNS]


def _in_blocks(flat: Tensor, norm: nn.Module, unembedding: nn.Module, k: int) -> tuple[Tensor, Tensor]:
    """LogitLens some rows at a time: all logits of all patches of a large vocabulary would fill the memory."""
    parts = [logit_lens(part, norm, unembedding, k) for part in flat.split(LOGIT_ROWS)]
    return torch.cat([score for score, _ in parts]), torch.cat([token for _, token in parts])


def _of_vocabulary(lens: str, score: Tensor, token_ids: Tensor, tokenizer: PreTrainedTokenizerBase) -> pd.DataFrame:
    ids = token_ids.flatten().tolist()
    # Of a vocabulary that was filled up to a round number the last rows have no token.
    named = {
        token: (tokenizer.convert_ids_to_tokens(token) or "", tokenizer.decode([token]).strip()) for token in set(ids)
    }
    return pd.DataFrame(
        {
            "lens": lens,
            "token": [named[token][0] for token in ids],
            "word": [named[token][1] for token in ids],
            "sentence": "",
            "start": 0,
            "end": 0,
            "text_site": "",
            "score": score.flatten().float().cpu().numpy(),
        }
    )


def _of_index(flat: Tensor, index: TextIndex, k: int, memory_bytes: int) -> pd.DataFrame:
    found = latent_lens(flat, index, k, memory_bytes)
    rows = index.contexts.iloc[found.row.flatten().cpu().numpy()].reset_index(drop=True)
    text_site = np.array(list(index.vectors))[found.layer.flatten().cpu().numpy()]
    score = found.score.flatten().cpu().numpy()
    of_row = rows[["token", "word", "sentence", "start", "end"]]
    return of_row.assign(lens="latent", text_site=text_site, score=score)
