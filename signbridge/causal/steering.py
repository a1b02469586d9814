"""Steering: add a direction to the residual stream, and measure what that does to the answer and to everything else.

After "Line of Sight: On Linear Representations in VLLMs" (2025). Images of a class a are steered towards a class b
whose commonest answer is another one: at the image tokens, at the last token of the prompt or at every token, while the
prompt is read or at every step of the answer as well. A strength of 1 is the mean length of the residual stream over
the edited tokens at that layer. Efficacy is the probability of b's answer, and whether the text says it; damage is
measured on the model's descriptions of images of other classes (`damage.py`). Directions are fitted on half of the
photos; the images that are steered and described come from the other half.
"""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from pydantic import Field
from torch import Tensor

from signbridge.causal.damage import edited_tokens, first_edited, read_described
from signbridge.causal.pairs import ClassPair
from signbridge.causal.pushes import Clamped, Encoder, Pushes, joined, with_pushes
from signbridge.core.activations import Layers
from signbridge.core.names import During, SteeredAt
from signbridge.core.params import Section
from signbridge.core.shards import Shard
from signbridge.core.sweeps import Sweeps
from signbridge.vlm.branching import (
    Branches,
    CleanRun,
    answer_greedily,
    answer_probability,
    clean_run,
    image_span,
    leave,
    rewind,
)
from signbridge.vlm.extraction import Reader, Work, in_batches
from signbridge.vlm.loading import LoadedModel
from signbridge.vlm.residual import Edit

COURSES_PER_SHARD = 2  # what a killed run may lose, and what is run side by side

BySite = dict[str, Pushes]  # every direction at every strength


class Doses(Section):
    """What is steered, where, and how strongly."""

    pairs: int = Field(ge=0)  # of classes; 0: nothing is steered
    images: int = Field(ge=1)  # of the first class, of different photos
    others: int = Field(ge=1)  # images of other classes; damage is measured on their descriptions
    at: list[SteeredAt] = Field(min_length=1)
    during: list[During] = Field(min_length=1)
    strengths: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)  # in mean residual norms
    draws: int = Field(ge=1)  # of each null
    answer_tokens: int = Field(ge=1)  # of a steered answer at most


class SteeringSweep(Doses):
    """What of the section `steering` differs between the sweeps."""

    layers: Layers


class SteeringParams(Sweeps[SteeringSweep]):
    """The section `steering`."""


class Course(NamedTuple):
    """One pair of classes, steered at one place: the unit of work that is kept when a run is killed."""

    pair: ClassPair
    at: SteeredAt
    unsteered: list[str]  # the answers to `images`
    image_ids: list[str]  # of class a
    images: list[Image.Image]
    other_ids: list[str]  # of other classes
    others: list[Image.Image]
    before: str  # the unsteered description of the first of `images`
    descriptions: list[list[int]]  # of the others, in tokens
    answer: list[int]  # the tokens of b's answer
    names: Sequence[tuple[str, int]]  # of the directions, with the draw of a null
    told: Sequence[str]  # the directions under which the first of `images` is described
    directions: Mapping[str, Float[np.ndarray, "directions width"]]  # by site in order of depth, each of length 1
    unit: Mapping[str, float]  # by site: the mean norm of the stream there
    clamps: Mapping[str, "Clamps"] = MappingProxyType({})  # by site, where directions are those of features

    @property
    def told_rows(self) -> list[int]:
        """The rows of the directions in `told`; of a null that of its first draw."""
        return [list(self.names).index((name, 0)) for name in self.told]


class Clamps(NamedTuple):
    """The features that directions hold at a value; -1 where a direction is merely added."""

    encoder: Encoder
    features: Int[np.ndarray, " directions"]
    decoded: Bool[np.ndarray, " directions"] | bool = False  # those where the stream is what is decoded of its features


class Steered(NamedTuple):
    """What came of a course. `probability` and `says` are of the steered images, `damage` of the others."""

    probability: Float[np.ndarray, "sites during directions strengths images"]  # of b's answer
    damage: Float[np.ndarray, "sites during directions strengths others"]  # nats a token
    clean_probability: Float[np.ndarray, "images"]
    answers: list  # texts: sites, during, edits (direction by strength), images
    descriptions: dict[str, list[str]]  # of the first image, by site: directions in `told`, each at every strength


class Answered(NamedTuple):
    """What came of some images of a course."""

    probability: Float[np.ndarray, "sites during edits images"]
    clean_probability: Float[np.ndarray, "images"]
    texts: np.ndarray  # of strings, shaped as `probability`


class Begun(NamedTuple):
    """The prompts of some images, run unedited up to where an edit begins."""

    clean: CleanRun  # its streams begin at the first edited token
    image: slice  # where the image tokens stand
    tokens: int  # of the prompt

    def leave(self, loaded: LoadedModel, site: str, pushes: Pushes, at: SteeredAt, room: int) -> Branches:
        """Every image with each of `pushes` at `site`: push after push, all images. `room` tokens may follow."""
        device = pushes.added.device
        edited = edited_tokens(at, "prefill", self.image, self.tokens, self.tokens, device)[self.clean.first :]
        rows = with_pushes(self.clean.tail(site, self.clean.first), pushes, edited)
        return leave(loaded, self.clean, self.clean.first, {site: rows}, room=room)


class _Sweep(NamedTuple):
    """One course on its way through the model."""

    reader: Reader  # with the prompt whose answer is steered
    describer: Reader  # of the same model, with the prompt that asks for a description
    doses: Doses
    course: Course
    pushes: BySite
    during: list[During]

    @property
    def loaded(self) -> LoadedModel:
        return self.reader.loaded


def steering_work(reader: Reader, describer: Reader, sweep: Doses) -> Work:
    """The work on `Course`s, one at a time. A shard's arrays are flat, course after course; its answers are JSON."""

    def read(course: Course, keep: int) -> Shard:
        found = steer(reader, describer, sweep, course)
        arrays = {name: getattr(found, name).ravel() for name in ("probability", "damage", "clean_probability")}
        return Shard(arrays, [json.dumps({"answers": found.answers, "descriptions": found.descriptions})])

    return Work(read, prepare=lambda batch: batch[0], batches=lambda courses, most: in_batches(courses, 1))


def steer(reader: Reader, describer: Reader, sweep: Doses, course: Course) -> Steered:
    """Try every direction at every strength, site by site, on a few images at a time."""
    during = durings(course.at, sweep.during)
    one = _Sweep(reader, describer, sweep, course, all_pushes(sweep, course, reader.loaded.device), during)
    at_once = max(1, reader.batch_size // 2)  # their keys and values are held while all is tried
    answered = [_answers(one, images) for images in in_batches(course.images, at_once)]
    others = zip(in_batches(course.others, at_once), in_batches(course.descriptions, at_once), strict=True)
    damaged = [_damage(one, *some) for some in others]
    shape = (len(course.directions), len(during), -1, len(sweep.strengths))
    return Steered(
        np.concatenate([part.probability for part in answered], axis=-1).reshape(*shape, len(course.images)),
        np.concatenate(damaged, axis=-1).reshape(*shape, len(course.others)),
        np.concatenate([part.clean_probability for part in answered]),
        np.concatenate([part.texts for part in answered], axis=-1).tolist(),
        _descriptions(one),
    )


def all_pushes(sweep: Doses, course: Course, device: torch.device) -> BySite:
    """Every direction at every strength, by site in order of depth."""
    pushes = {}
    for site, directions in course.directions.items():
        edits = directions[:, None] * np.array(sweep.strengths)[:, None] * course.unit[site]
        flat = torch.tensor(edits.reshape(-1, edits.shape[-1]), dtype=torch.float32).to(device)
        clamps, clamped = course.clamps.get(site), None
        if clamps is not None:
            decoded = np.broadcast_to(clamps.decoded, clamps.features.shape)
            of_pushes = (np.repeat(array, len(sweep.strengths)) for array in (clamps.features, decoded))
            clamped = Clamped(clamps.encoder, *map(torch.from_numpy, of_pushes))
        pushes[site] = Pushes(flat, clamped)
    return pushes


def _begun(reader: Reader, images: list[Image.Image], course: Course) -> Begun:
    inputs = reader.to_device(reader.prepare(images))
    image, tokens = image_span(reader.loaded, inputs), inputs["input_ids"].shape[1]
    first = first_edited(course.at, image, tokens)
    return Begun(clean_run(reader.loaded, inputs, first, sites=course.directions), image, tokens)


def _chunks(one: _Sweep, pushes: Pushes, prompts: int) -> list[Pushes]:
    return pushes.split(max(1, one.reader.batch_size // prompts))


def _answers(one: _Sweep, images: list[Image.Image]) -> Answered:
    """What every edit makes of the answers to some of the course's images."""
    begun, answer = _begun(one.reader, images, one.course), one.course.answer
    probability, texts = [], []
    for site, edits in one.pushes.items():
        of_site = [_answers_at(one, begun, site, edits, during) for during in one.during]
        probability.append([likely for likely, _ in of_site])
        texts.append([said for _, said in of_site])
    clean, site = begun.clean, next(iter(one.course.directions))
    unedited = leave(one.loaded, clean, clean.first, {site: clean.tail(site, clean.first)}, room=len(answer))
    return Answered(
        np.array(probability), answer_probability(one.loaded, unedited, answer).cpu().numpy(), np.array(texts)
    )


def _answers_at(
    one: _Sweep, begun: Begun, site: str, pushes: Pushes, during: During
) -> tuple[list[list[float]], list[list[str]]]:
    """The probability of b's answer, and the text, for every edit and image."""
    at, answer, images = one.course.at, one.course.answer, len(begun.clean.input_ids)
    most = max(one.doses.answer_tokens, len(answer))
    probability, answers = [], []
    for some in _chunks(one, pushes, images):
        branches = begun.leave(one.loaded, site, some, at, room=most + len(answer))
        at_each_step = _at_each_step(site, some.for_each_of(images), at, during)
        probability.append(answer_probability(one.loaded, branches, answer, at_each_step))
        rewind(branches, begun.tokens)
        answers += answer_greedily(one.loaded, branches, most, at_each_step)
        del branches  # or its keys and values would stand beside those of the next
    texts = np.reshape(_texts(one.loaded, answers), (-1, images)).tolist()
    return torch.cat(probability).view(-1, images).tolist(), texts


def _damage(
    one: _Sweep, images: list[Image.Image], descriptions: list[list[int]]
) -> Float[np.ndarray, "sites during edits images"]:
    """The rise in negative log-likelihood under every edit, for some of the course's others."""
    at = one.course.at
    others = read_described(one.describer, images, descriptions, at, one.course.directions)
    clean = others.clean

    def rises(site: str, some: Pushes, during: During) -> Float[Tensor, "edits images"]:
        rows = with_pushes(clean.tail(site, clean.first), some, others.edited(at, during))
        return others.damage(leave(one.loaded, clean, clean.first, {site: rows}, kept=others.longest).logits)

    found = [
        [torch.cat([rises(site, some, during) for some in _chunks(one, edits, len(images))]) for during in one.during]
        for site, edits in one.pushes.items()
    ]
    return np.array([[of_one.cpu().numpy() for of_one in of_site] for of_site in found])


def _descriptions(one: _Sweep) -> dict[str, list[str]]:
    """The first steered image described under the last of `during`, by site: told directions at every strength."""
    most, course = one.describer.max_new_tokens, one.course
    if not course.told:
        return {}
    begun = _begun(one.describer, course.images[:1], course)
    described = {}
    for site in told_sites(course):
        by_direction = one.pushes[site].split(len(one.doses.strengths))
        told = joined([by_direction[row] for row in course.told_rows])
        described[site] = []
        for some in _chunks(one, told, prompts=1):
            branches = begun.leave(one.loaded, site, some, course.at, room=most)
            at_each_step = _at_each_step(site, some, course.at, one.during[-1])
            described[site] += _texts(one.loaded, answer_greedily(one.loaded, branches, most, at_each_step))
            del branches
    return described


def _texts(loaded: LoadedModel, answers: list[list[int]]) -> list[str]:
    return [text.strip() for text in loaded.processor.batch_decode(answers, skip_special_tokens=True)]


def told_sites(course: Course) -> list[str]:
    """The first, middle and last of the steered sites: at these an image is described."""
    sites = list(course.directions)
    return sorted({sites[0], sites[len(sites) // 2], sites[-1]}, key=sites.index)


def durings(at: SteeredAt, wanted: Sequence[During]) -> list[During]:
    """When the edit is made: at the image tokens only in the prefill, since no image is fed back."""
    return ["prefill"] if at == "image" else list(wanted)


def _at_each_step(site: str, pushes: Pushes, at: SteeredAt, during: During) -> Edit | None:
    """The edit of every token that is fed back, row by row, or none."""
    if during == "prefill" or at == "image":
        return None
    return lambda here, stream: pushes.onto(stream) if here == site else stream
