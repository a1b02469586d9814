"""What an autoencoder does at image or text tokens, summed over the tokens of each image or phrase.

Arrays of a shard are by `site.name`, a row an item: `tokens`, `squares` (of the stream's entries), `total` (the sum of
its vectors), `error` (squared), `active` (features that fire, summed over tokens), and by feature `mass` and `fires`
(the sum of its activations, and the tokens on which it fires). `splicing.py` adds what the model then says.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import BatchFeature

from signbridge.core.shards import Shard
from signbridge.sae.token_stream import special_tokens
from signbridge.vlm.extraction import Reader, Work, in_batches
from signbridge.vlm.residual import reading_up_to
from signbridge.vlm.work_list import batches_of_one_length

Autoencoders = Mapping[str, nn.Module]  # by site in order of depth, on the reader's device
Sums = dict[str, Tensor]  # by name, a row an item


def summed_images(reader: Reader, autoencoders: Autoencoders) -> Work:
    """The sums of images at their image tokens, under the reader's prompt."""
    token = reader.loaded.parts.image_token_id
    return Work(lambda inputs, keep: _summed(reader, autoencoders, inputs, inputs["input_ids"] == token, keep),
                reader.prepare, in_batches)  # fmt: skip


def summed_phrases(reader: Reader, autoencoders: Autoencoders) -> Work:
    """The sums of phrases, each a list of token ids, without special tokens."""

    def read(token_ids: Int[Tensor, "phrases tokens"], keep: int) -> Shard:
        inputs = BatchFeature({"input_ids": token_ids})
        return _summed(reader, autoencoders, inputs, ~is_special(reader, token_ids), len(token_ids))

    return Work(read, torch.tensor, phrases_together)


@torch.inference_mode()
def _summed(
    reader: Reader, autoencoders: Autoencoders, inputs: BatchFeature, where: Bool[Tensor, "items tokens"], keep: int
) -> Shard:
    """The sums of the first `keep` items, without an edited run."""
    where, arrays = where[:keep].to(reader.loaded.device), {}

    def keep_sums(site: str, stream: Tensor) -> None:
        if site in autoencoders:
            rows = [sums_of(*through(stream[item, chosen], autoencoders[site])) for item, chosen in enumerate(where)]
            arrays.update(
                {f"{site}.{name}": torch.stack([row[name] for row in rows]).cpu().numpy() for name in rows[0]}
            )

    with reading_up_to(reader.loaded.parts, list(autoencoders), keep_sums):
        reader.loaded.model(**reader.to_device(inputs), use_cache=False, logits_to_keep=1)
    return Shard(arrays, [""] * keep)


def phrases_together(phrases: list[list[int]], most: int) -> list[list[list[int]]]:
    """Batches of phrases of one length that follow each other."""
    return batches_of_one_length(phrases, [len(phrase) for phrase in phrases], at_once(most))


def is_special(reader: Reader, token_ids: Int[Tensor, "..."]) -> Bool[Tensor, "..."]:
    """Which tokens stand for no text."""
    return torch.isin(token_ids, special_tokens(reader.loaded).to(token_ids.device))


def at_once(most: int) -> int:
    """Items whose keys and values are held while they run twice more for each autoencoder."""
    return max(1, most // 2)


def through(vectors: Float[Tensor, "tokens width"], autoencoder: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """The vectors in float32, their features, and what is decoded of these."""
    given = vectors.float()
    features = autoencoder.encode(given)
    return given, features, autoencoder.decode(features)


def sums_of(
    given: Float[Tensor, "tokens width"],
    features: Float[Tensor, "tokens features"],
    back: Float[Tensor, "tokens width"],
) -> Sums:
    """By name the sums of one item, from its vectors, their features and what is decoded of these."""
    fires = features > 0
    return {
        "tokens": torch.tensor(len(given)),
        "squares": given.double().square().sum(),
        "total": given.double().sum(0),
        "error": (given - back).double().square().sum(),
        "active": fires.sum(),
        "mass": features.sum(0),
        "fires": fires.sum(0, dtype=torch.int32),
    }
