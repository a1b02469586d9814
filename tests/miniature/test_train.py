"""The training: a killed run goes on to the same weights, and what is taught is what the study will ask."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import LlavaForConditionalGeneration

from models.miniature import train as training
from models.miniature.drawings import SIZES, draw
from models.miniature.lessons import SENTENCE_PROMPT, WORD_PROMPT, vocabulary
from models.miniature.teaching import IGNORED, Teacher
from models.miniature.train import Phase, Recipe, miniature_config, train
from signbridge.rendered.dataset import RenderedParams, render
from signbridge.vlm.catalog import FolderModel
from signbridge.vlm.loading import load
from signbridge.vlm.random_weights import llava_processor, small_tokenizer
from tests.miniature.killed import killed_after

CPU = torch.device("cpu")
SMALL = Recipe(
    photos=1,
    copies=1,
    held_out_photos=1,
    vision_width=32,
    vision_blocks=2,
    width=32,
    blocks=2,
    tower=Phase(steps=4, rate=1e-3),
    tower_images=8,
    text=Phase(steps=3, rate=1e-3),
    text_sentences=4,
    join=Phase(steps=4, rate=1e-3),
    join_words=4,
    join_sentences=4,
    join_plain=2,
    planted=(1,),
    planted_photos=1,
    planted_copies=1,
    hide=Phase(steps=2, rate=1e-2),
    hide_images=1,
    heed=Phase(steps=1, rate=1e-3),
    heed_images=1,
    bind=Phase(steps=2, rate=1e-3),
    bind_images=2,
    bind_words=1,
    bind_sentences=1,
    bind_plain=1,
    steps_per_checkpoint=2,
)
FILES = {
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A very small miniature, trained for a few steps in one go; its scratch lies beside it."""
    folder = tmp_path_factory.mktemp("trained")
    train(SMALL, folder / "model", folder / "scratch", CPU)
    return folder


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    """A teacher of an untrained small model."""
    tokenizer = small_tokenizer(vocabulary(), vocab_size=4096)
    config = miniature_config(SMALL, len(tokenizer))
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration._from_config(config, dtype=torch.float32)
    return Teacher(model, llava_processor(config, tokenizer))


def entry(folder: Path) -> FolderModel:
    return FolderModel(
        source="folder",
        path=str(folder),
        quantization="none",
        dequantize="never",
        dtype="float32",
        prompt=WORD_PROMPT,
        max_new_tokens=4,
    )


def test_the_files_are_those_of_a_hugging_face_folder_in_half_precision(trained):
    assert {path.name for path in (trained / "model").iterdir()} == FILES
    assert json.loads((trained / "model/config.json").read_text())["dtype"] == "float16"


def test_the_files_are_loaded_as_any_model_is(trained):
    loaded = load(entry(trained / "model"), trained, CPU)
    assert len(loaded.parts.blocks) == SMALL.blocks


@pytest.mark.parametrize("checkpoints", [1, 3, 5])
def test_a_killed_training_goes_on_to_the_same_weights(trained, tmp_path, monkeypatch, checkpoints):
    with killed_after(checkpoints, monkeypatch):
        train(SMALL, tmp_path / "model", tmp_path / "scratch", CPU)
    assert not (tmp_path / "model").exists()
    train(SMALL, tmp_path / "model", tmp_path / "scratch", CPU)
    for file in FILES:
        assert (tmp_path / "model" / file).read_bytes() == (trained / "model" / file).read_bytes(), file


def test_another_seed_trains_anew(trained, monkeypatch):
    folders = set((trained / "scratch").glob("training-*"))
    train(dataclasses.replace(SMALL, seed=1), trained / "other", trained / "scratch", CPU)
    assert len(set((trained / "scratch").glob("training-*")) - folders) == 1
    weights = [(trained / name / "model.safetensors").read_bytes() for name in ("model", "other")]
    assert weights[0] != weights[1]


@pytest.mark.parametrize("module", ["lessons", "drawings", "teaching", "small_tokenizer_module"])
def test_a_checkpoint_of_other_code_is_not_gone_on_from(tmp_path, monkeypatch, module):
    before = training._fingerprint(SMALL, CPU)
    edited = tmp_path / "edited.py"
    edited.write_text(Path(getattr(training, module).__file__).read_text() + "# a remark")
    monkeypatch.setattr(getattr(training, module), "__file__", str(edited))
    assert training._fingerprint(SMALL, CPU) != before


def test_a_checkpoint_that_cannot_be_read_says_what_to_do(trained, tmp_path):
    scratch = tmp_path / "scratch"
    train(SMALL, tmp_path / "model", scratch, CPU)
    broken = next(scratch.glob("training-*/text.safetensors"))
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(training.SignBridgeError, match=r"text\.safetensors: .*Delete it"):
        train(SMALL, tmp_path / "model", scratch, CPU)


def test_a_small_image_is_enlarged_as_the_processor_enlarges_it(teacher, tmp_path):
    dataset = render(RenderedParams(source="rendered", seed=3, size=SIZES[0], photos=1, copies=1))
    rgb = [Image.fromarray(image.pixels).convert("RGB") for image in dataset]
    asked = teacher.processor(images=rgb, text=[WORD_PROMPT] * len(rgb), return_tensors="pt")
    drawn = draw(seed=3, photos=1, copies=1, scratch=tmp_path, workers=1)
    torch.testing.assert_close(teacher.pixels(drawn.images[:, 0]), asked["pixel_values"])


@pytest.mark.parametrize("prompt", [WORD_PROMPT, SENTENCE_PROMPT])
def test_lessons_look_to_the_model_as_the_studys_prompts_do(teacher, prompt):
    images = np.random.default_rng(0).integers(0, 256, (2, 56, 56), dtype=np.uint8)
    batch = teacher.conversations(prompt, images, ["Fist", "Peace"])
    rgb = [Image.fromarray(image).convert("RGB") for image in images]
    asked = teacher.processor(images=rgb, text=[prompt] * 2, return_tensors="pt")
    length = asked["input_ids"].shape[1]
    torch.testing.assert_close(batch.input_ids[:, :length], asked["input_ids"], rtol=0, atol=0)
    torch.testing.assert_close(batch.pixel_values, asked["pixel_values"])
    said = teacher.processor.tokenizer.batch_decode(batch.input_ids[:, length:])
    assert said == [" Fist</s>", " Peace</s>"]


def test_only_the_answers_are_learnt(teacher):
    images = np.zeros((2, 56, 56), dtype=np.uint8)
    answers = ["Fist", "All four fingers are bent."]
    batch = teacher.conversations(SENTENCE_PROMPT, images, answers)
    learnt = [row[row != IGNORED] for row in batch.labels]
    assert teacher.processor.tokenizer.batch_decode(learnt) == [f" {answer}</s>" for answer in answers]


def test_a_text_is_right_only_if_all_of_it_is(teacher):
    batch = teacher.tokens(["All four fingers are bent.", "All four fingers are up."])
    wanted = batch.labels.clamp(min=0)[:, 1:]

    class Says:
        """A model that says `self.tokens` whatever it is given."""

        def __init__(self, tokens):
            self.tokens = tokens

        def __call__(self, **_):
            ahead = torch.nn.functional.pad(self.tokens, (0, 1))
            return type("Output", (), {"logits": torch.nn.functional.one_hot(ahead, 600).float()})

    for wrong, expected in ((None, [True, True]), (0, [False, True]), (1, [True, False])):
        tokens = wanted.clone()
        if wrong is not None:
            tokens[wrong, 3] += 1
        other = Teacher.__new__(Teacher)
        other.model = Says(tokens)
        assert other.said(batch).right.tolist() == expected


def test_the_rate_warms_up_and_ends_at_nothing():
    phase = Phase(steps=100, rate=1.0)
    rates = [training._rate(phase, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == pytest.approx(rates[4], abs=0.01)
    assert rates[-1] < 0.001
