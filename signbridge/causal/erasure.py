"""Erasure: what becomes of the letter, of the answer and of everything else when no linear probe can read the letter.

An eraser is an affine map of the residual stream. LEACE (Belrose et al. 2023, "LEACE: Perfect linear concept erasure in
closed form", by its authors' package) is, of all maps after which no linear probe beats a constant, the one that
changes the vectors least. There are fewer images than features, so it is fitted in coordinates of what the images span.

At one site the stream is put through an eraser: at the last token of the prompt, at the image tokens, or at both. The
eraser was fitted on other photos than those that it erases (`erasure_fit.py`), so that some of the letter is left. At
the image tokens it erases what a probe reads from their *mean*; a single token may still tell. New probes,
cross-validated over photos, then read that site and each later one of the sweep: does the letter come back from tokens
that were not touched? Two controls: a random subspace of the same rank, and LEACE for letters that were
shuffled over photos. Damage is measured on the model's descriptions, with erasers that are fitted on the prompt that
asks for them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from concept_erasure import LeaceEraser
from jaxtyping import Float
from PIL import Image
from pydantic import Field
from torch import Tensor
from transformers import BatchFeature

from signbridge.causal.damage import first_edited, read_described
from signbridge.core.activations import Layers
from signbridge.core.names import (
    LEACE,
    POSITION_OF,
    RANDOM_SUBSPACE,
    SHUFFLED_LABELS,
    TOKENS_OF,
    ErasedAt,
)
from signbridge.core.params import Section
from signbridge.core.shards import Shard
from signbridge.core.sweeps import Sweeps
from signbridge.probing.control_sweep import shuffle_over_photos
from signbridge.vlm.branching import (
    CleanRun,
    clean_run,
    image_span,
    leave,
)
from signbridge.vlm.extraction import Reader, Work, in_batches
from signbridge.vlm.loading import LoadedModel
from signbridge.vlm.residual import decoder_sites
from signbridge.vlm.store import stored_dtype

IMAGE_TOKEN = "image_token"  # a position beside the mean: the token in the middle of the image tokens
SMALLEST = 1e-6  # singular value of the whitened cross-covariance that is erased; the package's own is for few digits


class Eraser(NamedTuple):
    """x becomes x - left (right (x - mean))."""

    left: Float[np.ndarray, "width rank"]
    right: Float[np.ndarray, "rank width"]
    mean: Float[np.ndarray, "width"]

    def erase(self, stream: Float[Tensor, "... width"]) -> Float[Tensor, "... width"]:
        """The stream without what is erased, computed in float32."""
        left, right, mean = (
            torch.tensor(array, dtype=torch.float32, device=stream.device)
            for array in (self.left, self.right, self.mean)
        )
        erased = ((stream.float() - mean) @ right.T) @ left.T
        return (stream.float() - erased).to(stream.dtype)


class Spanned(NamedTuple):
    """Vectors in coordinates of what they span around their mean."""

    mean: Float[np.ndarray, "width"]
    basis: Float[np.ndarray, "width rank"]  # orthonormal
    coordinates: Float[np.ndarray, "images rank"]


def leace(vectors: Spanned, labels: np.ndarray) -> Eraser:
    """The least change after which no linear probe, fitted on these vectors, tells the classes apart.

    Their covariance is shrunk (Ledoit and Wolf), since images are few, and the change may not add to its trace. Vectors
    that are all alike are left as they are.
    """
    mean, span, coordinates = vectors
    if not span.shape[1]:
        return Eraser(span, span.T, mean)
    classes = np.unique(labels, return_inverse=True)[1]
    one_hot = np.eye(classes.max() + 1)[classes]
    found = LeaceEraser.fit(
        torch.from_numpy(coordinates),
        torch.from_numpy(one_hot),
        svd_tol=SMALLEST,
        shrinkage=True,
        constrain_cov_trace=True,
    )
    kept = found.proj_right.abs().sum(dim=1) > 0
    left, right = found.proj_left[:, kept].numpy(), found.proj_right[kept].numpy()
    return Eraser(span @ left, right @ span.T, mean)


def random_subspace(vectors: Spanned, rank: int, generator: np.random.Generator) -> Eraser:
    """The orthogonal projection off a random subspace of `rank` dimensions, among those in which the vectors lie."""
    mean, span, _ = vectors
    basis = np.linalg.qr(generator.normal(size=(span.shape[1], min(rank, span.shape[1]))))[0]
    return Eraser(span @ basis, basis.T @ span.T, mean)


def spanned(vectors: Float[np.ndarray, "images width"]) -> Spanned:
    """The vectors as erasers are fitted to them: one singular value decomposition, whatever is erased then."""
    rows = vectors.astype(np.float64)
    mean = rows.mean(axis=0)
    left, spread, basis = np.linalg.svd(rows - mean, full_matrices=False)
    rounding = np.linalg.norm(rows) * np.finfo(np.float64).eps  # of the mean, off which lie vectors that are all alike
    there = spread > max(spread[0] * max(rows.shape) * np.finfo(np.float32).eps, max(rows.shape) * rounding)
    return Spanned(mean, basis[there].T, left[:, there] * spread[there])


class ErasureSweep(Section):
    """What of the section `erasure` differs between the sweeps."""

    layers: Layers
    at: list[ErasedAt] = Field(min_length=1)
    draws: int = Field(ge=1)  # of shuffled letters, the harder control
    drawn: int = Field(ge=0)  # images that erasers are fitted on, where images can be drawn; else, or 0: half of photos
    others: int = Field(ge=1)  # images; damage is measured on their descriptions


class ErasureParams(Sweeps[ErasureSweep]):
    """The section `erasure`."""


class Removal(NamedTuple):
    """What is erased: an eraser for each kind of token."""

    eraser: str
    draw: int  # of a control
    of_tokens: Mapping[str, Eraser]  # by `prompt_last`, `image`


def edits_at(
    site: str,
    vectors: Callable[[str, str], Float[np.ndarray, "images width"]],
    labels: np.ndarray,
    photos: np.ndarray,
    sweep: ErasureSweep,
    seed: int,
) -> list[Removal]:
    """LEACE and its controls at one site, each fitted to the images given.

    `vectors(site, position)` are those images' own, `labels` and `photos` have one entry an image.
    """
    generator = np.random.default_rng([seed, *site.encode()])
    found = {tokens: spanned(vectors(site, POSITION_OF[tokens])) for tokens in TOKENS_OF["both"]}
    true = {tokens: leace(rows, labels) for tokens, rows in found.items()}
    edits = [Removal(LEACE, 0, true)]
    randoms = {tokens: random_subspace(rows, true[tokens].left.shape[1], generator) for tokens, rows in found.items()}
    edits.append(Removal(RANDOM_SUBSPACE, 0, randoms))
    letters, targets = np.unique(labels, return_inverse=True)
    for draw in range(sweep.draws):
        shuffled = letters[shuffle_over_photos(targets, photos, generator)]
        edits.append(Removal(SHUFFLED_LABELS, draw, {tokens: leace(rows, shuffled) for tokens, rows in found.items()}))
    return edits


def shard_name(at: str, site: str, edit: Removal, later: str, position: str) -> str:
    """Under which name a shard has the vectors of `later` at `position` where `edit` was made."""
    return f"{at}.{site}.{edit.eraser}-{edit.draw}.{later}.{position}"


def erasing_work(reader: Reader, edits: Mapping[str, list[Removal]], at: Sequence[ErasedAt]) -> Work:
    """The work on images under every edit: read the vectors at each swept site from the edited one on.

    A shard's arrays are named by `shard_name`, images x width; position `changed` says whether the answer's first token
    is another one, images x 1. `SITE.image_token` is read with nothing erased. A batch is not filled up: which images
    stand together follows from their list alone, and so do the bytes.
    """
    most_edits, dtype = max(map(len, edits.values())), stored_dtype(reader.loaded.model.dtype)

    def read(inputs: BatchFeature, keep: int) -> Shard:
        inputs = reader.to_device(inputs)
        image = image_span(reader.loaded, inputs)
        clean = clean_run(reader.loaded, inputs, first=image.start, sites=edits)
        middle = (image.stop - image.start) // 2
        arrays = {
            f"{site}.{IMAGE_TOKEN}": clean.tail(site, image.start)[:, middle].to(dtype).cpu().numpy() for site in edits
        }
        for one in at:
            for site in edits:
                arrays |= _under_edits(reader.loaded, one, site, edits, clean, image)
        return Shard(arrays, [""] * keep)

    return Work(read, reader.prepare, lambda images, most: in_batches(images, max(1, most // most_edits)))


def _under_edits(
    loaded: LoadedModel, at: ErasedAt, site: str, edits: Mapping[str, list[Removal]], clean: CleanRun, image: slice
) -> dict[str, np.ndarray]:
    """What is read where each of the edits is made at `site`: vectors by `shard_name`."""
    of_site, prompts = edits[site], len(clean.input_ids)
    start = first_edited(at, image, clean.input_ids.shape[1])
    rows = torch.cat([erased(clean, site, start, at, edit, image) for edit in of_site])
    swept = [later for later in decoder_sites(loaded.parts) if later in edits]
    dtype, arrays = stored_dtype(loaded.model.dtype), {}

    def keep(later: str, stream: Tensor) -> None:
        if later not in swept:
            return
        positions = {"prompt_last": stream[:, -1]}
        if at != "prompt_last":  # else no image token has changed
            of_image = stream[:, image.start - start : image.stop - start]
            positions["image_mean"] = of_image.mean(dim=1, dtype=torch.float32)
            positions[IMAGE_TOKEN] = of_image[:, of_image.shape[1] // 2]
        for position, vectors in positions.items():
            for edit, of_edit in zip(of_site, vectors.to(dtype).split(prompts), strict=True):
                arrays[shard_name(at, site, edit, later, position)] = of_edit.cpu().numpy()

    logits = leave(loaded, clean, start, {site: rows}, on_site=keep).logits[:, -1]
    changed = logits.argmax(-1).view(-1, prompts) != clean.logits[:, -1].argmax(-1)
    for edit, of_edit in zip(of_site, changed.cpu().numpy(), strict=True):
        arrays[shard_name(at, site, edit, site, "changed")] = of_edit[:, None].astype(np.float32)
    return arrays


def erased(
    clean: CleanRun, site: str, start: int, at: ErasedAt, edit: Removal, image: slice, last: int | None = None
) -> Float[Tensor, "prompts tail width"]:
    """The stream at `site` from token `start` on, with what `edit` erases gone from the tokens that `at` names.

    `last` is the last token of the prompt, where it is not the last of all.
    """
    stream = clean.tail(site, start).clone()
    end = clean.input_ids.shape[1] - 1 if last is None else last
    where = {
        "image": slice(image.start - start, image.stop - start),
        "prompt_last": slice(end - start, end - start + 1),
    }
    for tokens in TOKENS_OF[at]:
        stream[:, where[tokens]] = edit.of_tokens[tokens].erase(stream[:, where[tokens]])
    return stream


def damage(
    reader: Reader,
    images: list[Image.Image],
    descriptions: list[list[int]],
    edits: Mapping[str, list[Removal]],
    at: ErasedAt,
) -> dict[str, Float[np.ndarray, "edits images"]]:
    """By site, the rise in negative log-likelihood (nats a token) of the images' own descriptions under every edit."""
    at_once = max(1, reader.batch_size // 2)  # their keys and values are held while all is tried
    shown = zip(in_batches(images, at_once), in_batches(descriptions, at_once), strict=True)
    parts = [_damage(reader, *some, edits, at) for some in shown]
    return {site: np.concatenate([part[site] for part in parts], axis=1) for site in edits}


def _damage(
    reader: Reader,
    images: list[Image.Image],
    descriptions: list[list[int]],
    edits: Mapping[str, list[Removal]],
    at: ErasedAt,
) -> dict[str, Float[np.ndarray, "edits images"]]:
    described = read_described(reader, images, descriptions, at, edits)
    clean, found = described.clean, {}
    for site, of_site in edits.items():
        rises = []
        for edit in of_site:
            rows = erased(clean, site, clean.first, at, edit, described.image, last=described.prompt_tokens - 1)
            logits = leave(reader.loaded, clean, clean.first, {site: rows}, described.longest).logits
            rises.append(described.damage(logits))
        found[site] = torch.cat(rises).cpu().numpy()
    return found
