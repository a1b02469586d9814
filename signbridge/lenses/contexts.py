"""Which occurrences of each vocabulary token are kept: by reservoir sampling, before anything is run.

LatentLens (2026) keeps up to 20 contexts of each token of its vocabulary, sampled while the corpus runs through the
model: none of the first two tokens of a sentence, and those from the tenth on before the others, which have read less
(McGill-NLP/latentlens, reproduce/scripts/extract_embeddings.py; its run on short phrases switches both off). Which are
kept depends on the texts alone; so they are drawn first, and only sentences that hold one are run.

How a corpus is cut, so that when it grows only what is new is read.

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

import numpy as np
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from signbridge.vlm.extraction import in_batches

TOKENISED_TOGETHER = 1000  # sentences: many times faster than one by one, and no more than these in memory


class Context(NamedTuple):
    """One occurrence of a token."""

    token_id: int
    sentence: int  # row of the corpus
    position: int  # of the token in its sentence, special tokens included
    start: int  # where the word that it belongs to begins in the sentence, in characters
    end: int


class Reservoirs:
    """Up to `contexts` occurrences of each token, of equals every one as likely (Vitter 1985, algorithm R).

    Special tokens have no context, nor have the `skip` first tokens of a sentence. Occurrences from token `prefer` on
    (0 is the first, special tokens included) have a reservoir of their own; the earlier ones fill up what it leaves.
    A token is completed to the word that it is part of, bounded by white space.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        contexts: int,
        generator: np.random.Generator,
        skip: int = 0,
        prefer: int = 0,
    ):
        self._tokenizer, self._contexts, self._generator = tokenizer, contexts, generator
        self._skip, self._prefer = skip, prefer
        self._sentences = 0
        self._seen: dict[tuple[int, bool], int] = {}  # by token, and whether it is preferred
        self._kept: dict[int, tuple[list[Context], list[Context]]] = {}  # those that fill up, and the preferred

    def add(self, sentences: Sequence[str]) -> list[int]:
        """Sample from the sentences that come next in the corpus; how many tokens each of them has."""
        lengths = []
        for first in range(0, len(sentences), TOKENISED_TOGETHER):
            some = list(sentences[first : first + TOKENISED_TOGETHER])
            encoded = self._tokenizer(some, return_offsets_mapping=True)
            for sentence, tokens, spans in zip(some, encoded["input_ids"], encoded["offset_mapping"], strict=True):
                self._sample(sentence, tokens, spans)
                lengths.append(len(tokens))
        return lengths

    def kept(self, first: int = 0) -> list[Context]:
        """What is kept so far of the sentences from `first` on."""
        return [
            context
            for others, preferred in self._kept.values()
            for context in preferred + others[: self._contexts - len(preferred)]
            if context.sentence >= first
        ]

    def _sample(self, sentence: str, tokens: list[int], spans: list[tuple[int, int]]) -> None:
        for position, (token, span) in enumerate(zip(tokens, spans, strict=True)):
            if span[0] == span[1] or position < self._skip:  # a special token stands for no character
                continue
            preferred = position >= self._prefer
            seen = self._seen[token, preferred] = self._seen.get((token, preferred), 0) + 1
            reservoir = self._kept.setdefault(token, ([], []))[preferred]
            place = len(reservoir) if seen <= self._contexts else int(self._generator.integers(seen))
            if place < self._contexts:
                context = Context(token, self._sentences, position, *word_around(sentence, *span))
                reservoir[place : place + 1] = [context]
        self._sentences += 1


def word_around(sentence: str, start: int, end: int) -> tuple[int, int]:
    """The bounds of the word that characters `start` to `end` are part of, punctuation at its ends left out.

    A token that is punctuation or white space alone stays what it is.
    """
    while start < end and sentence[start].isspace():
        start += 1
    first, last = start, end
    while first > 0 and _in_word(sentence[first - 1]) and _in_word(sentence[start : start + 1]):
        first -= 1
    while last < len(sentence) and _in_word(sentence[last]) and _in_word(sentence[end - 1 : end]):
        last += 1
    return first, last


def _in_word(character: str) -> bool:
    return character.isalnum() or character in "'-"


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
