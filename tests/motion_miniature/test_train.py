"""The training: a killed run goes on to the same weights, and only what is planted knows the order of frames."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML
from safetensors.torch import load_file

from models.miniature.train import Phase
from models.motion_miniature import train as training
from models.motion_miniature.drawings import FRAMES, Drawings, draw
from models.motion_miniature.lessons import CLIP, MOVEMENT_PROMPT, MOVEMENTS, SHAPES, answers, place_of
from models.motion_miniature.teaching import OPPOSITE, Teacher
from models.motion_miniature.train import Recipe, train
from signbridge.clips.movements import SIGNS, moments
from tests.miniature.killed import killed_after

CPU = torch.device("cpu")
SMALL = Recipe(
    signers=1,
    clips_per_sign=1,
    held_out_signers=1,
    held_out_clips_per_sign=1,
    kinds=("order",),
    vision_width=32,
    vision_blocks=1,
    width=32,
    blocks=3,
    tower=Phase(steps=2, rate=1e-3),
    tower_clips=4,
    join=Phase(steps=3, rate=1e-3),
    join_clips=2,
    join_stills=2,
    planted=(1,),
    plant=Phase(steps=2, rate=1e-2),
    plant_clips=4,
    plant_join_clips=2,
    plant_join_stills=1,
    steps_per_checkpoint=2,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A very small miniature, trained for a few steps in one go; its scratch lies beside it."""
    folder = tmp_path_factory.mktemp("trained")
    train(SMALL, folder / "model", folder / "scratch", CPU)
    return folder


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    """A teacher of an untrained small model."""
    torch.manual_seed(0)
    return training.new_teacher(SMALL, CPU)


def test_a_killed_training_goes_on_to_the_same_weights(trained, tmp_path, monkeypatch):
    for clips in (trained / "scratch").glob("clips-*.npz"):
        (tmp_path / "scratch").mkdir(exist_ok=True)
        (tmp_path / "scratch" / clips.name).write_bytes(clips.read_bytes())

    with killed_after(2, monkeypatch):  # in the midst of `join`
        train(SMALL, tmp_path / "model", tmp_path / "scratch", CPU)
    train(SMALL, tmp_path / "model", tmp_path / "scratch", CPU)
    weights = [folder / "model" / "model.safetensors" for folder in (tmp_path, trained)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_only_the_planted_blocks_and_the_rows_of_the_words_learn_the_movement(trained):
    [checkpoint] = (trained / "scratch").glob("training-*/join.safetensors")
    before = {name.removeprefix("module."): weight for name, weight in load_file(checkpoint).items()}
    after = load_file(trained / "model" / "model.safetensors")
    teacher = training.new_teacher(SMALL, CPU)
    rows = teacher.rows_of(list(MOVEMENTS.values()))
    changed = {name for name, weight in after.items() if not torch.equal(weight, _called(before, name).half())}
    assert any("layers.1." in name for name in changed)
    assert all("layers.1." in name or "lm_head" in name for name in changed)
    [head] = [name for name in after if "lm_head" in name]
    moved = (after[head] != _called(before, head).half()).any(dim=1).nonzero().flatten().tolist()
    assert set(moved) <= set(rows)


def _called(weights: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    """The files name the tower's and the decoder's weights a little otherwise than the modules do."""
    for before, after in (("language_model.model.", "model.language_model."), ("language_model.lm_head", "lm_head")):
        if name.startswith(before):
            name = name.replace(before, after, 1)
    return weights[name if name in weights else f"model.{name}"]


def test_movement_is_taught_from_what_the_whole_model_passes_on(trained, teacher):
    drawn = draw(SMALL.clips_seed, 1, 1, trained / "scratch", SMALL.kinds)
    few = Drawings(*(column[:2] for column in drawn))
    upper, stream = teacher.upper(1), teacher.streams(few, 1).float()
    with torch.no_grad():
        read_once = upper(inputs_embeds=stream, use_cache=False).last_hidden_state[:, -1]
        ids = torch.tensor([teacher.tokens(MOVEMENT_PROMPT, FRAMES)] * 2)
        whole = teacher.model.model(input_ids=ids, pixel_values=teacher.pixels(few.images)).last_hidden_state[:, -1]
    torch.testing.assert_close(read_once, whole, atol=2e-2, rtol=2e-2)


def test_lessons_look_to_the_model_as_a_prompt_about_several_images_does(teacher):
    images = np.random.default_rng(0).integers(0, 256, (FRAMES, 56, 56), dtype=np.uint8)
    rgb = [Image.fromarray(image).convert("RGB") for image in images]
    asked = teacher.processor(images=rgb, text=[MOVEMENT_PROMPT.format(clip=CLIP)], return_tensors="pt")
    assert asked["input_ids"][0].tolist() == teacher.tokens(MOVEMENT_PROMPT, FRAMES)
    torch.testing.assert_close(teacher.pixels(images), asked["pixel_values"])


def test_every_answer_is_one_token(teacher):
    tokenizer = teacher.processor.tokenizer
    assert [tokenizer.decode([row]) for row in teacher.rows_of(answers())] == [f" {word}" for word in answers()]


def test_every_sign_has_a_word_for_its_shape_and_one_for_its_movement():
    assert {sign.shape for sign in SIGNS.values()} <= SHAPES.keys()
    assert {sign.movement for sign in SIGNS.values()} == MOVEMENTS.keys()
    assert len(set(answers())) == len({*SHAPES.values()}) + len(MOVEMENTS) + 5


@pytest.mark.parametrize("sign", [sign for sign in SIGNS.values() if sign.kind in ("path", "order")], ids=str)
def test_a_clip_backwards_is_taught_as_the_movement_that_it_shows(sign):
    [other] = [one for one in SIGNS.values() if (one.shape, one.movement) == (sign.shape, OPPOSITE[sign.movement])]
    np.testing.assert_allclose(np.array(moments(sign, 8))[::-1, 1:], np.array(moments(other, 8))[:, 1:], atol=1e-9)


def test_places_are_named_as_a_map_is():
    assert [place_of(*at) for at in ((0, 0), (0.1, 0.05), (-0.1, 0), (0, 0.2), (0.1, -0.2))] == [
        "Centre", "East", "West", "South", "North"
    ]  # fmt: skip


def test_no_study_draws_the_clips_of_the_lessons():
    datasets = YAML(typ="safe").load(Path("datasets.yaml").read_text(encoding="utf-8"))
    studied = {entry["seed"] for entry in datasets.values() if entry["source"] == "rendered_motion"}
    assert studied
    assert studied.isdisjoint({Recipe().clips_seed, Recipe().clips_seed + 1})


def test_another_seed_is_another_training(tmp_path):
    assert training._fingerprint(SMALL, CPU) != training._fingerprint(dataclasses.replace(SMALL, seed=1), CPU)
