"""Train the motion miniature, from nothing but the `rendered_motion` clips and the words in `lessons.py`.

    python -m models.motion_miniature.train                     # about 20 minutes on one core, five of them to draw

The tower learns to see hand shape and place in stills; then, the tower frozen, the decoder learns to name the shape of
clips and the shape and place in stills, for which the order of frames is of no use. Then movement is planted where its
depth is known: all weights are rounded to half precision, and two blocks alone learn to name the movement of a clip
from the order of its frames. Progress goes to the terminal, with loss and accuracy on held-out signers' clips.
Killed, it goes on from its last checkpoint below .scratch/, to the same weights.

Environment: SIGNBRIDGE_DEVICE (cpu, cuda, cuda:1).
"""

import argparse
import hashlib
import importlib.metadata
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn
from transformers import LlavaConfig, LlavaForConditionalGeneration

from models.miniature.planting import Planted
from models.miniature.train import PACKAGES, Phase, optimise, save
from models.miniature.train import miniature_config as like_miniature
from models.motion_miniature import lessons, teaching
from models.motion_miniature.drawings import ALL, SIDE, draw
from models.motion_miniature.lessons import MOVEMENTS, PLACES, SHAPES, vocabulary
from models.motion_miniature.teaching import SeeingHeads, Teacher
from signbridge.clips.movements import Kind
from signbridge.core.command_line import run
from signbridge.vlm.loading import device_from_environment
from signbridge.vlm.random_weights import llava_processor, small_tokenizer

FOLDER = Path(__file__).parent
SCRATCH = Path(".scratch/motion_miniature")
PATCH = 14


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights."""

    seed: int = 2026  # of the weights' start and of every batch
    clips_seed: int = 5000  # of `rendered_motion`, for training; held-out clips, of other signers, have the next
    signers: int = 200
    clips_per_sign: int = 200
    held_out_signers: int = 12
    held_out_clips_per_sign: int = 24
    kinds: tuple[Kind, ...] = ALL  # of signs
    vision_width: int = 128
    vision_blocks: int = 4
    width: int = 128
    blocks: int = 6
    tower: Phase = field(default=Phase(steps=2200, rate=1e-3))
    tower_clips: int = 48  # a step, two stills of each
    join: Phase = field(default=Phase(steps=300, rate=1e-3))
    join_clips: int = 6  # a step, each in order and in another
    join_stills: int = 16  # a step, each under both questions
    planted: tuple[int, ...] = (2, 3)  # the blocks that learn to name the movement, 0-based
    plant: Phase = field(default=Phase(steps=600, rate=1e-3))
    plant_clips: int = 32  # a step
    plant_join_clips: int = 2  # as `join_clips`, so that what was known is kept
    plant_join_stills: int = 4
    steps_per_checkpoint: int = 100


def main() -> None:
    """Train with the default recipe and write the model's files beside this one."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    train(Recipe(), FOLDER, SCRATCH, device_from_environment())


def train(recipe: Recipe, folder: Path, scratch: Path, device: torch.device) -> None:
    """Train `recipe` and write config, weights (float16), tokenizer and processor to `folder`."""
    seed, kinds = recipe.clips_seed, recipe.kinds
    training = draw(seed, recipe.signers, recipe.clips_per_sign, scratch, kinds)
    held_out = draw(seed + 1, recipe.held_out_signers, recipe.held_out_clips_per_sign, scratch, kinds)
    teacher = new_teacher(recipe, device)
    model = teacher.model
    checkpoints = scratch / f"training-{_fingerprint(recipe, device)}"
    tower, heads = model.model.vision_tower, SeeingHeads(recipe.vision_width).to(device)

    seeing = teacher.tower_step(heads, training, held_out, recipe.tower_clips)
    optimise("tower", nn.ModuleList([tower, heads]), recipe.tower, seeing, recipe, checkpoints)
    tower.requires_grad_(False)
    below = min(recipe.planted)
    talking = teacher.join_step(training, held_out, recipe.join_clips, recipe.join_stills, below)
    optimise("join", model, recipe.join, talking, recipe, checkpoints)

    # What is not trained from here on is, to the bit, what half precision keeps of it.
    model.half().float().requires_grad_(False)
    of_answers, like = (
        teacher.rows_of(list(MOVEMENTS.values())),
        teacher.rows_of(list(dict.fromkeys([*SHAPES.values(), *PLACES]))),
    )
    planted = Planted(model, recipe.planted, of_answers, like[: len(of_answers)])
    keeping = teacher.join_step(training, held_out, recipe.plant_join_clips, recipe.plant_join_stills, below)
    naming = teacher.plant_step(training, held_out, below, recipe.plant_clips, keeping)
    optimise("plant", planted, recipe.plant, naming, recipe, checkpoints)
    planted.close(model)
    save(model, teacher.processor, folder, checkpoints / "model")


def new_teacher(recipe: Recipe, device: torch.device) -> Teacher:
    """A model that has learnt nothing, and who teaches it."""
    tokenizer = small_tokenizer(vocabulary(), vocab_size=1024)
    config = miniature_config(recipe, len(tokenizer))
    torch.manual_seed(recipe.seed)
    model = LlavaForConditionalGeneration._from_config(config, dtype=torch.float32)
    return Teacher(model.to(device), llava_processor(config, tokenizer))


def miniature_config(recipe: Recipe, tokens: int) -> LlavaConfig:
    """That of the miniature for still hands, with larger patches: 16 image tokens a frame."""
    config = like_miniature(recipe, tokens)
    config.vision_config.patch_size, config.image_seq_length = PATCH, (SIDE // PATCH) ** 2
    return config


def _fingerprint(recipe: Recipe, device: torch.device) -> str:
    """What makes the weights: a checkpoint of anything else is not gone on from."""
    files = [Path(__file__), *(Path(module.__file__) for module in (lessons, teaching))]
    code = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    versions = [importlib.metadata.version(package) for package in PACKAGES]
    return hashlib.sha256(json.dumps([asdict(recipe), code, device.type, versions]).encode()).hexdigest()[:12]


if __name__ == "__main__":
    run(main)
