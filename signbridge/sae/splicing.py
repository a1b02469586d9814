"""What an autoencoder does to the tokens of one kind: what it gives back of them, and what the model makes of that.

An image is read with the model's own description of it, and the autoencoder stands in for the stream at its image
tokens; a phrase is read alone, and it stands in at all of its tokens. Negative log-likelihoods, in nats a token, are of
the description and of the phrase. Special tokens are left as they are: training left them out too.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from sae_lens import SAE
from torch import Tensor
from transformers import BatchFeature

from signbridge.causal.damage import describe, nll, read_described
from signbridge.core.shards import Shard
from signbridge.sae.token_stream import special_tokens
from signbridge.vlm.branching import CleanRun, clean_run, leave
from signbridge.vlm.extraction import Reader, batches_of_one_length, in_batches

Sums = dict[str, Tensor]  # by name, a row an item


class _Splicer(Reader):
    """What the two readers below share.

    Arrays of a shard are by `site.name`, a row an item: `tokens`, `squares` (of the stream's entries), `total` (the
    sum of its vectors), `error` (squared), `active` (features that fire, summed over tokens), by feature `mass` and
    `fires` (the sum of its activations, and the tokens on which it fires), and `nll`, `nll_sae`, `nll_zero`: unedited,
    spliced, and with zeros in place of the stream. A phrase of one token has none of the last three: NaN.
    """

    def __init__(self, reader: Reader, autoencoders: Mapping[str, SAE]):
        """`autoencoders` are by site, in order of depth, on the reader's device."""
        super().__init__(reader.loaded, reader.prompt, reader.max_new_tokens, reader.batch_size)
        self.autoencoders = autoencoders

    @property
    def _at_once(self) -> int:
        """Items whose keys and values are held while they run twice more for each autoencoder."""
        return max(1, self.batch_size // 2)

    def _spliced(
        self,
        clean: CleanRun,
        where: Bool[Tensor, "items tokens"],
        targets: Int[Tensor, "items targets"],
        is_target: Bool[Tensor, "items targets"],
    ) -> Shard:
        """What comes of `clean` where each autoencoder, or nought, is put in `where`; `clean` begins at token 0.

        `targets` are the tokens that follow the last of the prompt's, as many as `clean` has logits or one fewer.
        """
        sums, entering = {}, {}
        for site, autoencoder in self.autoencoders.items():
            sums[site], entering[site] = _both_streams(clean.streams[site], where, autoencoder)
        count = targets.shape[1]
        kept = clean.logits.shape[1]
        logits = torch.cat([clean.logits, leave(self.loaded, clean, 0, entering, kept).logits])[:, :count]
        unedited, *edited = nll(logits, targets, is_target).view(1 + 2 * len(sums), len(targets)).unbind()
        for number, of_site in enumerate(sums.values()):
            of_site |= {"nll": unedited, "nll_sae": edited[2 * number], "nll_zero": edited[2 * number + 1]}
        arrays = {f"{site}.{name}": rows.cpu().numpy() for site, of in sums.items() for name, rows in of.items()}
        return Shard(arrays, [""] * len(targets), self.made_with)


class ImageSplicer(_Splicer):
    """Reads images as a `Reader` does, with the description that the model itself gives under the reader's prompt."""

    def _batches(self, images: list[Image.Image]) -> list[list[Image.Image]]:
        return in_batches(images, self._at_once)

    def _prepare_filled(self, batch: list[Image.Image]) -> list[Image.Image]:
        return batch

    @torch.inference_mode()
    def _read_batch(self, batch: list[Image.Image], keep: int) -> Shard:
        read = read_described(self, batch, describe(self, batch), "every", list(self.autoencoders))
        is_image = read.clean.input_ids == self.loaded.parts.image_token_id
        return self._spliced(read.clean, is_image, read.tokens, read.is_token)


class PhraseSplicer(_Splicer):
    """Reads phrases, each a list of token ids; those of one length that follow each other are read together."""

    def _batches(self, phrases: list[list[int]]) -> list[list[list[int]]]:
        return batches_of_one_length(phrases, [len(phrase) for phrase in phrases], self._at_once)

    def _prepare_filled(self, batch: list[list[int]]) -> Int[Tensor, "phrases tokens"]:
        return torch.tensor(batch)

    @torch.inference_mode()
    def _read_batch(self, token_ids: Int[Tensor, "phrases tokens"], keep: int) -> Shard:
        token_ids = token_ids.to(self.loaded.device)
        inputs = BatchFeature({"input_ids": token_ids})
        clean = clean_run(self.loaded, inputs, 0, token_ids.shape[1], list(self.autoencoders))
        is_text = ~torch.isin(token_ids, special_tokens(self.loaded).to(token_ids.device))
        return self._spliced(clean, is_text, token_ids[:, 1:], is_text[:, 1:])


def _both_streams(
    stream: Float[Tensor, "items tokens width"], where: Bool[Tensor, "items tokens"], autoencoder: SAE
) -> tuple[Sums, Float[Tensor, "edits tokens width"]]:
    """The sums of each item, and its stream as the autoencoder gives it back; below them those with zeros."""
    given_back, rows = stream.clone(), []
    for item, chosen in enumerate(where):  # one at a time: the features of many tokens take much memory
        given = stream[item, chosen].float()
        features = autoencoder.encode(given)
        back = autoencoder.decode(features)
        given_back[item, chosen] = back.to(stream.dtype)
        rows.append(_sums(given, features, back))
    sums = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    return sums, torch.cat([given_back, stream.masked_fill(where[..., None], 0)])


def _sums(
    given: Float[Tensor, "tokens width"],
    features: Float[Tensor, "tokens features"],
    back: Float[Tensor, "tokens width"],
) -> Sums:
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
