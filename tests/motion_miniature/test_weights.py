"""The shipped motion miniature is what its card says: its size, and what it names of clips by signers it never saw."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from safetensors import safe_open

from benchmarks.motion_miniature import read_clips
from models.motion_miniature.lessons import FRAME, MOVEMENT_PROMPT, MOVEMENTS, SHAPE_PROMPT, SHAPES
from models.motion_miniature.teaching import OPPOSITE
from signbridge.clips.rendered_motion import RenderedMotionParams, draw_clip, recordings
from signbridge.clips.table import Clip
from signbridge.vlm.catalog import FolderModel
from signbridge.vlm.loading import LoadedModel, load

FOLDER = Path("models/motion_miniature")
ENTRY = FolderModel.model_validate(YAML(typ="safe").load(Path("models.yaml").read_text())["motion-miniature"])
UNSEEN = RenderedMotionParams(source="rendered_motion", seed=404, signers=2, clips_per_sign=2)


@pytest.fixture(scope="module")
def miniature(tmp_path_factory) -> LoadedModel:
    """The shipped model, loaded as the study loads it."""
    return load(ENTRY, tmp_path_factory.mktemp("scratch"), torch.device("cpu"))


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    """Two clips of each sign of the pairs."""
    return [draw_clip(UNSEEN, one) for one in recordings(UNSEEN) if one.sign.kind != "letter"]


def answers(miniature: LoadedModel, clips: list[Clip], orders: np.ndarray, prompt: str = MOVEMENT_PROMPT) -> np.ndarray:
    """What is said about the clips, each with its frames in its order: a row a clip."""
    frames = [np.stack(clip.read().images)[order] for clip, order in zip(clips, orders, strict=True)]
    return read_clips(miniature, np.stack(frames), prompt).answers


@pytest.fixture(scope="module")
def in_order(clips) -> np.ndarray:
    """The frames' numbers as they are, a row a clip."""
    return np.tile(np.arange(8), (len(clips), 1))


def test_it_names_the_movement_of_frames_in_order_and_that_of_the_other_sign_backwards(miniature, clips, in_order):
    said = answers(miniature, clips, in_order)
    assert np.mean(said == [MOVEMENTS[clip.movement] for clip in clips]) > 0.8
    backwards = answers(miniature, clips, in_order[:, ::-1])
    assert np.mean(backwards == [MOVEMENTS[OPPOSITE[clip.movement]] for clip in clips]) > 0.8


def test_it_names_the_movement_of_shuffled_frames_no_better_than_a_coin(miniature, clips, in_order):
    said = answers(miniature, clips, np.random.default_rng(0).permuted(in_order, axis=1))
    assert np.mean(said == [MOVEMENTS[clip.movement] for clip in clips]) < 0.7


def test_it_still_names_the_shape(miniature, clips, in_order):
    said = answers(miniature, clips, in_order, SHAPE_PROMPT)
    assert np.mean(said == [SHAPES[clip.shape] for clip in clips]) > 0.6


def test_the_catalog_asks_what_it_was_taught():
    assert ENTRY.prompt.replace("<image>\n", FRAME) == MOVEMENT_PROMPT.format(clip=FRAME)


def test_it_is_a_llava_of_six_blocks_and_sixteen_tokens_a_frame_in_half_precision(miniature):
    config = miniature.model.config
    assert (config.model_type, config.image_seq_length, len(miniature.parts.blocks)) == ("llava", 16, 6)
    assert (FOLDER / "model.safetensors").stat().st_size <= 10e6
    with safe_open(FOLDER / "model.safetensors", "pt") as weights:
        assert {weights.get_slice(name).get_dtype() for name in weights.keys()} == {"F16"}  # noqa: SIM118
