"""Train the miniature, from nothing but the `rendered` dataset and the words beside this file.

    python -m models.miniature.train                            # about an hour and a half on 2 cores
    python -m models.miniature.train --joined FILE              # the last two phases alone

In LLaVA's order: the tower learns to see (here by naming the clauses of the hand's sentence, where CLIP is given
captions), the decoder learns to read plain sentences, and then the two are joined through the projector on
conversations about images, the tower frozen. Then a variable is planted whose depth is known (`planting.py`): all
weights are rounded to half precision, and three blocks alone learn to answer one more kind of question. Progress goes
to the terminal, with loss and accuracy on hands that are held out. Killed, it goes on from its last checkpoint below
.scratch/, to the same weights.

Environment: SIGNBRIDGE_DEVICE (cpu, cuda, cuda:1).
"""

import argparse
import hashlib
import importlib.metadata
import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm
from transformers import (
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from models.miniature import drawings, lessons, planting, teaching
from models.miniature.drawings import SIDE, Drawings, draw
from models.miniature.lessons import hands, vocabulary
from models.miniature.planting import (
    ANSWERS,
    WORDS,
    Asker,
    HiddenWords,
    PartsHeads,
    Planted,
    add_tokens,
    bind_step,
    heed_step,
    hide_step,
)
from models.miniature.teaching import ClauseHeads, StepOf, Teacher
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError, check_readable
from signbridge.core.tables import file_sha256, whole_file
from signbridge.planted import questions as questions_module
from signbridge.vlm import random_weights as small_tokenizer_module
from signbridge.vlm.loading import device_from_environment
from signbridge.vlm.random_weights import (
    IMAGE_TOKEN,
    SPECIAL_TOKENS,
    llava_processor,
    small_tokenizer,
)

FOLDER = Path(__file__).parent
SCRATCH = Path(".scratch/miniature")
PACKAGES = ("numpy", "pillow", "tokenizers", "torch", "transformers")


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
    planted: tuple[int, ...] = (6, 7, 8)  # the blocks that learn to answer, 0-based
    planted_photos: int = 200  # a letter, of those above
    planted_copies: int = 2  # a photo
    hide: Phase = field(default=Phase(steps=100, rate=0.02))
    hide_images: int = 3  # a step, each under a question about each finger
    heed: Phase = field(default=Phase(steps=1500, rate=2e-3))
    heed_images: int = 4  # a step, each under every question
    loudness: float = 1.3  # of the two words from here on: how many times as far apart as when they were hidden
    bind: Phase = field(default=Phase(steps=400, rate=1e-3))
    bind_images: int = 8  # a step, each under every question
    bind_words: int = 2  # as `join_words`
    bind_sentences: int = 4
    bind_plain: int = 2
    steps_per_checkpoint: int = 100


def main() -> None:
    """Train with the default recipe and write the model's files beside this one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--joined", type=Path, help="model.safetensors after `join`: only plant, and train nothing else"
    )
    train(Recipe(), FOLDER, SCRATCH, device_from_environment(), parser.parse_args().joined)


def train(recipe: Recipe, folder: Path, scratch: Path, device: torch.device, joined: Path | None = None) -> None:
    """Train `recipe` and write config, weights (float16), tokenizer and processor to `folder`.

    With the weights `joined`, those of a model after its phase `join`, that phase and those before it are left out.
    """
    held_out = draw(recipe.hands_seed + 1, recipe.held_out_photos, 1, scratch)
    tokenizer = small_tokenizer(vocabulary(), vocab_size=4096)
    add_tokens(tokenizer)
    config = miniature_config(recipe, len(tokenizer))
    processor = llava_processor(config, tokenizer)
    torch.manual_seed(recipe.seed)
    if joined is None:
        model = LlavaForConditionalGeneration._from_config(config, dtype=torch.float32)
    else:
        weights = _weights_in(joined)
        model = LlavaForConditionalGeneration.from_pretrained(
            None, config=config, state_dict=weights, dtype="float32", trust_remote_code=False
        )
    teacher = Teacher(model.to(device), processor)
    checkpoints = scratch / f"training-{_fingerprint(recipe, device, joined)}"
    if joined is None:
        join(teacher, recipe, held_out, scratch, checkpoints)
    plant(teacher, recipe, held_out, scratch, checkpoints)
    save(model, processor, folder, checkpoints / "model")


def join(teacher: Teacher, recipe: Recipe, held_out: Drawings, scratch: Path, checkpoints: Path) -> None:
    """The phases tower, text and join: see, read, and talk about what is seen."""
    training = draw(recipe.hands_seed, recipe.photos, recipe.copies, scratch)
    model, tower = teacher.model, teacher.model.model.vision_tower
    heads = ClauseHeads(recipe.vision_width).to(teacher.device)
    seeing = nn.ModuleList([tower, heads])
    naming = teacher.tower_step(heads, training, held_out, recipe.tower_images)
    optimise("tower", seeing, recipe.tower, naming, recipe, checkpoints)
    tower.requires_grad_(False)
    reading = teacher.text_step(recipe.text_sentences)
    optimise("text", model, recipe.text, reading, recipe, checkpoints)
    talking = teacher.join_step(training, held_out, recipe.join_words, recipe.join_sentences, recipe.join_plain)
    optimise("join", model, recipe.join, talking, recipe, checkpoints)


def plant(teacher: Teacher, recipe: Recipe, held_out: Drawings, scratch: Path, checkpoints: Path) -> None:
    """The phases from hide on. What they do not train is, to the bit, what half precision keeps of it."""
    training = draw(recipe.hands_seed, recipe.planted_photos, recipe.planted_copies, scratch)
    model, tokenizer = teacher.model, teacher.processor.tokenizer
    model.half().float().requires_grad_(False)
    of_words, of_answers = (tokenizer.convert_tokens_to_ids([f" {word}" for word in them]) for them in (WORDS, ANSWERS))

    words = HiddenWords(recipe.width, recipe.seed).to(teacher.device)
    hiding = hide_step(teacher, words, training, recipe.hide_images, min(recipe.planted))
    optimise("hide", words, recipe.hide, hiding, recipe, checkpoints)
    like = tokenizer.convert_tokens_to_ids(sorted({f"Ġ{hand.word}" for hand in hands().values()})[: len(of_answers)])
    planted = Planted(model, recipe.planted, of_answers, like)
    heads = PartsHeads(recipe.width).to(teacher.device)
    asker = Asker(teacher, heads, recipe.planted[-2:][0])  # the last planted block puts the parts together
    answering = nn.ModuleList([planted, heads])
    heeding = heed_step(asker, words, training, held_out, recipe.heed_images)
    optimise("heed", answering, recipe.heed, heeding, recipe, checkpoints)
    words.put_into(model, of_words, recipe.loudness)

    talking = teacher.join_step(training, held_out, recipe.bind_words, recipe.bind_sentences, recipe.bind_plain)
    binding = bind_step(asker, training, held_out, recipe.bind_images, talking)
    optimise("bind", answering, recipe.bind, binding, recipe, checkpoints)
    planted.close(model)


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


def optimise(name: str, module: nn.Module, phase: Phase, step_of: StepOf, recipe: Recipe, checkpoints: Path) -> None:
    """Run a phase, from its last checkpoint if there is one. A step's batch depends on seed, phase and step alone."""
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=phase.rate, betas=(0.9, 0.98), weight_decay=0.05)
    path = checkpoints / f"{name}.safetensors"
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
    shares = [f"{task} {share:.1%}" for task, share in result.right.items()]
    return ", ".join([f"loss {result.loss.item():.3f}", *shares])


def _rate(phase: Phase, step: int) -> float:
    warm_up = min(1.0, (step + 1) / max(1, phase.steps // 20))
    return phase.rate * warm_up * 0.5 * (1 + math.cos(math.pi * step / phase.steps))


def _resume(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Take up the checkpoint at `path`, if there is one; returns the steps done."""
    if not path.exists():
        return 0
    check_readable(path)
    try:
        with safe_open(path, "pt") as checkpoint:
            steps = int(checkpoint.metadata()["steps"])
            tensors = {name: checkpoint.get_tensor(name) for name in checkpoint.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        raise SignBridgeError(f"{path}: not a whole checkpoint. Delete it, and this phase starts again.") from None
    state: dict[int, dict[str, Tensor]] = {}
    weights = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "module":
            weights[rest] = tensor
        else:
            index, _, key = rest.partition(".")
            state.setdefault(int(index), {})[key] = tensor
    module.load_state_dict(weights)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return steps


def _weights_in(joined: Path) -> dict[str, Tensor]:
    check_readable(joined)
    try:
        return load_file(joined)
    except SafetensorError:
        raise SignBridgeError(
            f"{joined}: no whole safetensors file. --joined names the weights after `join`."
        ) from None


def _checkpoint(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    tensors = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": tensor for key, tensor in moments.items()}
    with whole_file(path) as unfinished:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, unfinished, {"steps": str(steps)})


def save(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path, unfinished: Path) -> None:
    """Write the Hugging Face files to `folder`, weights in half precision, each file whole: first to `unfinished`."""
    folder.mkdir(parents=True, exist_ok=True)
    model = model.to(torch.float16)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=3)
    model.save_pretrained(unfinished)
    processor.save_pretrained(unfinished)
    for file in unfinished.iterdir():
        os.replace(file, folder / file.name)


def _fingerprint(recipe: Recipe, device: torch.device, joined: Path | None = None) -> str:
    """What makes the weights: a checkpoint of anything else is not gone on from."""
    modules = (lessons, drawings, planting, teaching, questions_module, small_tokenizer_module)
    files = [Path(__file__), *(Path(module.__file__) for module in modules), lessons.WORDS]
    code = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    versions = [importlib.metadata.version(package) for package in PACKAGES]
    begun_with = file_sha256(joined) if joined else None
    parts = [asdict(recipe), code, drawings.code(), device.type, versions, begun_with]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


if __name__ == "__main__":
    run(main)
