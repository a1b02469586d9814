"""What is frozen is computed once an image, and losses and gradients are those of whole passes; else it is not kept."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from signbridge.datasets.images import encode_png
from signbridge.finetune import frozen, training_step
from signbridge.finetune.settings import Recipe
from signbridge.finetune.training import examples
from signbridge.finetune.training_step import Example, Trainer
from signbridge.vlm.catalog import FolderModel, Model
from signbridge.vlm.extraction import Reader
from signbridge.vlm.families.adapted import adapted_layers
from signbridge.vlm.loading import load
from tests.vlm import other_families
from tests.vlm.conftest import CPU, PROMPT, tiny_random

RECIPE = Recipe(
    r=4, alpha=8.0, dropout=0.0, lr=0.1, warm_up=0.1, batch=2, epochs=1.0, looks=1, patience=1, checkpointing=False
)
# A whole pass for each: positions of three axes, features added between blocks, tokens that see ahead, and positions
# that are added before block 0.
WHOLE = {"qwen2-vl", "qwen2-5-vl", "qwen3-vl", "gemma3", "paligemma", "blip-2"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("families")


def entry_of(folders: Path, family: str) -> FolderModel:
    if not (folders / family).exists():
        other_families.ALL_WRITERS[family](folders / family)
    return FolderModel(
        source="folder", path=str(folders / family), quantization="none", dequantize="never", dtype="float32",
        prompt=other_families.PROMPTS[family], max_new_tokens=3,
    )  # fmt: skip


def trainer(
    entry: Model, scratch: Path, prompt: str, first: int, last_width: int = 56, **changes: bool
) -> tuple[Trainer, list[Example]]:
    """Ready to tune the blocks from `first` on, after one step, so that no adapter is zero."""
    reader = Reader(load(entry, scratch, CPU), prompt, 4, 2)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 56, 56), dtype=np.uint8)
    pngs = [encode_png(image) for image in (*pixels[:3], pixels[3, :, :last_width])]
    todo = examples(reader, pngs, ["fist", "xyz"] * 2)
    layers = adapted_layers(reader.loaded.model, reader.loaded.parts, range(first, len(reader.loaded.parts.blocks)))
    tuning = Trainer(reader, layers, RECIPE.model_copy(update=changes), 3, 2, todo)
    tuning.step(0, 9, todo[:2])
    return tuning, todo


def losses_and_gradients(tuning: Trainer, todo: list[Example]) -> Iterator[torch.Tensor]:
    losses, _ = tuning._losses(todo[:2])
    yield losses
    yield from torch.autograd.grad(losses.sum(), list(tuning.weights.values()))


def check_alike(entry: Model, scratch: Path, prompt: str, first: int, monkeypatch, **changes: bool) -> Trainer:
    tuning, todo = trainer(entry, scratch, prompt, first, **changes)
    monkeypatch.setattr(frozen, "MOST_BYTES", 0)
    whole, _ = trainer(entry, scratch, prompt, first, **changes)
    assert not whole.frozen
    pairs = zip(losses_and_gradients(tuning, todo), losses_and_gradients(whole, todo), strict=True)
    for kept, exact in pairs:
        torch.testing.assert_close(kept, exact, atol=1e-5, rtol=1e-3)
        assert exact.abs().max() > 0
    return tuning


@pytest.mark.parametrize("first", [pytest.param(0, marks=pytest.mark.slow), 7])
def test_losses_and_gradients_are_those_of_whole_passes_and_each_image_is_read_once(model_scratch, monkeypatch, first):
    read = []
    decoded = training_step.decoded
    monkeypatch.setattr(training_step, "decoded", lambda pngs: read.extend(pngs) or decoded(pngs))
    tuning, todo = trainer(tiny_random(), model_scratch, PROMPT, first)
    tuning.look(todo)
    assert read == [example.png for example in todo]
    assert len(tuning.frozen) == len(todo)
    check_alike(tiny_random(), model_scratch, PROMPT, first, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("family", list(other_families.ALL_WRITERS))
def test_so_they_are_in_every_family_that_needs_nothing_else_of_the_image(folders, monkeypatch, family, first):
    entry = entry_of(folders, family)
    tuning = check_alike(entry, folders, entry.prompt, first, monkeypatch)
    assert bool(tuning.frozen) == (family not in WHOLE)


@pytest.mark.slow
def test_so_they_are_with_checkpointing(model_scratch, monkeypatch):
    assert check_alike(tiny_random(), model_scratch, PROMPT, 7, monkeypatch, checkpointing=True).frozen


@pytest.mark.slow
def test_of_prompts_of_several_lengths_nothing_is_kept(folders):
    entry = entry_of(folders, "pixtral")
    tuning, todo = trainer(entry, folders, entry.prompt, 1, last_width=28)
    assert not tuning.frozen
    assert np.isfinite(tuning.look(todo).loss)
