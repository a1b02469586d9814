"""Pairs of images that differ in one bent finger: does the text follow, and does the stream tell which finger it was?

After NOTICE (Golovanevsky et al. 2025). Photos are drawn twice (`signbridge/rendered/minimal_pairs.py`), so a pair has
one known difference. Four questions: does the description change; where is the difference carried (patching between the
two, at the first token in which their descriptions differ); can the finger be read from the difference of the two
streams, by the mean differences of other photos; and do these, added to the stream, change the description so?
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from pydantic import Field
from torch import Tensor
from transformers import BatchFeature

from signbridge.causal.pairs import first_difference
from signbridge.causal.patching import Patched, Swap, compared_tokens, logit_difference
from signbridge.core.activations import Layers
from signbridge.core.errors import SignBridgeError
from signbridge.core.names import NAMED, RANDOM
from signbridge.core.params import CAUSAL, Section
from signbridge.core.shards import Shard
from signbridge.core.sweeps import Sweeps
from signbridge.datasets.hands import FINGERS
from signbridge.datasets.images import encode_png
from signbridge.rendered.dataset import RenderedParams
from signbridge.rendered.minimal_pairs import MinimalPairs, bendable, minimal_pairs
from signbridge.vlm.branching import clean_run, image_span, leave_in_turn
from signbridge.vlm.extraction import Reader, Work, in_batches
from signbridge.vlm.loading import LoadedModel
from signbridge.vlm.residual import decoder_sites, reading_up_to
from signbridge.vlm.store import stored_dtype

NUMBERS = 16384  # kept of an image and site, token by token
IMAGE_TOKENS = "image_tokens"  # the position of these
OWN, OTHER = "own", "other"  # the mean difference of the finger that moved, and that of another, as long
SAID_COLUMNS = ["photo", "letter", "finger", "before", "after", "changed", "unmoved", "moved"]
READ_COLUMNS = ["photo", "letter", "finger", "site", "position", "fitted_on", "draw", "predicted"]


class MinimalPairsSweep(Section):
    """What of the section `minimal_pairs` differs between the sweeps."""

    photos: int = Field(ge=0)  # of each letter whose fingers can all be bent; 0: no pairs
    degrees: float = Field(gt=0, le=90)  # by which one finger is bent further at its knuckle
    draws: int = Field(ge=1)  # of the null: the fingers shuffled within each photo
    layers: Layers  # whose stream the mean differences are added to
    strengths: list[float]  # in mean differences


class MinimalPairsParams(Sweeps[MinimalPairsSweep]):
    """The section `minimal_pairs`."""


class Pair(NamedTuple):
    """Two images that differ in one finger, by their places in `images_of`."""

    photo: int
    letter: str
    finger: str
    unmoved: int
    moved: int


def drawn_pairs(dataset: Mapping[str, Any], letters: Sequence[str], sweep: MinimalPairsSweep) -> list[MinimalPairs]:
    """Photos of those of the letters whose fingers can all be bent; none where the images are not drawn.

    `dataset` is what made the images, as `data/sample.parquet` has it. Raises `SignBridgeError` for a single photo.
    """
    if sweep.photos == 1:
        raise SignBridgeError(
            f"{CAUSAL}: minimal_pairs.<sweep>.photos is 1. What is read of half of a letter's photos is fitted on the "
            "other half: take 2 or more, or 0 for no pairs."
        )
    if dataset.get("source") != "rendered":
        return []
    return minimal_pairs(RenderedParams(**dataset["params"]), bendable(letters), sweep.photos, sweep.degrees)


def images_of(photos: Sequence[MinimalPairs]) -> list[Image.Image]:
    """Of each photo the unmoved image, then one a finger."""
    pixels = [image for photo in photos for image in (photo.unmoved, *photo.moved.values())]
    return [Image.fromarray(image).convert("RGB") for image in pixels]


def pairs_of(photos: Sequence[MinimalPairs]) -> list[Pair]:
    """Every photo with every finger, finger after finger."""
    step = 1 + len(FINGERS)
    return [
        Pair(number, photo.letter, finger, step * number, step * number + 1 + place)
        for number, photo in enumerate(photos) for place, finger in enumerate(FINGERS)
    ]  # fmt: skip


def said_table(pairs: list[Pair], images: list[Image.Image], said: Sequence[str]) -> pd.DataFrame:
    """One row a pair: photo, letter, finger, before and after (descriptions), changed, unmoved and moved (PNG)."""
    pngs = [encode_png(np.asarray(image.convert("L"))) for image in images]
    rows = [
        (*pair[:3], said[pair.unmoved], said[pair.moved], said[pair.unmoved] != said[pair.moved],
         pngs[pair.unmoved], pngs[pair.moved]) for pair in pairs
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=SAID_COLUMNS)


# Reading --------------------------------------------------------------------------------------------------------------


def token_vectors(reader: Reader) -> Work:
    """Of images: the stream at every image token and site of the decoder, `site.image_tokens`, one token after another.

    A stream that is too wide for `NUMBERS` an image is projected onto random directions, the same for every image and
    site, which keep angles nearly as they are (Johnson and Lindenstrauss 1984).
    """
    loaded = reader.loaded
    sites, width = decoder_sites(loaded.parts), loaded.model.config.get_text_config().hidden_size

    @torch.inference_mode()
    def read(inputs: BatchFeature, keep: int) -> Shard:
        inputs = reader.to_device(inputs)
        image = image_span(loaded, inputs)
        directions = min(width, max(1, NUMBERS // (image.stop - image.start)))
        onto = torch.randn(width, directions, generator=torch.Generator().manual_seed(0)) / directions**0.5
        onto, found = onto.to(loaded.device), {}

        def keep_site(site: str, stream: Tensor) -> None:
            tokens = stream[:keep, image].float()
            tokens = tokens @ onto if directions < width else tokens
            found[f"{site}.{IMAGE_TOKENS}"] = tokens.flatten(1).to(stored_dtype(stream.dtype)).cpu().numpy()

        with reading_up_to(loaded.parts, sites, keep_site):
            loaded.model(**inputs, use_cache=False, logits_to_keep=1)
        return Shard(found, [""] * keep)

    return Work(read, reader.prepare, in_batches, fills=True)


def halves(pairs: list[Pair]) -> Bool[np.ndarray, " pairs"]:
    """Which pairs are of every other photo of their letter: each half is read by what was fitted on the other."""
    photos: dict[str, list[int]] = {}
    for pair in pairs:
        if pair.photo not in photos.setdefault(pair.letter, []):
            photos[pair.letter].append(pair.photo)
    return np.array([photos[pair.letter].index(pair.photo) % 2 == 1 for pair in pairs], dtype=bool)


def mean_differences(
    differences: Float[np.ndarray, "pairs width"], fingers: Int[np.ndarray, " pairs"]
) -> Float[np.ndarray, "fingers width"]:
    """The mean difference that each finger makes."""
    return np.stack([differences[fingers == finger].mean(axis=0) for finger in range(len(FINGERS))])


def read_fingers(
    differences: Float[np.ndarray, "pairs width"],
    fingers: Int[np.ndarray, " pairs"],
    fitted: Bool[np.ndarray, " pairs"],
) -> Int[np.ndarray, " others"]:
    """The finger of each pair that is not `fitted`: that whose mean difference, beyond all fingers', is the closest.

    Differences are made as long as one another; closest is by cosine.
    """
    differences = differences / _lengths(differences)
    common = differences[fitted].mean(axis=0)
    means = mean_differences(differences[fitted], fingers[fitted]) - common
    return ((differences[~fitted] - common) @ (means / _lengths(means)).T).argmax(axis=1)


def _lengths(vectors: Float[np.ndarray, "rows width"]) -> Float[np.ndarray, "rows 1"]:
    return np.linalg.norm(vectors, axis=1, keepdims=True) + np.finfo(np.float32).tiny


def read_table(
    pairs: list[Pair],
    places: Sequence[tuple[str, str]],
    vectors: Callable[[str, str], Float[np.ndarray, "images width"]],
    draws: int,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """One row a place, null draw and pair: the finger that is read from the difference of the two images' vectors.

    photo, letter, finger, site, position, fitted_on (`named`: the fingers as they are; `random`: shuffled within each
    photo, the null), draw, predicted. What is fitted is fitted on the other half of the letter's photos.
    `vectors(site, position)` has a row an image.
    """
    fingers = np.array([FINGERS.index(pair.finger) for pair in pairs])
    letters, second = np.array([pair.letter for pair in pairs]), halves(pairs)
    photos = np.array([pair.photo for pair in pairs])
    names = [(NAMED, 0, fingers)]
    names += [(RANDOM, draw, _shuffled_within(fingers, photos, generator)) for draw in range(draws)]
    tables = []
    for site, position in places:
        differences = differences_of(pairs, vectors(site, position))
        for fitted_on, draw, called in names:
            predicted = np.empty(len(pairs), dtype=int)
            for letter in np.unique(letters):
                for half in (False, True):
                    here = letters == letter
                    predicted[here & (second == half)] = read_fingers(
                        differences[here], called[here], second[here] != half
                    )
            rows = pd.DataFrame([pair[:3] for pair in pairs], columns=["photo", "letter", "finger"])
            place = {"site": site, "position": position, "fitted_on": fitted_on, "draw": draw}
            tables.append(rows.assign(**place, predicted=np.array(FINGERS)[predicted]))
    return pd.concat(tables, ignore_index=True)[READ_COLUMNS]


def differences_of(pairs: list[Pair], vectors: Float[np.ndarray, "images width"]) -> Float[np.ndarray, "pairs width"]:
    """The moved image's vector less the unmoved's, in float32."""
    before, after = ([getattr(pair, side) for pair in pairs] for side in ("unmoved", "moved"))
    return vectors[after].astype(np.float32) - vectors[before].astype(np.float32)


def _shuffled_within(
    fingers: Int[np.ndarray, " pairs"], photos: Int[np.ndarray, " pairs"], generator: np.random.Generator
) -> Int[np.ndarray, " pairs"]:
    shuffled = fingers.copy()
    for photo in np.unique(photos):
        shuffled[photos == photo] = generator.permutation(fingers[photos == photo])
    return shuffled


# What is put in -------------------------------------------------------------------------------------------------------


def described_swaps(
    describer: Reader, pairs: list[Pair], images: list[Image.Image], said: Sequence[str]
) -> Iterator[tuple[int, Swap]]:
    """The pairs whose descriptions differ, by their place, to be patched at the first token in which they do.

    The prompt is that of the descriptions with what both say before that token. Pairs whose texts the tokenizer does
    not give back token by token are left out.
    """
    tokenizer = describer.loaded.processor.tokenizer
    ids = tokenizer(describer.prompt)["input_ids"]
    end = describer.loaded.end_tokens[0] if describer.loaded.end_tokens else tokenizer.pad_token_id
    for place, pair in enumerate(pairs):
        texts = [f"{describer.prompt} {said[number]}" for number in (pair.unmoved, pair.moved)]
        a, b = (tokenizer(text)["input_ids"] for text in texts)
        common = next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        if a == b or common < len(ids) or a[: len(ids)] != ids:
            continue
        for characters in range(len(describer.prompt), len(texts[0]) + 1):
            if tokenizer(texts[0][:characters])["input_ids"] == a[:common]:
                tokens = first_difference(a, b, end)
                yield place, Swap(images[pair.unmoved], images[pair.moved], texts[0][:characters], tokens)
                break


@torch.inference_mode()
def push_pairs(loaded: LoadedModel, inputs: BatchFeature, swaps: Sequence[Swap], most: int) -> Patched:
    """Add each swap's pushes to the image tokens: of image a as they are, of image b turned about.

    `inputs` and the logits compared are as `patch` has them; the cells of what comes are sites x pushes. No other
    image's stream is put in, so `itself` is the clean run.
    """
    image, tokens = image_span(loaded, inputs), [swap.tokens for swap in swaps]
    sites = list(swaps[0].pushes)
    clean = clean_run(loaded, inputs, first=image.start, sites=sites)
    runs = torch.arange(len(inputs["input_ids"]), device=clean.logits.device)
    donors = runs.roll(len(swaps))
    of_receiver, of_donor = compared_tokens(clean.logits[:, -1], donors, tokens)
    entering = {}
    for site in sites:
        pushes = np.stack([swap.pushes[site] for swap in swaps], axis=1)
        added = torch.from_numpy(np.concatenate([pushes, -pushes], axis=1)).to(runs.device)[:, :, None]
        rows = clean.tail(site, image.start).repeat(len(added), 1, 1).unflatten(0, (len(added), len(runs)))
        rows[:, :, : image.stop - image.start] += added.to(rows.dtype)
        entering[site] = rows.flatten(0, 1)
    logits = leave_in_turn(loaded, clean, image.start, entering, most)[:, -1]
    logits = logits.view(len(sites), -1, len(runs), logits.shape[-1])
    receiver, donor = (
        logit_difference(each, of_receiver, of_donor) for each in (clean.logits[:, -1], clean.logits[donors, -1])
    )
    patched = logit_difference(logits, of_receiver, of_donor).movedim(-1, 0)
    says = (logits.argmax(-1) == of_donor).float().movedim(-1, 0)
    itself = receiver[:, None, None].expand_as(patched)
    return Patched(*(found.cpu().numpy() for found in (receiver, donor, patched, says, itself)))


def pushes_of(
    differences: Float[np.ndarray, "pairs width"], pairs: list[Pair], pair: Pair, strengths: Sequence[float]
) -> Float[np.ndarray, "pushes width"]:
    """The mean difference of the pair's finger in the other half of its letter's photos, and the next finger's.

    The next finger's is made as long; each is taken at every strength.
    """
    second = halves(pairs)
    fitted = (second != second[pairs.index(pair)]) & np.array([other.letter == pair.letter for other in pairs])
    fingers, own = np.array([FINGERS.index(other.finger) for other in pairs]), FINGERS.index(pair.finger)
    means = mean_differences(differences[fitted], fingers[fitted])
    other = means[(own + 1) % len(FINGERS)]
    other = other * np.linalg.norm(means[own]) / max(float(np.linalg.norm(other)), np.finfo(np.float32).tiny)
    return np.stack([strength * mean for mean in (means[own], other) for strength in strengths]).astype(np.float32)
