"""The residual stream of all tokens, streamed from a model through a shuffling buffer: what autoencoders train on.

As in "Line of Sight" (2025): a buffer is filled and shuffled, half of it is drawn, and it is filled up again. Vectors
are never stored as a whole. The state of a stream can be kept and restored, so that interrupted training goes on with
the same batches.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import BatchFeature

from signbridge.core.shards import Shard
from signbridge.datasets.images import decoded
from signbridge.sae.passages import DECKS, Deck, Passage
from signbridge.vlm.extraction import Reader, Work, in_batches
from signbridge.vlm.loading import LoadedModel
from signbridge.vlm.residual import reading_up_to
from signbridge.vlm.store import stored_dtype

IS_IMAGE = "is_image"  # beside the sites in a shard


def special_tokens(loaded: LoadedModel) -> Int[Tensor, "special"]:
    """The ids of the tokens that stand for no text, on the CPU."""
    return torch.tensor(sorted(set(loaded.processor.tokenizer.all_special_ids)))


def token_streams(reader: Reader, sites: Sequence[str]) -> Work:
    """Of `Passage`s: the stream of every token by site, tokens x width, and `is_image`, in order.

    Special tokens are left out: in many models the first token of a text has a stream hundreds of times as long as
    others, and it is the same in every text. Passages that are read together all have an image, or none has.
    """
    loaded, dtype = reader.loaded, stored_dtype(reader.loaded.model.dtype)

    def prepare(batch: list[Passage]) -> BatchFeature:
        filled = reader.filled(batch)
        texts = [passage.text for passage in filled]
        if filled[0].png is not None:
            return reader.prepare(decoded(passage.png for passage in filled), texts)
        return BatchFeature(dict(loaded.processor.tokenizer(texts, return_tensors="pt", padding=True)))

    @torch.inference_mode()
    def read(inputs: BatchFeature, keep: int) -> Shard:
        is_image, rows, places = kept_tokens(loaded, inputs, keep)
        vectors = {}

        def keep_tokens(site: str, stream: Tensor) -> None:
            vectors[site] = stream[rows, places].to(dtype).cpu().numpy()

        with reading_up_to(loaded.parts, sites, keep_tokens):
            loaded.model(**reader.to_device(inputs), use_cache=False, logits_to_keep=1)
        return Shard({**vectors, IS_IMAGE: is_image}, [""] * keep)

    return Work(read, prepare, in_batches)


def kept_tokens(
    loaded: LoadedModel, inputs: BatchFeature, keep: int
) -> tuple[Bool[np.ndarray, " tokens"], Int[Tensor, " tokens"], Int[Tensor, " tokens"]]:
    """Of the tokens of `keep` rows that are not special: whether each is of an image, its row and its place in it."""
    token_ids = inputs["input_ids"][:keep]
    is_image = token_ids == loaded.parts.image_token_id
    kept = is_image | ~torch.isin(token_ids, special_tokens(loaded))
    if "attention_mask" in inputs:
        kept &= inputs["attention_mask"][:keep].bool()
    rows, places = (part.to(loaded.device) for part in kept.nonzero(as_tuple=True))
    return is_image[kept].numpy(), rows, places


PASSAGES_TOGETHER = 64  # read at once; a multiple of every batch size, and the same whatever the batch size is


class Tokens(NamedTuple):
    """Some tokens: the stream at each site, and what each is of."""

    vectors: dict[str, Float[Tensor, "tokens _"]]  # by site, tokens x width
    is_image: Bool[Tensor, " tokens"]

    def __getitem__(self, which: slice | Tensor) -> "Tokens":
        """These of the tokens."""
        return Tokens({site: vectors[which] for site, vectors in self.vectors.items()}, self.is_image[which])

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.is_image)


@runtime_checkable
class Source(Protocol):
    """Where the tokens of a stream come from: endless, and the same from the same position on."""

    position: dict[str, int]  # how far it has got, to be kept and set

    def more(self) -> Tokens:
        """The next tokens, at least one, in the order in which they were read."""


class ModelTokens:
    """The tokens of images with their prompts and of texts alone, as a model reads them.

    `read` gives the streams of some passages (`token_streams`). `text_share` is the share of all tokens that come from
    texts alone. Without texts, or without images, all tokens are of the other kind.
    """

    def __init__(
        self,
        read: Callable[[list[Passage]], Shard],
        images: Sequence[Passage],
        texts: Sequence[Passage],
        text_share: float,
        seed: int,
    ):
        self._read, self._text_share = read, text_share if images and texts else float(not images)
        self._decks = {kind: Deck(of, [seed, DECKS[kind]]) for kind, of in (("images", images), ("texts", texts))}
        self.position = {"images": 0, "texts": 0, "tokens": 0, "text_tokens": 0}

    def more(self) -> Tokens:
        """The tokens of the next passages: texts if their share of the tokens so far is too small, else images."""
        at = self.position
        is_text = at["text_tokens"] < self._text_share * (at["tokens"] + 1)
        dealt = "texts" if is_text else "images"
        passages = self._decks[dealt].deal(at[dealt], PASSAGES_TOGETHER)
        vectors = dict(self._read(passages).vectors)
        is_image = torch.from_numpy(vectors.pop(IS_IMAGE))
        self.position = {
            **at,
            dealt: at[dealt] + len(passages),
            "tokens": at["tokens"] + len(is_image),
            "text_tokens": at["text_tokens"] + is_text * len(is_image),
        }
        return Tokens({site: torch.from_numpy(array) for site, array in vectors.items()}, is_image)


class StreamState(NamedTuple):
    """All that the batches to come depend on."""

    numbers: dict[str, int]  # the position of the source, and `refills`
    waiting: Tokens  # in the buffer, in the order in which they are drawn


class ShuffledTokens(Iterator[Tokens]):
    """Endless batches of tokens in a random order.

    The buffer holds `buffer` tokens, and up to one read of the source more; `buffer` must hold a batch.
    """

    def __init__(self, source: Source, buffer: int, batch: int, seed: int):
        if buffer < batch:
            raise ValueError(f"a buffer of {buffer} tokens holds no batch of {batch}")
        self._source, self._buffer, self._batch, self._seed = source, buffer, batch, seed
        self._waiting: Tokens | None = None
        self._refills = 0

    def __next__(self) -> Tokens:
        """The next `batch` tokens."""
        if self._waiting is None or self._waiting.count - self._batch < self._buffer // 2:
            self._refill()
        drawn, self._waiting = self._waiting[: self._batch], self._waiting[self._batch :]
        return drawn

    def widths_and_norms(self) -> dict[str, tuple[int, float]]:
        """By site, how wide the vectors in the buffer are and their mean length; an empty one is filled first."""
        if self._waiting is None:
            self._refill()
        return {site: (vectors.shape[1], _mean_norm(vectors)) for site, vectors in self._waiting.vectors.items()}

    @property
    def state(self) -> StreamState:
        """Where the stream has got to. Raises `ValueError` before the first batch."""
        if self._waiting is None:
            raise ValueError("nothing was drawn from this stream yet")
        waiting = self._waiting._replace(vectors=dict(self._waiting.vectors))
        return StreamState({**self._source.position, "refills": self._refills}, waiting)

    def go_to(self, state: StreamState) -> None:
        """Go on from `state`, which is of a stream of the same source, sizes and seed."""
        numbers = dict(state.numbers)
        self._refills = numbers.pop("refills")
        self._source.position = numbers
        self._waiting = state.waiting._replace(vectors=dict(state.waiting.vectors))

    def _refill(self) -> None:
        parts = [] if self._waiting is None else [self._waiting]
        while sum(part.count for part in parts) < self._buffer:
            parts.append(self._source.more())
        self._waiting = None
        generator = np.random.default_rng([self._seed, self._refills])
        order = torch.from_numpy(generator.permutation(sum(part.count for part in parts)))
        sites = list(parts[0].vectors)
        # A site at a time, so that no other is there more than once.
        vectors = {site: torch.cat([part.vectors.pop(site) for part in parts])[order] for site in sites}
        self._waiting = Tokens(vectors, torch.cat([part.is_image for part in parts])[order])
        self._refills += 1


def _mean_norm(vectors: Float[Tensor, "tokens width"]) -> float:
    """A block of tokens at a time: in single precision all of them at once would be the buffer a second time."""
    return sum(float(block.float().norm(dim=1).double().sum()) for block in vectors.split(4096)) / len(vectors)
