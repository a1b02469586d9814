"""A corpus made into a text index: vectors that the last index has are copied, the others are read by the model.

The index of the run before is kept in the scratch folder for that. Its vectors are hard links where that is possible:
no second copy. `rows.parquet` beside them has sentence and position of every row, and its metadata says what made the
vectors, and which blocks of the corpus were full.
"""

import hashlib
import json
import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field
from transformers import PreTrainedTokenizerBase

from signbridge.core import tables
from signbridge.core.activations import layer_site
from signbridge.core.errors import SignBridgeError
from signbridge.core.params import Section
from signbridge.core.shards import vectors_of
from signbridge.core.tables import whole_folder
from signbridge.lenses import stored_vectors
from signbridge.lenses.contexts import TOKENISED_TOGETHER, Block, Context, Part, parts_of
from signbridge.lenses.stored_vectors import CONTEXTS, StoredRows, StoredVectors
from signbridge.vlm.extraction import Reader, in_batches
from signbridge.vlm.shard_runs import read_in_shards
from signbridge.vlm.text import Phrase, text_tokens

PUBLISHED_LAYERS = (1, 2, 4, 8, 16, 24)  # decoder blocks that a vector has passed
_ROWS = "rows.parquet"
log = logging.getLogger(__name__)


class TextIndexParams(Section):
    """The section `text_index`."""

    contexts: int = Field(ge=1)  # of each vocabulary token, at most
    layers: Literal["published", "to_the_last"] | list[int] = Field(min_length=1)  # decoder blocks, 0-based
    skip: int = Field(ge=0)  # first tokens of a phrase that have no context
    prefer: int = Field(ge=0)  # the token of a phrase from which on contexts come before earlier ones
    storage: Literal["float8", "float16"]


def text_sites(layers: Literal["published", "to_the_last"] | Sequence[int], blocks: int) -> list[str]:
    """The sites at which text is read, in order of depth.

    `published` are those of LatentLens: after 1, 2, 4, 8, 16 and 24 blocks as far as there are more, and after all
    blocks but two and but one (hidden states 30 and 31 of 32). `to_the_last` ends with all blocks but one and all.
    Raises `SignBridgeError` for a block that is not there.
    """
    if isinstance(layers, str):
        last = blocks if layers == "to_the_last" else blocks - 1
        passed = {count for count in PUBLISHED_LAYERS if count < last} | {max(last - 1, 1), max(last, 1)}
        return [layer_site(count - 1) for count in sorted(passed)]
    if not set(layers) <= set(range(blocks)):
        raise SignBridgeError(
            f"stages/lenses/params.yaml: text_index.layers: this decoder has blocks 0 to {blocks - 1}, "
            f"not {max(layers)}."
        )
    return [layer_site(block) for block in sorted(set(layers))]


class FullBlock(NamedTuple):
    """A block that no appended phrase changes."""

    digest: str  # as `Block`
    rows: int  # of the index


class LastIndex(NamedTuple):
    """The index of the run before, opened."""

    rows: pd.DataFrame  # sentence, position: of the corpus; a row a vector
    vectors: dict[str, StoredVectors]  # by text site
    blocks: list[FullBlock]

    def known(self, number: int, digest: str) -> dict[tuple[int, int], int]:
        """The rows of block `number` by sentence and position; none if it is not the one of that digest."""
        if number >= len(self.blocks) or self.blocks[number].digest != digest:
            return {}
        first = sum(block.rows for block in self.blocks[:number])
        places = self.rows.iloc[first : first + self.blocks[number].rows]
        return {
            place: first + row for row, place in enumerate(zip(places["sentence"], places["position"], strict=True))
        }


def open_last(folder: Path, made_by: str) -> LastIndex | None:
    """The index in `folder`; None if there is none, or none that was made by the same and is whole."""
    try:
        kept = tables.made_by(folder / _ROWS)
        if kept["made_by"] != made_by:
            return None
        rows = tables.read(folder / _ROWS)
        vectors = {site: StoredVectors.open(folder / f"{site}.safetensors") for site in kept["sites"]}
    except SignBridgeError:
        return None
    whole = all(of_site.rows == len(rows) for of_site in vectors.values())
    return LastIndex(rows, vectors, [FullBlock(*block) for block in kept["blocks"]]) if whole else None


def keep(
    folder: Path,
    index: Path,
    sites: Sequence[str],
    contexts: Sequence[Context],
    blocks: Sequence[FullBlock],
    made_by: str,
) -> None:
    """Keep the vectors of the index in the folder `index` in `folder`, in place of those of the one before it."""
    places = pd.DataFrame([context[1:3] for context in contexts], columns=["sentence", "position"])
    with whole_folder(folder) as unfinished:
        for site in sites:
            _link(index / f"{site}.safetensors", unfinished / f"{site}.safetensors")
        tables.write(places, unfinished / _ROWS, {"made_by": made_by, "sites": list(sites), "blocks": list(blocks)})


def _link(file: Path, link: Path) -> None:
    try:
        os.link(file, link)
    except OSError:  # another disk, or a file system without hard links
        shutil.copy2(file, link)


class Indexed(NamedTuple):
    """All that an index is made of."""

    parts: list[list[Part]]  # by block, in the order of the index's rows
    shards: list[Path]  # of the parts that were read, in order
    last: LastIndex | None  # which the other parts are copied from
    made_by: str  # what made the vectors, down to the batches

    @property
    def contexts(self) -> list[Context]:
        """What each row is."""
        return [context for parts in self.parts for part in parts for context in part.contexts]


def index_corpus(
    reader: Reader,
    sites: Sequence[str],
    corpus: Sequence[str],
    blocks: Sequence[Block],
    kept: set[Context],
    last: Path,
    made_by: str,
    scratch: Path,
    together: int,
) -> Indexed:
    """Read what the index in the folder `last` does not have, `together` phrases a shard, into shards below `scratch`.

    `made_by` is what makes the vectors, beside the size of the batches: an index that was made by anything else is not
    used. If memory runs out on the way, everything is made anew with the smaller batches.
    """
    tokenizer, work = reader.loaded.processor.tokenizer, text_tokens(reader, sites)
    while True:
        made_with = reader.made_with
        from_last = open_last(last, f"{made_by}, {made_with}")
        parts = _planned(blocks, kept, from_last, together)
        shards = []
        for number, of_block in enumerate(parts, 1):
            title = "text index" if len(parts) == 1 else f"text index {number}/{len(parts)}"
            todo = _phrases([part for part in of_block if part.known is None], corpus, tokenizer)
            if todo:
                folder = scratch / hashlib.sha256(json.dumps(todo).encode()).hexdigest()[:16]
                shards += read_in_shards(reader, todo, folder, together, work, title, "phrase")
        if reader.made_with == made_with:
            return Indexed(parts, shards, from_last, f"{made_by}, {made_with}")


def write_index(
    folder: Path,
    indexed: Indexed,
    corpus: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    sites: Sequence[str],
    storage: Literal["float8", "float16"],
    made_by: dict[str, Any],
) -> None:
    """Write the index into `folder`, with `made_by` in its metadata."""
    contexts = indexed.contexts
    tables.write(contexts_table(corpus, contexts, tokenizer), folder / CONTEXTS, {**made_by, "sites": sites})
    for site in sites:
        last = indexed.last.vectors[site] if indexed.last else None
        width = last.width if last else vectors_of(indexed.shards[:1], site).shape[1]
        batches = _vectors(indexed, site, last)
        stored_vectors.write(folder / f"{site}.safetensors", batches, len(contexts), width, storage)


def full_blocks(indexed: Indexed, blocks: Sequence[Block], full: int) -> list[FullBlock]:
    """The first `full` of the blocks, as the next run has to know them."""
    rows = [sum(len(part.contexts) for part in parts) for parts in indexed.parts]
    return [FullBlock(block.digest, of_block) for block, of_block in zip(blocks[:full], rows[:full], strict=True)]


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


def _planned(blocks: Sequence[Block], kept: set[Context], last: LastIndex | None, together: int) -> list[list[Part]]:
    """The parts of every block, each with where the last index has it."""
    parts = [
        parts_of(block, kept, last.known(number, block.digest) if last else {}, together)
        for number, block in enumerate(blocks)
    ]
    every = [part for of_block in parts for part in of_block]
    copied = sum(len({context.sentence for context in part.contexts}) for part in every if part.known is not None)
    to_read = sum(len(part.sentences) for part in every if part.known is None)
    log.info("%d phrases taken from the last index, %d to be read", copied, to_read)
    return parts


def _phrases(parts: Sequence[Part], corpus: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[Phrase]:
    """The phrases of the parts in tokens, and at which of these the index has a row."""
    positions = defaultdict(list)
    for part in parts:
        for context in part.contexts:
            positions[context.sentence].append(context.position)
    sentences = [sentence for part in parts for sentence in part.sentences]
    return [
        Phrase(tokens, positions[sentence])
        for some in in_batches(sentences, TOKENISED_TOGETHER)
        for sentence, tokens in zip(some, tokenizer([corpus[one] for one in some])["input_ids"], strict=True)
    ]


def _vectors(indexed: Indexed, site: str, last: StoredVectors | None) -> Iterator[np.ndarray | StoredRows]:
    """The rows of the index at `site`, in order."""
    every, shards = (part for parts in indexed.parts for part in parts), iter(indexed.shards)
    for read, parts in groupby(every, key=lambda part: part.known is None):
        if read:
            for _ in parts:
                yield vectors_of([next(shards)], site).astype(np.float32)
        else:
            known = np.array([row for part in parts for row in part.known], dtype=np.int64)
            if len(known):
                yield from last.stored_rows(known)
