"""Which images are steered where to, and by which directions: all that a steering sweep is drawn and fitted from."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from signbridge import activations
from signbridge.causal.answer_text import first_difference, says
from signbridge.causal.descriptions import describe
from signbridge.causal.directions import directions, fit_classes
from signbridge.causal.edits import POSITION_OF
from signbridge.causal.pairs import ClassPair, class_pairs, fitted_half
from signbridge.causal.steering import Course, SteeringSweep, mean_norms
from signbridge.causal.sweeps import spread_layers
from signbridge.datasets.one_per_photo import one_of_each_photo
from signbridge.extraction import Reader
from signbridge.extraction_tables import decoded
from signbridge.vlm.letter_scoring import added_tokens

log = logging.getLogger(__name__)

NORMS_OF = 32  # photos of the fitted half that the mean norm is taken over, at most


def courses(
    reader: Reader,
    describer: Reader,
    sweep: SteeringSweep,
    sample: pd.DataFrame,
    vectors: Path,
    C: float,
    seed: int,
) -> list[Course]:
    """Every pair of classes at every place, with its images, its directions and what a strength of 1 is.

    `sample` has image_id, label, photo, image (PNG) and answer; `vectors` is its activation folder and `C` the
    probe's inverse penalty. Without two answers there is no course.
    Raises `SignBridgeError` if a class has a single photo.
    """
    labels, photos, answers = (sample[name].to_numpy() for name in ("label", "photo", "answer"))
    generator = np.random.default_rng(seed)
    pairs = class_pairs(labels, answers, sweep.pairs, generator)
    sites = spread_layers(sweep.layers, len(reader.loaded.parts.blocks))
    if not pairs or not sites:
        if sweep.pairs and sites:
            log.warning("Every class mostly got the same answer, so there is no other to steer to: nothing is steered.")
        return []
    half = fitted_half(labels, photos, seed)
    one_each = one_of_each_photo(photos, generator)
    held_out = [row for row in one_each if not half[row]]
    steered = {pair: [row for row in held_out if labels[row] == pair.a and not says(answers[row], pair.answer_b)]
               [: sweep.images] for pair in pairs}  # fmt: skip
    others = {pair: _others(held_out, labels, pair, steered[pair], sweep.others) for pair in pairs}
    pairs = [pair for pair in pairs if steered[pair] and others[pair]]
    images = dict(zip(held_out, decoded(sample["image"].iloc[held_out]), strict=True))
    told = sorted({row for pair in pairs for row in (*others[pair], steered[pair][0])})
    texts = describer.retrying(lambda: describe(describer, [images[row] for row in told]))
    described = dict(zip(told, texts, strict=True))
    fitted_images = decoded(sample["image"].iloc[[row for row in one_each if half[row]][:NORMS_OF]])
    norms = reader.retrying(lambda: mean_norms(reader, fitted_images))
    unembedding = reader.loaded.model.get_output_embeddings().weight.float().detach().cpu().numpy()
    end = reader.loaded.end_tokens[0]
    tokens = {answer: added_tokens(reader.loaded.processor, reader.prompt, answer, "models.<model>.prompt")
              for pair in pairs for answer in (pair.answer_a, pair.answer_b)}  # fmt: skip
    fitted = {
        (site, position): fit_classes(
            activations.read(vectors, site, position, list(sample["image_id"])), labels, photos, half, C, sweep.draws,
            np.random.default_rng([seed, *site.encode(), *position.encode()]),
        )
        for site in sites for position in {POSITION_OF[at] for at in sweep.at}
    }  # fmt: skip
    ids = sample["image_id"].to_numpy()
    return [
        Course(
            pair, at, unsteered=list(answers[steered[pair]]),
            image_ids=list(ids[steered[pair]]), images=[images[row] for row in steered[pair]],
            other_ids=list(ids[others[pair]]), others=[images[row] for row in others[pair]],
            descriptions=[described[row] for row in others[pair]],
            before=reader.loaded.processor.decode(described[steered[pair][0]], skip_special_tokens=True).strip(),
            answer=tokens[pair.answer_b],
            directions={
                site: directions(
                    fitted[site, POSITION_OF[at]], pair.a, pair.b,
                    unembedding[list(first_difference(tokens[pair.answer_a], tokens[pair.answer_b], end))],
                    sweep.draws, np.random.default_rng([seed, number, depth]),
                )
                for depth, site in enumerate(sites)
            },
            unit={site: norms[at][site] for site in sites},
        )
        for number, pair in enumerate(pairs) for at in sweep.at
    ]  # fmt: skip


def _others(held_out: list[int], labels: np.ndarray, pair: ClassPair, steered: list[int], wanted: int) -> list[int]:
    """Images of neither class; where there are only two classes, those that are not steered."""
    others = [row for row in held_out if labels[row] not in (pair.a, pair.b)]
    return (others or [row for row in held_out if row not in steered])[:wanted]
