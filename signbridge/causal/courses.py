"""What a steering sweep tries: which images are steered to which class, at which tokens, in which directions."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from signbridge.causal.damage import describe
from signbridge.causal.pairs import ClassPair, class_pairs, says
from signbridge.causal.steering import Clamps, Course, Doses
from signbridge.core.names import SteeredAt
from signbridge.datasets.images import decoded
from signbridge.datasets.sampling import check_halves, fitted_half, one_of_each_photo
from signbridge.vlm.branching import image_span
from signbridge.vlm.extraction import Reader, in_batches
from signbridge.vlm.letter_scoring import added_tokens
from signbridge.vlm.residual import decoder_sites, reading_up_to

log = logging.getLogger(__name__)

TOLD_PAIRS = 4  # pairs of which an image is described before and after: as many as a page shows
NORMS_OF = 32  # photos of the fitted half that the mean norm is taken over, at most


class Directed(Protocol):
    """Directions from one class to another, fitted on half of the groups (photos, clips or signers)."""

    names: Sequence[tuple[str, int]]  # of the directions, with the draw of a null
    told: Sequence[str]  # the directions under which an image is described

    def between(self, pair: ClassPair, at: SteeredAt, number: int) -> dict[str, Float[np.ndarray, "directions width"]]:
        """By site in order of depth, from `pair.a` to `pair.b`, each of length 1; `number` is that of the pair."""

    def clamps(self, pair: ClassPair, at: SteeredAt) -> Mapping[str, Clamps]:
        """By site, the features that directions hold at a value, if any."""


def check_steerable(sample: pd.DataFrame, sweep: Doses, seed: int) -> None:
    """Raises `SignBridgeError` if `courses` would, for a class with a single group: before a model is loaded."""
    labels, groups, answers = (sample[name].to_numpy() for name in ("label", "group", "answer"))
    if class_pairs(labels, answers, sweep.pairs, np.random.default_rng(seed)):
        check_halves(labels, groups)


def courses(
    reader: Reader,
    describer: Reader,
    sweep: Doses,
    sites: Sequence[str],
    sample: pd.DataFrame,
    fit: Callable[[Bool[np.ndarray, " images"]], Directed],
    seed: int,
    first: Collection[str] = (),
) -> list[Course]:
    """Every pair of classes at every place, with its images, its directions and what a strength of 1 is.

    `sample` has image_id, label, photo, group, image (PNG) and answer. `fit` makes the directions, from the images that
    its argument marks. Pairs whose class a is among `first` come before all others. If all classes got the same answer
    there is no course. Raises `SignBridgeError` if a class has a single group.
    """
    labels, photos, answers = (sample[name].to_numpy() for name in ("label", "photo", "answer"))
    generator = np.random.default_rng(seed)
    pairs = class_pairs(labels, answers, sweep.pairs, generator, first)
    if not pairs or not sites:
        if sweep.pairs and sites and len(labels):
            log.warning("Every class mostly got the same answer, so there is no other to steer to: nothing is steered.")
        return []
    half = fitted_half(labels, sample["group"].to_numpy(), seed)
    one_each = one_of_each_photo(photos, generator)
    held_out = [row for row in one_each if not half[row]]
    steered = {pair: [row for row in held_out if labels[row] == pair.a and not says(answers[row], pair.answer_b)]
               [: sweep.images] for pair in pairs}  # fmt: skip
    others = {pair: _others(held_out, labels, pair, steered[pair], sweep.others, number)
              for number, pair in enumerate(pairs)}  # fmt: skip
    pairs = [pair for pair in pairs if steered[pair] and others[pair]]
    images = dict(zip(held_out, decoded(sample["image"].iloc[held_out]), strict=True))
    told = sorted({row for pair in pairs for row in (*others[pair], steered[pair][0])})
    texts = describer.retrying(lambda: describe(describer, [images[row] for row in told]))
    described = dict(zip(told, texts, strict=True))
    fitted_images = decoded(sample["image"].iloc[[row for row in one_each if half[row]][:NORMS_OF]])
    norms = reader.retrying(lambda: mean_norms(reader, fitted_images))
    tokens = {answer: added_tokens(reader.loaded.processor, reader.prompt, answer, "models.yaml: <model>.prompt")
              for answer in {pair.answer_b for pair in pairs}}  # fmt: skip
    directed = fit(half)
    ids = sample["image_id"].to_numpy()
    return [
        Course(
            pair, at, unsteered=list(answers[steered[pair]]),
            image_ids=list(ids[steered[pair]]), images=[images[row] for row in steered[pair]],
            other_ids=list(ids[others[pair]]), others=[images[row] for row in others[pair]],
            descriptions=[described[row] for row in others[pair]],
            before=reader.loaded.processor.decode(described[steered[pair][0]], skip_special_tokens=True).strip(),
            answer=tokens[pair.answer_b], names=directed.names, told=directed.told if number < TOLD_PAIRS else (),
            directions=directed.between(pair, at, number), clamps=directed.clamps(pair, at),
            unit={site: norms[at][site] for site in sites},
        )
        for number, pair in enumerate(pairs) for at in sweep.at
    ]  # fmt: skip


def _others(
    held_out: list[int], labels: np.ndarray, pair: ClassPair, steered: list[int], wanted: int, number: int
) -> list[int]:
    """Images of neither class; where there are only two classes, those that are not steered.

    Those of pair `number` follow on those of the pair before, so that damage is told by many images.
    """
    others = [row for row in held_out if labels[row] not in (pair.a, pair.b)]
    others = others or [row for row in held_out if row not in steered]
    begin = number * wanted % max(len(others), 1)
    return [*others[begin:], *others[:begin]][:wanted]


@torch.inference_mode()
def mean_norms(reader: Reader, images: list[Image.Image]) -> dict[SteeredAt, dict[str, float]]:
    """The mean length of the residual stream at each site, over the tokens that an edit there touches.

    Of every token the first is left out: in many models it is an attention sink, hundreds of times as long as the
    others (Sun et al. 2024, "Massive Activations in Large Language Models").
    """
    sites = decoder_sites(reader.loaded.parts)
    found: dict[SteeredAt, dict[str, list[float]]] = {"image": {}, "prompt_last": {}, "every": {}}
    for batch in in_batches(images, reader.batch_size):
        inputs = reader.to_device(reader.prepare(batch))
        image = image_span(reader.loaded, inputs)

        def measure(site: str, stream: Tensor, image: slice = image) -> None:
            norms = stream.float().norm(dim=-1)
            parts = {"image": norms[:, image], "prompt_last": norms[:, -1:], "every": norms[:, 1:]}
            for at, part in parts.items():
                found[at].setdefault(site, []).extend(part.mean(dim=1).tolist())

        with reading_up_to(reader.loaded.parts, sites, measure):
            reader.loaded.model(**inputs, use_cache=False, logits_to_keep=1)
    return {at: {site: float(np.mean(norms)) for site, norms in by_site.items()} for at, by_site in found.items()}
