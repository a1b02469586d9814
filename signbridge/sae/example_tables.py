"""The tables of what single features fire for: images and phrases, a row an example, and the tokens of phrases."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from transformers import PreTrainedTokenizerBase

from signbridge.sae.strongest import Example

_RANKED = [("site", pa.string()), ("feature", pa.int64()), ("rank", pa.int64())]
_ACTIVATIONS = [("strongest", pa.float32()), ("activations", pa.list_(pa.float32()))]  # of every token
IMAGES = pa.schema([*_RANKED, ("image_id", pa.string()), *_ACTIVATIONS])
# Where each token begins and ends in the phrase, in characters.
PHRASES = pa.schema(
    [*_RANKED, ("phrase", pa.string()), *_ACTIVATIONS, ("start", pa.list_(pa.int64())), ("end", pa.list_(pa.int64()))]
)
Gathered = Mapping[str, Mapping[int, Sequence[Example]]]  # by site and feature, strongest first


class Tokenised(NamedTuple):
    """A phrase, and where each of its tokens lies in it, in characters; special tokens left out."""

    text: str
    starts: list[int]
    ends: list[int]


def tokenised(tokenizer: PreTrainedTokenizerBase, phrases: Sequence[str], special: Sequence[int]) -> list[Tokenised]:
    """The phrases, those of fewer tokens first: what is read together is of like length."""
    encoded = tokenizer(list(phrases), return_offsets_mapping=True)
    found = []
    for phrase, token_ids, spans in zip(phrases, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        kept = [span for token, span in zip(token_ids, spans, strict=True) if token not in special]
        found.append(Tokenised(phrase, [start for start, _ in kept], [end for _, end in kept]))
    return sorted(found, key=lambda phrase: len(phrase.starts))


def image_table(gathered: Gathered, image_ids: Sequence[str]) -> pa.Table:
    """A row a site, feature and rank, from 1; `activations` are those of the image's tokens, in order."""
    rows = [{**row, "image_id": image_ids[example.item]} for row, example in _rows(gathered)]
    return pa.Table.from_pylist(rows, IMAGES)


def phrase_table(gathered: Gathered, phrases: Sequence[Tokenised]) -> pa.Table:
    """The same of phrases; `activations`, `start` and `end` are those of the tokens that are not special, in order."""
    rows = []
    for row, example in _rows(gathered):
        text, starts, ends = phrases[example.item]
        rows.append({**row, "phrase": text, "start": starts, "end": ends})
    return pa.Table.from_pylist(rows, PHRASES)


def _rows(gathered: Gathered) -> Iterator[tuple[dict[str, Any], Example]]:
    for site, of_site in gathered.items():
        for feature, examples in of_site.items():
            for rank, example in enumerate(examples, start=1):
                activations = example.activations.astype(np.float32)
                row = {"site": site, "feature": feature, "rank": rank}
                yield {**row, "strongest": example.strongest, "activations": activations}, example
