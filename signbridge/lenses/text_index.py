"""The text index on disk: what each row is in `contexts.parquet`, its vector at a text layer in `SITE.safetensors`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase

from signbridge import tables
from signbridge.lenses import stored_vectors
from signbridge.lenses.contexts import Context
from signbridge.lenses.stored_vectors import StoredVectors
from signbridge.shards import vectors_of


class TextIndex(NamedTuple):
    """An index, opened."""

    contexts: pd.DataFrame  # token_id, token, word, sentence, start, end; a row a vector
    vectors: dict[str, StoredVectors]  # by text site, in order of depth


def contexts_table(
    sentences: Sequence[str], contexts: Sequence[Context], tokenizer: PreTrainedTokenizerBase
) -> pd.DataFrame:
    """One row a context: token_id, token, the word that it is part of, sentence, start and end of the word in it."""
    tokens = tokenizer.convert_ids_to_tokens([context.token_id for context in contexts])
    return pd.DataFrame(
        {
            "token_id": [context.token_id for context in contexts],
            "token": tokens,
            "word": [sentences[context.sentence][context.start : context.end] for context in contexts],
            "sentence": [sentences[context.sentence] for context in contexts],
            "start": [context.start for context in contexts],
            "end": [context.end for context in contexts],
        }
    )


def write_vectors(
    folder: Path, site: str, shards: Sequence[Path], rows: int, storage: Literal["float8", "float16"]
) -> None:
    """Write the vectors of one text site, shard after shard."""
    width = vectors_of(list(shards[:1]), site).shape[1]

    def batches() -> Iterator[np.ndarray]:
        for shard in shards:
            yield vectors_of([shard], site).astype(np.float32)

    stored_vectors.write(folder / f"{site}.safetensors", batches(), rows, width, storage)


def open_index(folder: Path) -> TextIndex:
    """The index in `folder`. Raises `SignBridgeError` if it is not there or not readable."""
    contexts = tables.read(folder / "contexts.parquet")
    sites = tables.made_by(folder / "contexts.parquet")["sites"]
    return TextIndex(contexts, {site: StoredVectors.open(folder / f"{site}.safetensors") for site in sites})
