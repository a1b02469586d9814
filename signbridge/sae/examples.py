"""The strongest examples of chosen features: images, or phrases, with the activation at every token; and their tables.

Two phrases that begin alike up to the feature's strongest token are one example, since the decoder has read the same
tokens by then: only the strongest of them is kept. Memory is that of one shard's examples and of those kept so far,
however many items are read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from torch import nn
from transformers import BatchFeature, PreTrainedTokenizerBase

from signbridge.core.shards import Shard, vectors_of
from signbridge.sae.passages import Passage
from signbridge.sae.token_stream import kept_tokens, token_streams
from signbridge.vlm.extraction import Reader, Work, in_batches

TOKENS = "tokens"
_ENCODED_AT_ONCE = 512  # tokens: the features of many tokens take much memory
_RANKED = [("site", pa.string()), ("feature", pa.int64()), ("rank", pa.int64())]
_ACTIVATIONS = [("strongest", pa.float32()), ("activations", pa.list_(pa.float32()))]  # of every token
IMAGES = pa.schema([*_RANKED, ("image_id", pa.string()), *_ACTIVATIONS])
# Where each token begins and ends in the phrase, in characters.
PHRASES = pa.schema(
    [*_RANKED, ("phrase", pa.string()), *_ACTIVATIONS, ("start", pa.list_(pa.int64())), ("end", pa.list_(pa.int64()))]
)


class Example(NamedTuple):
    """A feature at every token of an item: its image tokens if it has an image, else all that are not special."""

    item: int  # which of those read
    activations: Float[np.ndarray, "tokens"]

    @property
    def strongest(self) -> float:
        """The activation at the strongest token."""
        return float(self.activations.max())

    @property
    def peak(self) -> int:
        """The strongest token, the first of equals."""
        return int(self.activations.argmax())


SameAs = Callable[[Passage, int], str]  # of a passage and its peak: a name that all have that count as one example
Numbered = tuple[int, Passage]
Gathered = Mapping[str, Mapping[int, Sequence[Example]]]  # by site and feature, strongest first


def strongest_examples(
    reader: Reader,
    autoencoders: Mapping[str, nn.Module],
    chosen: Mapping[str, Sequence[int]],
    most: int,
    same_as: SameAs | None = None,
) -> Work:
    """Of numbered `Passage`s (`enumerate`): of each batch the strongest `most` examples of each chosen feature.

    A shard's arrays are by `site.name`, a row an example: `feature` (its number), `item` (the passage's number),
    `tokens`; and `activations` of all examples, one after the other. `autoencoders` are by site, in order of depth, on
    the reader's device; `chosen` are features of each. Without `same_as` every passage is an example of its own.
    """
    streams = token_streams(reader, list(autoencoders))

    def prepare(batch: list[Numbered]) -> tuple[list[Numbered], BatchFeature]:
        return batch, streams.prepare([passage for _, passage in batch])

    @torch.inference_mode()
    def read(prepared: tuple[list[Numbered], BatchFeature], keep: int) -> Shard:
        batch, inputs = prepared
        is_image, rows, _ = kept_tokens(reader.loaded, inputs, keep)
        wanted = is_image if is_image.any() else ~is_image
        tokens = np.bincount(rows.cpu().numpy()[wanted], minlength=keep)
        vectors, arrays = streams.read(inputs, keep).vectors, {}
        for site, autoencoder in autoencoders.items():
            encoded = _encoded(autoencoder, vectors[site][wanted], chosen[site], reader.loaded.device)
            found = strongest_in(encoded, tokens, most, _name_of([passage for _, passage in batch], same_as))
            numbers = [number for number, _ in batch]
            arrays |= {f"{site}.{name}": of for name, of in _flat(found, chosen[site], numbers).items()}
        return Shard(arrays, [""] * keep)

    return Work(read, prepare, in_batches)


def gathered(
    shards: Sequence[Path],
    passages: list[Passage],
    chosen: Mapping[str, Sequence[int]],
    most: int,
    same_as: SameAs | None = None,
) -> Gathered:
    """The `most` strongest examples of every chosen feature, strongest first, from all shards of `passages`."""
    name_of = _name_of(passages, same_as)
    best: dict[str, dict[int, list[Example]]] = {site: {one: [] for one in of} for site, of in chosen.items()}
    for shard in shards:
        for site, of_site in best.items():
            for feature, example in _stored(shard, site):
                of_site[feature].append(example)
            best[site] = {feature: _one_of_each(_ordered(of), most, name_of) for feature, of in of_site.items()}
    return best


def _name_of(passages: list[Passage], same_as: SameAs | None) -> Callable[[Example], str | int]:
    if same_as is None:
        return lambda example: example.item
    return lambda example: same_as(passages[example.item], example.peak)


def _encoded(
    autoencoder: nn.Module, stream: Float[np.ndarray, "tokens width"], chosen: Sequence[int], device: torch.device
) -> Float[np.ndarray, "tokens chosen"]:
    blocks = torch.from_numpy(stream).split(_ENCODED_AT_ONCE)
    return torch.cat([autoencoder.encode(block.to(device).float())[:, list(chosen)].cpu() for block in blocks]).numpy()


def _flat(of_features: list[list[Example]], features: Sequence[int], numbers: Sequence[int]) -> dict[str, np.ndarray]:
    """The examples of each feature as the arrays of a shard; `numbers` are those of the items."""
    rows = [(feature, example) for feature, of in zip(features, of_features, strict=True) for example in of]
    return {
        "feature": np.array([feature for feature, _ in rows], dtype=np.int64),
        "item": np.array([numbers[example.item] for _, example in rows], dtype=np.int64),
        TOKENS: np.array([len(example.activations) for _, example in rows], dtype=np.int64),
        "activations": np.concatenate([np.empty(0, np.float32), *(example.activations for _, example in rows)]),
    }


def _stored(shard: Path, site: str) -> Iterator[tuple[int, Example]]:
    """The examples of a shard with the feature that each is of."""
    features, items, tokens, activations = (
        vectors_of([shard], f"{site}.{name}") for name in ("feature", "item", TOKENS, "activations")
    )
    parts = np.split(activations, np.cumsum(tokens)[:-1])
    for feature, item, of_item in zip(features.tolist(), items.tolist(), parts, strict=False):
        yield feature, Example(item, of_item)


def strongest_in(
    activations: Float[np.ndarray, "tokens chosen"],
    tokens: Int[np.ndarray, "items"],
    most: int,
    name_of: Callable[[Example], str | int],
) -> list[list[Example]]:
    """Of each feature up to `most` examples in which it fires, strongest first, no two with the same name.

    `activations` are those of all tokens of all items, of which each has so many `tokens`.
    """
    ends = np.cumsum(tokens)
    there = np.flatnonzero(tokens)
    if not len(there):
        return [[] for _ in range(activations.shape[1])]
    maxima = np.maximum.reduceat(activations, (ends - tokens)[there], axis=0)
    return [
        _one_of_each(_firing(activations[:, column], of_items, there, ends, tokens), most, name_of)
        for column, of_items in enumerate(maxima.T)
    ]


def _firing(
    activations: Float[np.ndarray, "tokens"],
    maxima: Float[np.ndarray, "there"],
    there: Int[np.ndarray, "there"],
    ends: Int[np.ndarray, "items"],
    tokens: Int[np.ndarray, "items"],
) -> Iterator[Example]:
    """The examples of one feature, strongest first."""
    for place in np.argsort(-maxima, kind="stable"):
        if not maxima[place] > 0:
            return
        item = int(there[place])
        yield Example(item, activations[ends[item] - tokens[item] : ends[item]])


def _ordered(examples: Iterable[Example]) -> list[Example]:
    return sorted(examples, key=lambda example: (-example.strongest, example.item))


def _one_of_each(examples: Iterable[Example], most: int, name_of: Callable[[Example], str | int]) -> list[Example]:
    """The first of each name, `most` in all."""
    found: dict[str | int, Example] = {}
    for example in examples:
        found.setdefault(name_of(example), example)
        if len(found) == most:
            break
    return list(found.values())


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
