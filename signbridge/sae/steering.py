"""Steer by single features of autoencoders, between classes or labels of a concept; and the settings of that.

A strength of 1 is the largest activation that the feature has on the images that chose it, at the position that speaks
for the edited tokens: at image tokens the mean over them.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import nn

from signbridge.causal.courses import courses
from signbridge.causal.steering import COURSES_PER_SHARD, Doses, steering_work
from signbridge.causal.steering_tables import answers_table, damage_table, descriptions_table
from signbridge.core import activations
from signbridge.core.names import POSITION_OF, published_of_classes
from signbridge.core.params import Section
from signbridge.core.sweeps import Sweeps
from signbridge.sae.feature_directions import FeatureDirections, features_table
from signbridge.vlm.extraction import Reader
from signbridge.vlm.letter_scoring import added_tokens
from signbridge.vlm.model_run import ModelRun


class FeatureSweep(Section):
    """What of the section `steering` differs between the sweeps."""

    of_classes: Doses
    of_concept: Doses


class FeatureSteeringParams(Sweeps[FeatureSweep]):
    """The section `steering` of stages/sae/params.yaml."""


class PretrainedSteeringParams(Sweeps[Doses]):
    """The section `steering` of stages/pretrained/params.yaml."""


class Steered(NamedTuple):
    """What is steered, and by which features."""

    reader: Reader  # with the prompt whose answer is to change
    rows: pd.DataFrame  # image_id, label, photo, image and answer
    doses: Doses
    autoencoders: Mapping[str, nn.Module]  # by site, in order of depth
    features: Path  # of the rows' images
    position: str | None = None  # at which features were read; None: where the edited tokens are (`POSITION_OF`)
    published: Mapping[str, Sequence[int]] = {}  # features of classes that others named


def steer_by_features(
    steered: Steered, reading: ModelRun, describer: Reader, seed: int, kind: str
) -> dict[str, pd.DataFrame]:
    """Steer, in shards of the run `reading`; the tables answers, damage, descriptions and features.

    `describer` has the prompt of the descriptions that damage is measured on. Classes with published features are left
    first, and those features are taken. `kind` names the folder of the shards and stands in the progress bar.
    """
    sites, fitted = list(steered.autoencoders), []

    def fit(half: Bool[np.ndarray, " images"]) -> FeatureDirections:
        labels, draws = steered.rows["label"].to_numpy(), steered.doses.draws
        features = _read_features(steered)
        toward, published = partial(toward_answer, steered.reader), steered.published
        fitted.append(FeatureDirections(steered.autoencoders, features, labels, half, draws, seed, toward, published))
        return fitted[0]

    first = published_of_classes(steered.published, steered.rows["label"].unique().tolist())
    todo = [
        course._replace(unit=dict.fromkeys(course.unit, 1.0))  # directions have the length of a natural dose
        for course in courses(steered.reader, describer, steered.doses, sites, steered.rows, fit, seed, first=first)
    ]
    work = steering_work(steered.reader, describer, steered.doses)
    shards = reading.read_in_shards(
        todo, work, f"steer {kind}", "course", kind, steered.reader, items_per_shard=COURSES_PER_SHARD
    )
    return {
        "answers": answers_table(todo, steered.doses, shards),
        "damage": damage_table(todo, steered.doses, shards),
        "descriptions": descriptions_table(todo, steered.doses, shards),
        "features": features_table(fitted, [(course.pair, course.at) for course in todo], sites),
    }


@torch.inference_mode()
def toward_answer(reader: Reader, answer: str) -> Float[np.ndarray, " width"]:
    """The direction of the last residual stream that raises the answer's first token above the mean of all logits.

    The final norm's gain is in it; that the norm also divides by the length of the stream changes no direction.
    """
    loaded = reader.loaded
    first = added_tokens(loaded.processor, reader.prompt, answer, "models.yaml: <model>.prompt")[0]
    rows = loaded.model.get_output_embeddings().weight
    above = rows[first].float() - rows.mean(0, dtype=torch.float32)
    gain = loaded.parts.final_norm(torch.eye(len(above), dtype=rows.dtype, device=rows.device)).float()
    return (gain @ above).cpu().numpy().astype(np.float64)


def _read_features(steered: Steered) -> dict[tuple[str, str], Any]:
    """By site and by the position that stands for the edited tokens: features, a row an image."""
    ids, positions = steered.rows["image_id"].tolist(), {POSITION_OF[at] for at in steered.doses.at}
    return {
        (site, position): activations.read(steered.features, site, steered.position or position, ids)
        for site in steered.autoencoders
        for position in positions
    }
