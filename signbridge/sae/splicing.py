"""Put an autoencoder in place of the stream of image or text tokens: its reconstruction, and what the model then says.

An image is read with the model's own description of it, and the autoencoder stands in for the stream at its image
tokens, and then at all of its tokens, the question and the description too: "Line of Sight" (2025) replaces all of
them. A phrase is read alone, and the autoencoder stands in at all of its tokens. Negative log-likelihoods, in nats a
token, are of the description and of the phrase. Special tokens are left as they are, since training left them out too.

Arrays of a shard are those of `token_sums.py`, of the image tokens or of the phrase's, and where a PCA stands beside
the autoencoder, `off_centre` and by component `explained` (`pca.py`). Of likelihoods: `nll` (unedited), `nll_sae` and
`nll_zero` (spliced, and with zeros in place of the stream), `nll_sae_all` and `nll_zero_all` (the same at all tokens).
A phrase of one token has none of these: NaN.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor, nn
from transformers import BatchFeature

from signbridge.causal.damage import describe, nll, read_described
from signbridge.core.shards import Shard
from signbridge.sae.pca import Pca
from signbridge.sae.token_sums import (
    Autoencoders,
    Sums,
    at_once,
    is_special,
    phrases_together,
    sums_of,
    through,
)
from signbridge.vlm.branching import CleanRun, clean_run, leave_in_turn
from signbridge.vlm.extraction import Reader, Work, in_batches

BRANCHES_OF_AN_ITEM = 4  # run at once for every item that the reader takes at once: they leave at the first token
Pcas = Mapping[str, Pca]  # by site, or none
NO_PCA: Pcas = MappingProxyType({})


def read_together(images: Sequence[Image.Image], most: int) -> int:
    """How many images may be read together where prompts must have one length: those of one size have."""
    return most if len({image.size for image in images}) == 1 else 1


def spliced_images(reader: Reader, autoencoders: Autoencoders, pcas: Pcas = NO_PCA) -> Work:
    """Of images, with the description that the model gives under the reader's prompt."""

    @torch.inference_mode()
    def read(batch: list[Image.Image], keep: int) -> Shard:
        described = read_described(reader, batch, describe(reader, batch), "every", list(autoencoders))
        token_ids = described.clean.input_ids
        is_image = token_ids == reader.loaded.parts.image_token_id
        where = {"": is_image, "_all": is_image | ~is_special(reader, token_ids)}
        return _spliced(reader, autoencoders, pcas, described.clean, where, described.tokens, described.is_token)

    return Work(read, lambda batch: batch, lambda images, most: in_batches(images, at_once(most)))


def spliced_phrases(reader: Reader, autoencoders: Autoencoders, pcas: Pcas = NO_PCA) -> Work:
    """Of phrases, each a list of token ids. Only phrases of one length that follow each other are read together."""

    @torch.inference_mode()
    def read(token_ids: Int[Tensor, "phrases tokens"], keep: int) -> Shard:
        token_ids = token_ids.to(reader.loaded.device)
        inputs = BatchFeature({"input_ids": token_ids})
        clean = clean_run(reader.loaded, inputs, 0, token_ids.shape[1], list(autoencoders))
        is_text = ~is_special(reader, token_ids)
        return _spliced(reader, autoencoders, pcas, clean, {"": is_text}, token_ids[:, 1:], is_text[:, 1:])

    return Work(read, torch.tensor, phrases_together)


def _spliced(
    reader: Reader,
    autoencoders: Autoencoders,
    pcas: Pcas,
    clean: CleanRun,
    where: Mapping[str, Bool[Tensor, "items tokens"]],
    targets: Int[Tensor, "items targets"],
    is_target: Bool[Tensor, "items targets"],
) -> Shard:
    """What comes of `clean`, which begins at token 0, with each autoencoder, and with zeros, at each of `where`.

    Sums are of the first of `where`, whose keys end the names of likelihoods. `targets` are the tokens that follow the
    last of the prompt's, as many as `clean` has logits or one fewer.
    """
    sums, entering = {}, {}
    for site, autoencoder in autoencoders.items():
        stream, edits = clean.streams[site], []
        for end, tokens in where.items():
            of_site, back = _both_streams(stream, tokens, autoencoder, None if end else pcas.get(site))
            edits.append(back)
            sums.setdefault(site, of_site)
        entering[site] = torch.cat(edits)
    count, kept, most = targets.shape[1], clean.logits.shape[1], BRANCHES_OF_AN_ITEM * reader.batch_size
    logits = torch.cat([clean.logits, leave_in_turn(reader.loaded, clean, 0, entering, most, kept)])[:, :count]
    unedited, *edited = nll(logits, targets, is_target).view(-1, len(targets)).unbind()
    names = [f"nll_{edit}{end}" for end in where for edit in ("sae", "zero")]
    for number, of_site in enumerate(sums.values()):
        mine = edited[number * len(names) :][: len(names)]
        of_site |= {"nll": unedited, **dict(zip(names, mine, strict=True))}
        of_site |= {f"{name}_all": of_site[name] for name in ("nll_sae", "nll_zero") if "_all" not in where}
    arrays = {f"{site}.{name}": rows.cpu().numpy() for site, of in sums.items() for name, rows in of.items()}
    return Shard(arrays, [""] * len(targets))


def _both_streams(
    stream: Float[Tensor, "items tokens width"],
    where: Bool[Tensor, "items tokens"],
    autoencoder: nn.Module,
    pca: Pca | None,
) -> tuple[Sums, Float[Tensor, "edits tokens width"]]:
    """The sums of each item, and its stream as the autoencoder gives it back; below them those with zeros."""
    given_back, rows = stream.clone(), []
    for item, chosen in enumerate(where):  # one at a time: the features of many tokens take much memory
        given, features, back = through(stream[item, chosen], autoencoder)
        given_back[item, chosen] = back.to(stream.dtype)
        rows.append({**sums_of(given, features, back), **(pca.sums(given) if pca else {})})
    sums = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    return sums, torch.cat([given_back, stream.masked_fill(where[..., None], 0)])
