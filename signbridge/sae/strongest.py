"""The strongest examples of chosen features: images, or phrases, with the activation at every token of them.

Two phrases that begin alike up to the feature's strongest token are one example, as the decoder has read the same by
then: of such only the strongest is taken.

Memory is that of one shard's chosen features, and of the examples kept so far, however many items are read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from sae_lens import SAE
from transformers import BatchFeature

from signbridge.core.shards import Shard, vectors_of
from signbridge.sae.token_stream import Passage, TokenReader
from signbridge.vlm.extraction import Reader

TOKENS = "tokens"
_ENCODED_AT_ONCE = 512  # tokens: features of many take much memory


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


class ExampleReader(TokenReader):
    """Reads `Passage`s, and keeps of a shard the strongest `most` of each chosen feature.

    A shard's arrays are by `site.name`, a row an example: `feature` (its number), `item` (in the shard), `tokens`; and
    `activations` of all examples, one after the other.
    """

    def __init__(
        self,
        reader: Reader,
        autoencoders: Mapping[str, SAE],
        chosen: Mapping[str, Sequence[int]],
        most: int,
        same_as: SameAs | None = None,
    ):
        """`autoencoders` are by site, in order of depth, on the reader's device; `chosen` are features of each.

        Without `same_as` every passage is an example of its own.
        """
        super().__init__(reader, list(autoencoders))
        self.autoencoders, self.chosen, self.most, self.same_as = autoencoders, chosen, most, same_as

    def read(self, images: list[Passage], on_images: Callable[[int], None] = lambda count: None) -> Shard:
        """The examples of these passages."""
        read = super().read(images, on_images)
        arrays: dict[str, np.ndarray] = {}
        for site in self.sites:
            of_site = strongest_in(read.vectors[site], read.vectors[TOKENS], self.most, self._name_of(images))
            arrays |= {f"{site}.{name}": of for name, of in _flat(of_site, self.chosen[site]).items()}
        return Shard(arrays, read.answers, read.made_with)

    def gathered(
        self, site: str, shards: Sequence[Path], passages: list[Passage], per_shard: int
    ) -> dict[int, list[Example]]:
        """The examples of every chosen feature, strongest first, of all shards of `passages`, so many `per_shard`."""
        best: dict[int, list[Example]] = {feature: [] for feature in self.chosen[site]}
        name_of = self._name_of(passages)
        for number, shard in enumerate(shards):
            for feature, example in _stored(shard, site):
                best[feature].append(example._replace(item=number * per_shard + example.item))
            best = {feature: _one_of_each(_ordered(found), self.most, name_of) for feature, found in best.items()}
        return best

    def _name_of(self, passages: list[Passage]) -> Callable[[Example], str | int]:
        if self.same_as is None:
            return lambda example: example.item
        return lambda example: self.same_as(passages[example.item], example.peak)

    @torch.inference_mode()
    def _read_batch(self, inputs: BatchFeature, keep: int) -> Shard:
        is_image, rows, _ = self._kept(inputs, keep)
        wanted = is_image if is_image.any() else ~is_image
        tokens = np.bincount(rows.cpu().numpy()[wanted], minlength=keep)
        streams = super()._read_batch(inputs, keep).vectors
        features = {site: self._encoded(site, streams[site][wanted]) for site in self.sites}
        return Shard({TOKENS: tokens, **features}, [""] * keep, self.made_with)

    def _encoded(self, site: str, stream: Float[np.ndarray, "tokens width"]) -> Float[np.ndarray, "tokens chosen"]:
        autoencoder, chosen = self.autoencoders[site], list(self.chosen[site])
        blocks = torch.from_numpy(stream).split(_ENCODED_AT_ONCE)
        device = self.loaded.device
        return torch.cat([autoencoder.encode(block.to(device).float())[:, chosen].cpu() for block in blocks]).numpy()


def _flat(of_features: list[list[Example]], features: Sequence[int]) -> dict[str, np.ndarray]:
    """The examples of each feature as the arrays of a shard."""
    rows = [(feature, example) for feature, of in zip(features, of_features, strict=True) for example in of]
    return {
        "feature": np.array([feature for feature, _ in rows], dtype=np.int64),
        "item": np.array([example.item for _, example in rows], dtype=np.int64),
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
