"""The residual stream of all tokens of a text, with an image in it or without: what autoencoders are trained on."""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import BatchFeature

from signbridge.extraction import Reader, in_batches, stored_dtype
from signbridge.extraction_tables import decoded
from signbridge.shards import Shard
from signbridge.vlm.loading import LoadedModel
from signbridge.vlm.residual import reading

IS_IMAGE = "is_image"  # beside the sites in a shard


class Passage(NamedTuple):
    """A text, with the image that its image token stands for."""

    text: str
    png: bytes | None = None


class _ReadAll(Exception):
    """Ends a pass at the deepest site that is wanted: what the blocks after it compute is for nothing."""


def special_tokens(loaded: LoadedModel) -> Int[Tensor, "special"]:
    """The ids of the tokens that stand for no text, on the CPU."""
    return torch.tensor(sorted(set(loaded.processor.tokenizer.all_special_ids)))


class TokenReader(Reader):
    """Reads `Passage`s as a `Reader` does images; a shard's arrays are by site, tokens x width, and `is_image`.

    Special tokens are left out: the first of a text has a stream hundreds of times as long as others in many models,
    and it is the same in every text. Passages that are read together all have an image, or none has.
    """

    def __init__(self, reader: Reader, sites: Sequence[str]):
        super().__init__(reader.loaded, reader.prompt, 1, reader.batch_size)
        self.sites = list(sites)
        self._special = special_tokens(reader.loaded)

    def _batches(self, passages: list[Passage]) -> list[list[Passage]]:
        return in_batches(passages, self.batch_size)

    def _prepare_filled(self, batch: list[Passage]) -> BatchFeature:
        filled = batch + batch[:1] * (self.batch_size - len(batch))
        texts = [passage.text for passage in filled]
        if filled[0].png is not None:
            return self.prepare(decoded(passage.png for passage in filled), texts)
        return BatchFeature(dict(self.loaded.processor.tokenizer(texts, return_tensors="pt", padding=True)))

    @torch.inference_mode()
    def _read_batch(self, inputs: BatchFeature, keep: int) -> Shard:
        model, dtype = self.loaded.model, stored_dtype(self.loaded.model.dtype)
        is_image, rows, places = self._kept(inputs, keep)
        vectors = {}

        def keep_tokens(site: str, stream: Tensor) -> None:
            if site in self.sites:
                vectors[site] = stream[rows, places].to(dtype).cpu().numpy()
            if len(vectors) == len(self.sites):
                raise _ReadAll

        inputs = inputs.to(self.loaded.device, dtype=model.dtype)
        with suppress(_ReadAll), reading(self.loaded.parts, keep_tokens):
            model(**inputs, use_cache=False, logits_to_keep=1)
        return Shard({**vectors, IS_IMAGE: is_image}, [""] * keep, self.made_with)

    def _kept(self, inputs: BatchFeature, keep: int) -> tuple[Bool[np.ndarray, " tokens"], Tensor, Tensor]:
        """Of the tokens that are kept: whether each is of an image, its row and its place in the row."""
        token_ids = inputs["input_ids"][:keep]
        is_image = token_ids == self.loaded.parts.image_token_id
        kept = is_image | ~torch.isin(token_ids, self._special)
        if "attention_mask" in inputs:
            kept &= inputs["attention_mask"][:keep].bool()
        rows, places = (part.to(self.loaded.device) for part in kept.nonzero(as_tuple=True))
        return is_image[kept].numpy(), rows, places
