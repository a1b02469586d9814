"""Which occurrences of each vocabulary token are kept: by reservoir sampling, before anything is run.

LatentLens (2026) keeps up to 20 contexts of each token of its vocabulary, sampled while the corpus runs through the
model. Which are kept depends on the texts alone; so they are drawn first, and only sentences that hold one are run.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase


class Context(NamedTuple):
    """One occurrence of a token."""

    token_id: int
    sentence: int  # row of the corpus
    position: int  # of the token in its sentence, special tokens included
    start: int  # where the word that it belongs to begins in the sentence, in characters
    end: int


def sampled_contexts(
    tokenizer: PreTrainedTokenizerBase, sentences: Sequence[str], contexts: int, generator: np.random.Generator
) -> list[Context]:
    """Up to `contexts` occurrences of each token, every one as likely (Vitter 1985, algorithm R); by token, in order.

    Special tokens have no context. A token is completed to the word that it is part of, bounded by white space.
    """
    seen: dict[int, int] = {}
    kept: dict[int, list[Context]] = {}
    for number, sentence in enumerate(sentences):
        encoded = tokenizer(sentence, return_offsets_mapping=True)
        for position, (token, span) in enumerate(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)):
            if span[0] == span[1]:  # a special token stands for no character
                continue
            seen[token] = seen.get(token, 0) + 1
            reservoir = kept.setdefault(token, [])
            place = len(reservoir) if seen[token] <= contexts else int(generator.integers(seen[token]))
            if place < contexts:
                context = Context(token, number, position, *word_around(sentence, *span))
                reservoir[place : place + 1] = [context]
    return [context for token in sorted(kept) for context in sorted(kept[token], key=lambda one: one[1:3])]


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
