"""Steering: a direction added to the residual stream, and what it does to the answer and to everything else.

After "Line of Sight: On Linear Representations in VLLMs" (2025). Images of a class a are steered towards a class b
whose commonest answer is another: at the image tokens, at the last token of the prompt or at every token, while the
prompt is read or at every step of the answer as well. A strength of 1 is as long as the stream itself, on average over
the edited tokens at that layer. Efficacy is the probability of b's answer, and whether the text says it; damage is told
by the model's descriptions of images of other classes (`descriptions.py`). Directions are fitted on half of the photos,
and the images steered and described are of the other half.
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
from signbridge.causal.pushes import (
    Clamped,
    Encoder,
    Pushes,
    joined,
    with_pushes,
)
from signbridge.core.activations import Layers
from signbridge.core.names import During, SteeredAt
from signbridge.core.params import Section
from signbridge.core.shards import Shard
from signbridge.core.sweeps import Sweeps
from signbridge.vlm.branching import (
    Branches,
    CleanRun,
    answer_greedily,
    clean_run,
    go_on,
    image_span,
    leave,
)
from signbridge.vlm.extraction import Reader, in_batches
from signbridge.vlm.loading import LoadedModel
from signbridge.vlm.residual import Edit, decoder_sites, reading

COURSES_PER_SHARD = 2  # what a killed run may lose, and what is run side by side

BySite = dict[str, Pushes]  # every direction at every strength


class Doses(Section):
    """What is steered, where, and how strongly."""

    pairs: int = Field(ge=0)  # of classes; 0: nothing is steered
    images: int = Field(ge=1)  # of the first class, of different photos
    others: int = Field(ge=1)  # images of other classes, whose descriptions tell the damage
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
    told: Sequence[str]  # the directions in which the first of `images` is described
    directions: Mapping[str, Float[np.ndarray, "directions width"]]  # by site in order of depth, each of length 1
    unit: Mapping[str, float]  # by site: the mean norm of the stream there
    clamps: Mapping[str, "Clamps"] = MappingProxyType({})  # by site, where directions are those of features

    @property
    def told_rows(self) -> list[int]:
        """Where the directions that are told stand: of a null its first draw."""
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
    descriptions: dict[str, list[str]]  # of the first image, by site: those told, by strength


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


class Steerer(Reader):
    """Runs `Course`s as a `Reader` does images; a shard's arrays are flat, course after course, its answers JSON."""

    def __init__(self, reader: Reader, describer: Reader, sweep: Doses):
        super().__init__(reader.loaded, reader.prompt, reader.max_new_tokens, reader.batch_size)
        self.describer, self.sweep = describer, sweep

    def _batches(self, courses: list[Course]) -> list[list[Course]]:
        return [[course] for course in courses]

    def _prepare_filled(self, batch: list[Course]) -> Course:
        return batch[0]

    def _read_batch(self, course: Course, keep: int) -> Shard:
        found = self.steer(course)
        arrays = {name: getattr(found, name).ravel() for name in ("probability", "damage", "clean_probability")}
        texts = {"answers": found.answers, "descriptions": found.descriptions}
        return Shard(arrays, [json.dumps(texts)], self.made_with)

    def steer(self, course: Course) -> Steered:
        """Every direction at every strength, site by site, a few images at a time."""
        during = durings(course.at, self.sweep.during)
        pushes = self._pushes(course)
        at_once = max(1, self.batch_size // 2)  # their keys and values are held while all is tried
        answered = [self._answers(course, images, pushes, during) for images in in_batches(course.images, at_once)]
        others = zip(in_batches(course.others, at_once), in_batches(course.descriptions, at_once), strict=True)
        damaged = [self._damage(course, *some, pushes, during) for some in others]
        shape = (len(course.directions), len(during), -1, len(self.sweep.strengths))
        return Steered(
            np.concatenate([part.probability for part in answered], axis=-1).reshape(*shape, len(course.images)),
            np.concatenate(damaged, axis=-1).reshape(*shape, len(course.others)),
            np.concatenate([part.clean_probability for part in answered]),
            np.concatenate([part.texts for part in answered], axis=-1).tolist(),
            self._descriptions(course, pushes, during[-1]),
        )

    def _begun(self, reader: Reader, images: list[Image.Image], course: Course) -> Begun:
        inputs = reader.prepare(images).to(self.loaded.device, dtype=self.loaded.model.dtype)
        image, tokens = image_span(self.loaded, inputs), inputs["input_ids"].shape[1]
        first = first_edited(course.at, image, tokens)
        return Begun(clean_run(self.loaded, inputs, first, sites=course.directions), image, tokens)

    def _pushes(self, course: Course) -> BySite:
        """By site in order of depth, every direction at every strength."""
        pushes = {}
        for site, directions in course.directions.items():
            edits = directions[:, None] * np.array(self.sweep.strengths)[:, None] * course.unit[site]
            flat = torch.tensor(edits.reshape(-1, edits.shape[-1]), dtype=torch.float32).to(self.loaded.device)
            clamps, clamped = course.clamps.get(site), None
            if clamps is not None:
                decoded = np.broadcast_to(clamps.decoded, clamps.features.shape)
                of_pushes = (np.repeat(one, len(self.sweep.strengths)) for one in (clamps.features, decoded))
                clamped = Clamped(clamps.encoder, *map(torch.from_numpy, of_pushes))
            pushes[site] = Pushes(flat, clamped)
        return pushes

    def _chunks(self, pushes: Pushes, prompts: int) -> list[Pushes]:
        return pushes.split(max(1, self.batch_size // prompts))

    def _answers(self, course: Course, images: list[Image.Image], pushes: BySite, during: list[During]) -> Answered:
        """What every edit makes of the answers to some of the course's images."""
        begun = self._begun(self, images, course)
        probability, texts = [], []
        for site, edits in pushes.items():
            of_site = [self._answers_at(course, begun, site, edits, one) for one in during]
            probability.append([likely for likely, _ in of_site])
            texts.append([said for _, said in of_site])
        site = next(iter(course.directions))
        unedited = leave(
            self.loaded, begun.clean, begun.clean.first, {site: begun.clean.tail(site, begun.clean.first)},
            room=len(course.answer),
        )  # fmt: skip
        clean = answer_probability(self.loaded, unedited, course.answer).cpu().numpy()
        return Answered(np.array(probability), clean, np.array(texts))

    def _answers_at(
        self, course: Course, begun: Begun, site: str, pushes: Pushes, during: During
    ) -> tuple[list[list[float]], list[list[str]]]:
        """The probability of b's answer, and the text, of every edit and image."""
        images, most = len(begun.clean.input_ids), max(self.sweep.answer_tokens, len(course.answer))
        probability, answers = [], []
        for some in self._chunks(pushes, images):
            branches = begun.leave(self.loaded, site, some, course.at, room=most + len(course.answer))
            at_each_step = _at_each_step(site, some.for_each_of(images), course.at, during)
            probability.append(answer_probability(self.loaded, branches, course.answer, at_each_step))
            rewind(branches, begun.tokens)
            answers += answer_greedily(self.loaded, branches, most, at_each_step)
        texts = np.reshape(self._texts(answers), (-1, images)).tolist()
        return torch.cat(probability).view(-1, images).tolist(), texts

    def _damage(
        self,
        course: Course,
        images: list[Image.Image],
        descriptions: list[list[int]],
        pushes: BySite,
        during: list[During],
    ) -> Float[np.ndarray, "sites during edits images"]:
        """The rise in negative log-likelihood of every edit, for some of the course's others."""
        others = read_described(self.describer, images, descriptions, course.at, course.directions)
        clean = others.clean

        def rises(site: str, some: Pushes, one: During) -> Float[Tensor, "edits images"]:
            rows = with_pushes(clean.tail(site, clean.first), some, others.edited(course.at, one))
            return others.damage(leave(self.loaded, clean, clean.first, {site: rows}, kept=others.longest).logits)

        found = [
            [torch.cat([rises(site, some, one) for some in self._chunks(edits, len(images))]) for one in during]
            for site, edits in pushes.items()
        ]
        return np.array([[of_one.cpu().numpy() for of_one in of_site] for of_site in found])

    def _descriptions(self, course: Course, pushes: BySite, during: During) -> dict[str, list[str]]:
        """The first steered image described, by site: in the directions that are told, each at every strength."""
        most = self.describer.max_new_tokens
        begun = self._begun(self.describer, course.images[:1], course)
        described = {}
        for site in told_sites(course):
            by_direction = pushes[site].split(len(self.sweep.strengths))
            told = joined([by_direction[row] for row in course.told_rows])
            branches = begun.leave(self.loaded, site, told, course.at, room=most)
            at_each_step = _at_each_step(site, told, course.at, during)
            described[site] = self._texts(answer_greedily(self.loaded, branches, most, at_each_step))
        return described

    def _texts(self, answers: list[list[int]]) -> list[str]:
        return [text.strip() for text in self.loaded.processor.batch_decode(answers, skip_special_tokens=True)]


def told_sites(course: Course) -> list[str]:
    """The first, middle and last of the steered sites: those at which texts are told."""
    sites = list(course.directions)
    return sorted({sites[0], sites[len(sites) // 2], sites[-1]}, key=sites.index)


def durings(at: SteeredAt, wanted: Sequence[During]) -> list[During]:
    """When the edit is made: at the image tokens only in the prefill, since no image is fed back."""
    return ["prefill"] if at == "image" else list(wanted)


def answer_probability(
    loaded: LoadedModel, branches: Branches, answer: Sequence[int], edit: Edit | None = None
) -> Float[Tensor, "rows"]:
    """The probability that each row goes on with the tokens of `answer`, whatever follows them."""
    log_probability = branches.logits[:, -1:].float().log_softmax(-1)
    if len(answer) > 1:
        fed = torch.tensor(answer[:-1], device=branches.logits.device).expand(len(branches.logits), -1)
        rest = go_on(loaded, branches.cache, fed, edit).float().log_softmax(-1)
        log_probability = torch.cat([log_probability, rest], dim=1)
    places = torch.arange(len(answer), device=log_probability.device)
    return log_probability[:, places, list(answer)].sum(-1).exp()


def rewind(branches: Branches, tokens: int) -> None:
    """Forget what was fed behind the first `tokens`."""
    for layer in branches.cache.layers:
        layer.length = tokens


@torch.inference_mode()
def mean_norms(reader: Reader, images: list[Image.Image]) -> dict[SteeredAt, dict[str, float]]:
    """The mean length of the residual stream at each site, over the tokens that an edit there touches.

    Of every token the first is left out: in many models it is an attention sink, hundreds of times as long as the
    others (Sun et al. 2024, "Massive Activations in Large Language Models").
    """
    sites = set(decoder_sites(reader.loaded.parts))
    found: dict[SteeredAt, dict[str, list[float]]] = {"image": {}, "prompt_last": {}, "every": {}}
    for batch in in_batches(images, reader.batch_size):
        inputs = reader.prepare(batch).to(reader.loaded.device, dtype=reader.loaded.model.dtype)
        image = image_span(reader.loaded, inputs)

        def measure(site: str, stream: Tensor, image: slice = image) -> None:
            if site not in sites:
                return
            norms = stream.float().norm(dim=-1)
            parts = {"image": norms[:, image], "prompt_last": norms[:, -1:], "every": norms[:, 1:]}
            for at, part in parts.items():
                found[at].setdefault(site, []).extend(part.mean(dim=1).tolist())

        with reading(reader.loaded.parts, measure):
            reader.loaded.model(**inputs, use_cache=False, logits_to_keep=1)
    return {at: {site: float(np.mean(norms)) for site, norms in by_site.items()} for at, by_site in found.items()}


def _at_each_step(site: str, pushes: Pushes, at: SteeredAt, during: During) -> Edit | None:
    """The edit of every token that is fed back, row by row, or none."""
    if during == "prefill" or at == "image":
        return None
    return lambda here, stream: pushes.onto(stream) if here == site else stream
