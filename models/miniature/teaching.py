"""What is learnt in each phase of the miniature's training: its batches, its loss, and when an answer is right."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from models.miniature.drawings import Drawings
from models.miniature.lessons import SENTENCE_PROMPT, WORD_PROMPT, clauses, hands, plain_sentence
from signbridge.rendered.letter_poses import LETTERS
from signbridge.vlm.random_weights import IMAGE_TOKEN

IGNORED = -100  # as a label: not part of the loss


class Batch(NamedTuple):
    """Token sequences of one kind, padded on the right."""

    input_ids: Tensor
    attention_mask: Tensor  # 1 for tokens and 0 for padding; or true where a token sees a token: batch x 1 x both
    labels: Tensor  # IGNORED where nothing is to be said
    pixel_values: Tensor | None = None
    position_ids: Tensor | None = None  # where tokens do not follow one another


class Said(NamedTuple):
    """How a batch of texts compares with what the model would say."""

    loss: Tensor  # mean over the tokens to be said
    # For each text whether every one of its tokens is the likeliest. As each token is given those before it, that is to
    # say whether the greedy answer is right, word for word.
    right: Tensor
    tokens_right: float  # share of all tokens to be said


class Step(NamedTuple):
    """What one step gives."""

    loss: Tensor
    right: dict[str, float]  # share that is right: of clauses' images, words and sentences as a whole, or of tokens


# One step of a phase: on a batch that the generator draws, or without one on what is held out.
StepOf = Callable[[np.random.Generator | None], Step]


class ClauseHeads(nn.Module):
    """Reads from the mean of the tower's patches which clause holds for fingers, thumb and palm; dropped afterwards."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.places = nn.ModuleList([nn.Linear(width, len(of_place)) for of_place in clauses()])

    def forward(self, patches: Tensor) -> list[Tensor]:
        """Logits of every clause, a tensor of batch x clauses for each of the three places."""
        pooled = self.norm(patches.mean(dim=1))
        return [head(pooled) for head in self.places]


class Teacher:
    """Makes the batches of each phase, and what is to be learnt from them."""

    def __init__(self, model: LlavaForConditionalGeneration, processor: LlavaProcessor):
        self.model = model
        self.processor = processor
        self.device = model.device

    def tower_step(self, heads: ClauseHeads, training: Drawings, held_out: Drawings, images_a_step: int) -> StepOf:
        """Name the three clauses of an image."""

        def step(rng: np.random.Generator | None) -> Step:
            images, letters = training.pick(rng, images_a_step) if rng else every(held_out)
            patches = self.model.model.vision_tower(self.pixels(images)).last_hidden_state[:, 1:]
            right = torch.ones(len(images), dtype=torch.bool, device=self.device)
            loss = torch.zeros((), device=self.device)
            for place, (logits, of_place) in enumerate(zip(heads(patches), clauses(), strict=True), start=1):
                named = torch.tensor([of_place.index(hands()[letter][place]) for letter in letters], device=self.device)
                loss = loss + functional.cross_entropy(logits, named)
                right &= logits.argmax(-1) == named
            return Step(loss, {"clauses": right.float().mean().item()})

        return step

    def text_step(self, sentences_a_step: int) -> StepOf:
        """Read plain sentences."""

        def step(rng: np.random.Generator | None) -> Step:
            said = self.said(self.sentences(rng or np.random.default_rng(0), sentences_a_step))
            return Step(said.loss, {"tokens": said.tokens_right})

        return step

    def join_step(self, training: Drawings, held_out: Drawings, words: int, sentences: int, plain: int) -> StepOf:
        """Answer in one word, describe, and keep reading plain sentences: so many of each in a step."""
        counts = {"word": words, "sentence": sentences}

        def step(rng: np.random.Generator | None) -> Step:
            losses, right = [], {}
            for task, prompt in (("word", WORD_PROMPT), ("sentence", SENTENCE_PROMPT)):
                images, letters = training.pick(rng, counts[task]) if rng else every(held_out)
                answers = [getattr(hands()[letter], task) for letter in letters]
                said = self.said(self.conversations(prompt, images, answers))
                losses.append(said.loss)
                right[task] = said.right.float().mean().item()
            if rng:
                losses.append(self.said(self.sentences(rng, plain)).loss)
            return Step(torch.stack(losses).sum(), right)

        return step

    def pixels(self, images: np.ndarray) -> Tensor:
        """What the processor makes of images that have the tower's size: batch x 3 x 56 x 56."""
        mean, std = (
            torch.tensor(value, device=self.device).view(1, 3, 1, 1)
            for value in (self.processor.image_processor.image_mean, self.processor.image_processor.image_std)
        )
        return (torch.from_numpy(images).to(self.device)[:, None] / 255 - mean) / std

    def conversations(self, prompt: str, images: np.ndarray, answers: list[str]) -> Batch:
        """`prompt` about each image, answered; only the answers are to be learnt."""
        prompt = self.prompt(prompt)
        batch = self.tokens([f"{prompt} {answer}" for answer in answers])
        batch.labels[:, : len(self.processor.tokenizer(prompt)["input_ids"])] = IGNORED
        return batch._replace(pixel_values=self.pixels(images))

    def prompt(self, text: str) -> str:
        """The text with as many image tokens as an image takes."""
        return text.replace(IMAGE_TOKEN, IMAGE_TOKEN * self.model.config.image_seq_length)

    def sentences(self, rng: np.random.Generator, count: int) -> Batch:
        """Plain sentences without an image."""
        return self.tokens([plain_sentence(rng) for _ in range(count)])

    def tokens(self, texts: list[str]) -> Batch:
        """Each text between start and end token."""
        tokenizer = self.processor.tokenizer
        texts = [f"{text}{tokenizer.eos_token}" for text in texts]
        encoded = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt").to(self.device)
        labels = encoded["input_ids"].masked_fill(encoded["attention_mask"] == 0, IGNORED)
        return Batch(encoded["input_ids"], encoded["attention_mask"], labels)

    def said(self, batch: Batch) -> Said:
        """Whether the model would say what `batch` wants it to."""
        given = {name: value for name, value in batch._asdict().items() if value is not None and name != "labels"}
        logits = self.model(**given).logits[:, :-1]
        labels = batch.labels[:, 1:]
        loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
        is_said = labels != IGNORED
        right = logits.argmax(-1) == labels
        return Said(loss, (right | ~is_said).all(dim=1), right[is_said].float().mean().item())


def every(drawn: Drawings) -> tuple[np.ndarray, list[str]]:
    """The first copy of each photo, and their letters."""
    return drawn.images[:, 0], [LETTERS[index] for index in drawn.letters]
