"""Train the miniature, from nothing but the `rendered` dataset and the words beside this file.

    python -m models.miniature.train    # about an hour on 2 cores

In LLaVA's order: the tower learns to see (here by naming the clauses of the hand's sentence, where CLIP is given
captions), the decoder learns to read plain sentences, and then the two are joined through the projector on
conversations about images, the tower frozen. Progress goes to the terminal, with loss and accuracy on hands that are
held out. Killed, it goes on from its last checkpoint below .scratch/, to the same weights.

Environment: SIGNBRIDGE_DEVICE (cpu, cuda, cuda:1).
"""

import hashlib
import json
import math
import os
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm
from transformers import (
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from models.miniature import drawings, lessons
from models.miniature.drawings import SIDE, Drawings, draw
from models.miniature.lessons import SENTENCE_PROMPT, WORD_PROMPT, clauses, hands, plain_sentence, vocabulary
from signbridge.command_line import run
from signbridge.errors import SignBridgeError
from signbridge.vlm.loading import device_from_environment
from signbridge.vlm.small_tokenizer import IMAGE_TOKEN, SPECIAL_TOKENS, llava_processor, small_tokenizer

FOLDER = Path(__file__).parent
SCRATCH = Path(".scratch/miniature")
IGNORED = -100  # as a label: not part of the loss


@dataclass(frozen=True)
class Phase:
    """One optimisation: AdamW, a warm-up of a twentieth of the steps, then a cosine down to nothing."""

    steps: int
    rate: float  # peak learning rate


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights."""

    seed: int = 2026  # of the weights' start and of every batch
    hands_seed: int = 1000  # of `rendered`, for training; held-out hands have the next
    photos: int = 1000  # a letter
    copies: int = 6  # a photo
    held_out_photos: int = 8  # a letter
    vision_width: int = 192
    vision_blocks: int = 4
    width: int = 192
    blocks: int = 12
    tower: Phase = field(default=Phase(steps=3000, rate=1e-3))
    tower_images: int = 128  # a step
    text: Phase = field(default=Phase(steps=200, rate=1e-3))
    text_sentences: int = 64  # a step
    join: Phase = field(default=Phase(steps=500, rate=1e-3))
    join_words: int = 16  # images a step under the one-word prompt
    join_sentences: int = 32  # images a step to describe
    join_plain: int = 16  # sentences a step without an image
    steps_per_checkpoint: int = 100


class Batch(NamedTuple):
    """Token sequences of one kind, padded on the right."""

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor  # IGNORED where nothing is to be said
    pixel_values: Tensor | None = None


class Step(NamedTuple):
    """What one step gives."""

    loss: Tensor
    right: dict[str, float]  # share of images or sentences that are wholly right, by task


def main() -> None:
    """Train with the default recipe and write the model's files beside this one."""
    train(Recipe(), FOLDER, SCRATCH, device_from_environment())


def train(recipe: Recipe, folder: Path, scratch: Path, device: torch.device) -> None:
    """Train `recipe` and write config, weights (float16), tokenizer and processor to `folder`."""
    checkpoints = scratch / f"training-{_fingerprint(recipe, device)}"
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    training = draw(recipe.hands_seed, recipe.photos, recipe.copies, scratch, workers)
    held_out = draw(recipe.hands_seed + 1, recipe.held_out_photos, 1, scratch, workers)

    tokenizer = small_tokenizer(vocabulary(), vocab_size=4096)
    config = miniature_config(recipe, len(tokenizer))
    processor = llava_processor(config, tokenizer)
    torch.manual_seed(recipe.seed)
    model = LlavaForConditionalGeneration._from_config(config, dtype=torch.float32).to(device)
    teacher = Teacher(model, processor, recipe)

    tower = model.model.vision_tower
    heads = ClauseHeads(recipe.vision_width).to(device)
    seeing = nn.ModuleList([tower, heads])
    optimise("tower", seeing, recipe.tower, teacher.tower_step(heads, training, held_out), recipe, checkpoints)
    tower.requires_grad_(False)
    optimise("text", model, recipe.text, teacher.text_step(), recipe, checkpoints)
    optimise("join", model, recipe.join, teacher.join_step(training, held_out), recipe, checkpoints)
    save(model, processor, folder)


def miniature_config(recipe: Recipe, tokens: int) -> LlavaConfig:
    """LLaVA-1.5's architecture, small: 49 image tokens of 56 x 56 pixels, from the tower's last block."""
    return LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=recipe.vision_width,
            intermediate_size=4 * recipe.vision_width,
            num_hidden_layers=recipe.vision_blocks,
            num_attention_heads=recipe.vision_width // 32,
            image_size=SIDE,
            patch_size=8,
            projection_dim=128,
        ),
        text_config=LlamaConfig(
            vocab_size=8 * math.ceil(tokens / 8),
            hidden_size=recipe.width,
            intermediate_size=8 * recipe.width // 3,
            num_hidden_layers=recipe.blocks,
            num_attention_heads=recipe.width // 32,
            num_key_value_heads=recipe.width // 32,
            max_position_embeddings=512,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=3,
        ),
        image_token_id=SPECIAL_TOKENS.index(IMAGE_TOKEN),
        image_seq_length=49,
        vision_feature_layer=-1,
    )


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

    def __init__(self, model: LlavaForConditionalGeneration, processor: LlavaProcessor, recipe: Recipe):
        self.model = model
        self.processor = processor
        self.recipe = recipe
        self.device = model.device

    def tower_step(self, heads: ClauseHeads, training: Drawings, held_out: Drawings) -> "StepOf":
        """Name the three clauses of an image."""

        def step(rng: np.random.Generator | None) -> Step:
            images, letters = training.pick(rng, self.recipe.tower_images) if rng else _all(held_out)
            patches = self.model.model.vision_tower(self.pixels(images)).last_hidden_state[:, 1:]
            right = torch.ones(len(images), dtype=torch.bool, device=self.device)
            loss = torch.zeros((), device=self.device)
            for place, (logits, of_place) in enumerate(zip(heads(patches), clauses(), strict=True), start=1):
                named = torch.tensor([of_place.index(hands()[letter][place]) for letter in letters], device=self.device)
                loss = loss + functional.cross_entropy(logits, named)
                right &= logits.argmax(-1) == named
            return Step(loss, {"clauses": right.float().mean().item()})

        return step

    def text_step(self) -> "StepOf":
        """Read plain sentences."""

        def step(rng: np.random.Generator | None) -> Step:
            rng = rng or np.random.default_rng(0)
            loss, _ = self.said(self.sentences(rng, self.recipe.text_sentences))
            return Step(loss, {})

        return step

    def join_step(self, training: Drawings, held_out: Drawings) -> "StepOf":
        """Answer in one word, describe, and keep reading plain sentences."""
        counts = {"word": self.recipe.join_words, "sentence": self.recipe.join_sentences}

        def step(rng: np.random.Generator | None) -> Step:
            losses, right = [], {}
            for task, prompt in (("word", WORD_PROMPT), ("sentence", SENTENCE_PROMPT)):
                images, letters = training.pick(rng, counts[task]) if rng else _all(held_out)
                answers = [getattr(hands()[letter], task) for letter in letters]
                loss, exact = self.said(self.conversations(prompt, images, answers))
                losses.append(loss)
                right[task] = exact.float().mean().item()
            if rng:
                losses.append(self.said(self.sentences(rng, self.recipe.join_plain))[0])
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
        prompt = prompt.replace(IMAGE_TOKEN, IMAGE_TOKEN * self.model.config.image_seq_length)
        batch = self.tokens([f"{prompt} {answer}" for answer in answers])
        batch.labels[:, : len(self.processor.tokenizer(prompt)["input_ids"])] = IGNORED
        return batch._replace(pixel_values=self.pixels(images))

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

    def said(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean loss over the tokens to be said; and for each text whether every one of them is the likeliest.

        As each token is given those before it, that is to say whether the greedy answer is right, word for word.
        """
        given = {name: value for name, value in batch._asdict().items() if value is not None and name != "labels"}
        logits = self.model(**given).logits[:, :-1]
        labels = batch.labels[:, 1:]
        loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
        right = (logits.argmax(-1) == labels) | (labels == IGNORED)
        return loss, right.all(dim=1)


# One step of a phase: on a batch that the generator draws, or without one on what is held out.
StepOf = Callable[[np.random.Generator | None], Step]


def optimise(name: str, module: nn.Module, phase: Phase, step_of: StepOf, recipe: Recipe, checkpoints: Path) -> None:
    """Run a phase, from its last checkpoint if there is one. A step's batch depends on seed, phase and step alone."""
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=phase.rate, betas=(0.9, 0.98), weight_decay=0.05)
    path = checkpoints / f"{name}.pt"
    done = _resume(path, module, optimizer)
    bar = tqdm(range(done, phase.steps), desc=name, unit="step", initial=done, total=phase.steps)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = _rate(phase, step)
        result = step_of(np.random.default_rng([recipe.seed, *name.encode(), step]))
        optimizer.zero_grad()
        result.loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        shares = {task: f"{share:.0%}" for task, share in result.right.items()}
        bar.set_postfix(loss=f"{result.loss.item():.3f}", **shares)
        if (step + 1) % recipe.steps_per_checkpoint == 0 or step + 1 == phase.steps:
            _checkpoint(path, module, optimizer, step + 1)
            bar.write(f"{name}, step {step + 1}, held out: {_held_out(module, step_of)}")


@torch.no_grad()
def _held_out(module: nn.Module, step_of: StepOf) -> str:
    module.eval()
    result = step_of(None)
    module.train()
    shares = [f"{task} right {share:.1%}" for task, share in result.right.items()]
    return ", ".join([f"loss {result.loss.item():.3f}", *shares])


def _rate(phase: Phase, step: int) -> float:
    warm_up = min(1.0, (step + 1) / max(1, phase.steps // 20))
    return phase.rate * warm_up * 0.5 * (1 + math.cos(math.pi * step / phase.steps))


def _resume(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    try:
        state = torch.load(path, weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError):
        raise SignBridgeError(f"{path}: not a whole checkpoint. Delete it, and this phase starts again.") from None
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    return state["steps"]


def _checkpoint(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    torch.save({"module": module.state_dict(), "optimizer": optimizer.state_dict(), "steps": steps}, unfinished)
    os.replace(unfinished, path)


def _all(drawn: Drawings) -> tuple[np.ndarray, list[str]]:
    return drawn.images[:, 0], [drawings.LETTERS[index] for index in drawn.letters]


def save(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path) -> None:
    """Write the Hugging Face files to `folder`, the weights in half precision, each file whole."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / ".unfinished"
    model = model.to(torch.float16)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=3)
    model.save_pretrained(unfinished)
    processor.save_pretrained(unfinished)
    for file in unfinished.iterdir():
        os.replace(file, folder / file.name)
    unfinished.rmdir()


def _fingerprint(recipe: Recipe, device: torch.device) -> str:
    """What makes the weights: a checkpoint of anything else is not gone on from."""
    files = [Path(__file__), Path(lessons.__file__), Path(drawings.__file__), lessons.WORDS]
    code = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    parts = [asdict(recipe), code, device.type, torch.__version__, transformers.__version__]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


if __name__ == "__main__":
    run(main)
