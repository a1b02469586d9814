"""Which images are steered where to, and by which directions: all that a steering sweep is drawn and fitted from."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from signbridge import activations
from signbridge.causal.descriptions import describe
from signbridge.causal.directions import directions, fit_classes
from signbridge.causal.edits import POSITION_OF
from signbridge.causal.pairs import class_pairs, fitted_half, one_of_each_photo
from signbridge.causal.steering import Course, SteeringSweep, mean_norms
from signbridge.causal.sweeps import spread_layers
from signbridge.extraction import Reader
from signbridge.extraction_tables import decoded
from signbridge.vlm.letter_scoring import added_tokens

log = logging.getLogger(__name__)

NORMS_OF = 32  # images of the fitted half that the mean norm is taken over, at most


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
    held_out = [row for row in one_of_each_photo(photos, generator) if not half[row]]
    steered = {pair: _steered(held_out, labels, answers, pair, sweep.images) for pair in pairs}
    others = {pair: [row for row in held_out if labels[row] not in pair[:2]][: sweep.others] for pair in pairs}
    images = dict(zip(held_out, decoded(sample["image"].iloc[held_out]), strict=True))
    described_rows = sorted({row for pair in pairs for row in (*others[pair], steered[pair][0])})
    described = dict(zip(described_rows, describe(describer, [images[row] for row in described_rows]), strict=True))
    norms = mean_norms(reader, decoded(sample["image"][half][:NORMS_OF]))
    unembedding = reader.loaded.model.get_output_embeddings().weight.float().detach().cpu().numpy()
    tokens = {answer: added_tokens(reader.loaded.processor, reader.prompt, answer, "models.<model>.prompt")
              for pair in pairs for answer in (pair.answer_a, pair.answer_b)}  # fmt: skip
    fitted = {
        (site, position): fit_classes(
            activations.read(vectors, site, position, list(sample["image_id"])), labels, half,
            C,
        )
        for site in sites for position in {POSITION_OF[at] for at in sweep.at}
    }  # fmt: skip
    ids = sample["image_id"].to_numpy()
    return [
        Course(
            pair, at,
            image_ids=list(ids[steered[pair]]), images=[images[row] for row in steered[pair]],
            other_ids=list(ids[others[pair]]), others=[images[row] for row in others[pair]],
            descriptions=[described[row] for row in others[pair]],
            before=reader.loaded.processor.decode(described[steered[pair][0]], skip_special_tokens=True).strip(),
            answer=tokens[pair.answer_b],
            directions={
                site: directions(
                    fitted[site, POSITION_OF[at]], pair.a, pair.b,
                    unembedding[[tokens[pair.answer_a][0], tokens[pair.answer_b][0]]],
                    sweep.draws, np.random.default_rng([seed, number, depth]),
                )
                for depth, site in enumerate(sites)
            },
            unit={site: norms[at][site] for site in sites},
        )
        for number, pair in enumerate(pairs) for at in sweep.at
    ]  # fmt: skip


def _steered(held_out: list[int], labels: np.ndarray, answers: np.ndarray, pair: tuple, wanted: int) -> list[int]:
    """Images of the first class that were not given the second's answer anyway."""
    return [row for row in held_out if labels[row] == pair.a and answers[row] != pair.answer_b][:wanted]
