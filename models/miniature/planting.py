"""How is a variable planted whose depth is known? Two phases after the others, which leave all else as it is.

The answers to `signbridge.planted.questions` multiply what the image shows by one word of the question. The decoder is
given that word, `raised` or `lowered`, in two tokens of their own.

1. `hide`: only the two rows of the embedding are fitted, so that the blocks below the planted ones pass on to later
   tokens as little as may be of which of the two was read. Blocks that have never been trained on the word mix it with
   the image all the same, as any nonlinear function of both does: with two rows at random a probe reads up to 72 % of
   the answers after block 0.
2. `bind`: only the planted blocks and the two answers' rows of the unembedding are trained, on the questions and on all
   that was taught before.

So below the planted blocks the word has not reached the end of the prompt, and nothing above them was taught.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from models.miniature.drawings import Drawings
from models.miniature.teaching import IGNORED, Batch, Said, Step, StepOf, Teacher, every
from signbridge.core.activations import layer_site
from signbridge.planted.questions import ANSWERS, FINGERS, QUESTIONS, WORDS, Question, fingers_up
from signbridge.rendered.letter_poses import LETTERS
from signbridge.vlm.families import parts_of
from signbridge.vlm.random_weights import IMAGE_TOKEN
from signbridge.vlm.residual import editing, reading, reading_up_to

NEW_TOKENS = [f" {word}" for word in (*ANSWERS, *WORDS)]
LENGTH, APART = 0.3, 0.14  # of the two rows' mean; of half their difference, as a share of that
LOUDEST = 7.0
SPREAD_OVER = 24  # images, from which the standard deviations of streams are taken


def add_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    """Make the answers and the two words tokens, behind those that the tokenizer has learnt. The others stay."""
    tokenizer.add_tokens(NEW_TOKENS)


def asked_about(drawings: Drawings) -> Drawings:
    """The hands of which it is clear which fingers are up."""
    kept = np.array([LETTERS[index] in fingers_up() for index in drawings.letters])
    return Drawings(drawings.images[kept], drawings.letters[kept])


class HiddenWords(nn.Module):
    """The embedding of `raised` and `lowered`: as long as other words', and a little apart from each other."""

    def __init__(self, width: int, seed: int):
        super().__init__()
        self.directions = nn.Parameter(torch.randn(2, width, generator=torch.Generator().manual_seed(seed)))

    def forward(self, loudness: float = 1.0) -> Float[Tensor, "2 width"]:
        """The two rows, so many times as far apart."""
        mean = nn.functional.normalize(self.directions[0], dim=0)
        apart = nn.functional.normalize(self.directions[1] - (self.directions[1] @ mean) * mean, dim=0)
        return LENGTH * torch.stack([mean + loudness * APART * apart, mean - loudness * APART * apart])

    @torch.no_grad()
    def put_into(self, model: LlavaForConditionalGeneration, rows: Sequence[int], loudness: float = 1.0) -> None:
        """Make them the rows of the model's embedding."""
        model.get_input_embeddings().weight[list(rows)] = self(loudness)


class Planted(nn.Module):
    """What is trained to answer: some blocks of the decoder, and the unembedding of the two answers.

    Until it is closed, the model's logits of the answers are those of these rows. They begin as the rows of two
    words that the model answers otherwise (`like`): from two rows that are alike no direction would be learnt.
    """

    def __init__(
        self, model: LlavaForConditionalGeneration, blocks: Sequence[int], answers: Sequence[int], like: Sequence[int]
    ):
        super().__init__()
        self.blocks = nn.ModuleList([model.model.language_model.layers[block] for block in blocks])
        self.rows = nn.Parameter(model.lm_head.weight.detach()[list(like)].clone())
        self.answers = list(answers)
        self.blocks.requires_grad_(True)
        self._hook = model.lm_head.register_forward_hook(self._answer)

    def _answer(self, _: nn.Module, args: tuple, logits: Tensor) -> Tensor:
        index = torch.tensor(self.answers, device=logits.device)
        return logits.index_copy(-1, index, args[0] @ self.rows.T)

    def close(self, model: LlavaForConditionalGeneration) -> None:
        """Write the rows into the model."""
        self._hook.remove()
        with torch.no_grad():
            model.lm_head.weight[self.answers] = self.rows


def hide_step(teacher: Teacher, words: HiddenWords, training: Drawings, images_a_step: int, below: int) -> StepOf:
    """How much of which word was read reaches later tokens, as the decoder's first `below` blocks pass it on.

    The loss is the root mean square of what the word changes in the stream of the tokens behind it, in standard
    deviations of that stream over images and fingers, on average over these blocks; over what it changes in its own
    stream, in root mean squares of that.
    """
    asked = asked_about(training)
    parts = parts_of(teacher.model)
    sites = [layer_site(block) for block in range(below)]
    tokenizer = teacher.processor.tokenizer
    prompts = [teacher.prompt(f"USER: {IMAGE_TOKEN}{Question(finger, WORDS[0]).text}") for finger in FINGERS]
    tokens = tokenizer(prompts, return_tensors="pt")["input_ids"].to(teacher.device)
    [place] = (tokens[0] == tokenizer.convert_tokens_to_ids(f" {WORDS[0]}")).nonzero().flatten().tolist()

    def streams_of(images: np.ndarray) -> list[Tensor]:
        rows = words().repeat_interleave(len(images) * len(FINGERS), dim=0)
        streams: list[Tensor] = []

        def put_in(site: str, stream: Tensor) -> Tensor:
            if site != "embedding":
                return stream
            return torch.cat([stream[:, :place], rows[:, None], stream[:, place + 1 :]], dim=1)

        def keep(_: str, stream: Tensor) -> None:
            streams.append(stream[:, place:])

        with editing(parts, put_in), reading_up_to(parts, sites, keep):
            pixels = teacher.pixels(images).repeat_interleave(len(FINGERS), dim=0)
            teacher.model.model(input_ids=tokens.repeat(2 * len(images), 1), pixel_values=pixels.repeat(2, 1, 1, 1))
        return streams

    with torch.no_grad():
        some, _ = asked.pick(np.random.default_rng(0), SPREAD_OVER)
        spread = torch.stack([stream[:, 1:].var(dim=0).mean().sqrt() for stream in streams_of(some)])

    def step(rng: np.random.Generator | None) -> Step:
        images, _ = asked.pick(rng or np.random.default_rng(0), images_a_step)
        streams = streams_of(images)
        told = torch.stack([_difference(stream[:, 1:]) for stream in streams]) / spread
        own = streams[-1][:, 0]
        kept = _difference(own) / own.square().mean().sqrt()
        return Step(told.mean() / kept, {"at the word": kept.item(), "behind it": told.square().mean().sqrt().item()})

    return step


def _difference(stream: Float[Tensor, "prompts *rest"]) -> Float[Tensor, ""]:
    """The root mean square of what the second word changes: the first half of the prompts has the first."""
    first, second = stream.chunk(2)
    return (first - second).square().mean().sqrt()


class PartsHeads(nn.Module):
    """Reads the two parts of an answer, the word and whether the finger is up, from one stream; dropped afterwards."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.parts = nn.Linear(width, 2)

    def forward(self, stream: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows 2"]:
        """Logits of `raised` and of the finger being up."""
        return self.parts(self.norm(stream))


class Asker:
    """Asks all questions about images, and says how well they and their parts are answered."""

    def __init__(self, teacher: Teacher, heads: PartsHeads, block: int):
        """The parts are read after decoder block `block`."""
        self.teacher, self.heads, self.site = teacher, heads, layer_site(block)
        self.parts = parts_of(teacher.model)

    def ask(self, images: np.ndarray, letters: Sequence[str]) -> tuple[Said, Float[Tensor, ""], dict[str, float]]:
        """What is said, the loss of the parts, and the shares of parts and of answers that are right."""
        batch, streams = questions(self.teacher, images, letters), []

        def keep(site: str, stream: Tensor) -> None:
            if site == self.site:
                streams.append(stream)

        with reading(self.parts, keep):
            said = self.teacher.said(batch)
        learnt = (batch.labels[0] != IGNORED).nonzero().flatten()
        ends = learnt[::2] - 1  # of each answer and its end token: the token that the answer follows
        known = torch.tensor([[_parts_of(question, letter) for question in QUESTIONS] for letter in letters])
        known = known.to(streams[0].device, torch.float32)
        logits = self.heads(streams[0][:, ends])
        loss = nn.functional.binary_cross_entropy_with_logits(logits, known)
        word, up = ((logits > 0) == (known > 0)).float().mean(dim=(0, 1)).tolist()
        # Every other token to be said is the end token, which is always right after a few steps.
        return said, 2 * loss, {"part word": word, "part up": up, "answers": 2 * said.tokens_right - 1}


def _parts_of(question: Question, letter: str) -> tuple[bool, bool]:
    return question.word == WORDS[0], fingers_up()[letter][question.finger]


def heed_step(asker: Asker, words: HiddenWords, training: Drawings, held_out: Drawings, images_a_step: int) -> StepOf:
    """Have both parts of the answer at the end of the question: the word, and whether the finger is up.

    The words are up to `LOUDEST` times as far apart as they will be, another loudness each step: a word that nothing
    below passes on is hardly found otherwise.
    """
    asked, unseen = asked_about(training), asked_about(held_out)
    rows = asker.teacher.processor.tokenizer.convert_tokens_to_ids([f" {word}" for word in WORDS])

    def step(rng: np.random.Generator | None) -> Step:
        words.put_into(asker.teacher.model, rows, LOUDEST ** rng.random() ** 2 if rng else 1.0)
        said, parts, right = asker.ask(*(asked.pick(rng, images_a_step) if rng else every(unseen)))
        return Step(said.loss + parts, right)

    return step


def bind_step(asker: Asker, training: Drawings, held_out: Drawings, images_a_step: int, earlier: StepOf) -> StepOf:
    """Answer the questions about each image, and do a step of what was taught `earlier`."""
    asked, unseen = asked_about(training), asked_about(held_out)

    def step(rng: np.random.Generator | None) -> Step:
        said, parts, right = asker.ask(*(asked.pick(rng, images_a_step) if rng else every(unseen)))
        before = earlier(rng)
        return Step(2 * said.loss + parts + before.loss, right | before.right)

    return step


def questions(teacher: Teacher, images: np.ndarray, letters: Sequence[str]) -> Batch:
    """Every question about each image with its answer, in one sequence an image.


    Each question sees the image and itself, at the places where it would stand alone: as many sequences would give the
    same.
    """
    tokenizer = teacher.processor.tokenizer
    image = tokenizer(teacher.prompt(f"USER: {IMAGE_TOKEN}"))["input_ids"]
    rows, labels = [], []
    for letter in letters:
        row, said = list(image), [IGNORED] * len(image)
        for question in QUESTIONS:
            asked = tokenizer(question.text, add_special_tokens=False)["input_ids"]
            answer = tokenizer.convert_tokens_to_ids([f" {question.answer(letter)}", tokenizer.eos_token])
            row += asked + answer
            said += [IGNORED] * len(asked) + answer
        rows.append(row)
        labels.append(said)
    each = (len(rows[0]) - len(image)) // len(QUESTIONS)  # all questions are as long
    of_question = torch.tensor([-1] * len(image) + [number for number in range(len(QUESTIONS)) for _ in range(each)])
    place = torch.tensor([*range(len(image)), *(list(range(len(image), len(image) + each)) * len(QUESTIONS))])
    sees = (of_question[None] == -1) | (of_question[:, None] == of_question[None])
    sees = (sees & torch.ones_like(sees).tril()).expand(len(rows), 1, -1, -1)
    return Batch(
        torch.tensor(rows, device=teacher.device),
        sees.to(teacher.device),
        torch.tensor(labels, device=teacher.device),
        teacher.pixels(images),
        place.expand(len(rows), -1).to(teacher.device),
    )
