"""How a corpus is cut, so that when it grows only what is new is read.

Its phrases go through the reservoirs in blocks. Those that hold a context at the end of their block are read, the
shortest first, in parts of one shard each; a context that a later block displaces leaves the index but not the part. So
which phrases are read together, and with it every byte of a vector, depends on nothing behind the block; and a block
that is full stays what it is, whatever is appended to the corpus.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from tqdm import tqdm

from signbridge.extraction import in_batches
from signbridge.text_index.contexts import Context, Reservoirs


class Block(NamedTuple):
    """Phrases that follow each other in the corpus, as far as they are read."""

    digest: str  # of the corpus up to the block's end
    contexts: list[Context]  # drawn from it and kept to its end, in the order in which they are read


class Part(NamedTuple):
    """The phrases of one shard."""

    sentences: list[int]  # rows of the corpus, in the order in which they are read
    contexts: list[Context]  # of these that are kept to the corpus's end: a row of the index each
    known: list[int] | None  # the rows of the last index that have their vectors; None: the part has to be read


def sampled_blocks(reservoirs: Reservoirs, corpus: Sequence[str], size: int) -> list[Block]:
    """The blocks of `size` phrases (the last may have fewer), sampled one after the other."""
    blocks, digest = [], hashlib.sha256()
    with tqdm(total=len(corpus), unit="phrase", desc="contexts") as progress:
        for first in range(0, len(corpus), size):
            phrases = corpus[first : first + size]
            lengths = reservoirs.add(phrases)
            digest.update(json.dumps(phrases).encode())
            contexts = reservoirs.kept(first)
            contexts.sort(key=lambda one: (lengths[one.sentence - first], one.sentence, one.position))
            blocks.append(Block(digest.hexdigest(), contexts))
            progress.update(len(phrases))
    return blocks


def parts_of(
    block: Block, kept: Collection[Context], known: Mapping[tuple[int, int], int], together: int
) -> list[Part]:
    """The block in parts of `together` phrases.

    `kept` are the contexts that the whole corpus leaves; `known` has the rows of the last index by sentence and
    position.
    """
    sentences = [(sentence, list(held)) for sentence, held in groupby(block.contexts, key=lambda one: one.sentence)]
    parts = []
    for some in in_batches(sentences, together):
        contexts = [context for _, held in some for context in held if context in kept]
        places = [(context.sentence, context.position) for context in contexts]
        rows = [known[place] for place in places if place in known]
        parts.append(Part([sentence for sentence, _ in some], contexts, rows if len(rows) == len(contexts) else None))
    return parts
