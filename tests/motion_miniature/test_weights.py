"""The shipped motion miniature is what its card says: its size, and what it names of clips by signers it never saw."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from safetensors import safe_open

from benchmarks.motion_miniature import Read, read_clips
from models.motion_miniature.lessons import CLIP, MOVEMENT_PROMPT, MOVEMENTS, SHAPE_PROMPT, SHAPES
from models.motion_miniature.teaching import OPPOSITE
from signbridge.clips.rendered_motion import RenderedMotionParams, draw_clip, recordings
from signbridge.clips.table import Clip
from signbridge.motion.reading import ClipPrompts
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


@pytest.fixture(scope="module")
def read(miniature, clips) -> dict[str, Read]:
    """What comes of the clips, each with its frames in order, backwards and in an order drawn for it."""
    order = np.tile(np.arange(8), (len(clips), 1))
    orders = {"in order": order, "backwards": order[:, ::-1]}
    orders["shuffled"] = np.random.default_rng(0).permuted(order, axis=1)
    return {name: read_clips(miniature, frames_in(clips, of), MOVEMENT_PROMPT) for name, of in orders.items()}


def frames_in(clips: list[Clip], orders: np.ndarray) -> np.ndarray:
    """The frames of each clip in its order."""
    return np.stack([np.stack(clip.read().images)[order] for clip, order in zip(clips, orders, strict=True)])


@pytest.mark.slow
def test_it_names_the_movement_of_frames_in_order_and_that_of_the_other_sign_backwards(read, clips):
    assert np.mean(read["in order"].answers == [MOVEMENTS[clip.movement] for clip in clips]) > 0.8
    assert np.mean(read["backwards"].answers == [MOVEMENTS[OPPOSITE[clip.movement]] for clip in clips]) > 0.8


@pytest.mark.slow
def test_it_names_the_movement_of_shuffled_frames_no_better_than_a_coin(read, clips):
    assert np.mean(read["shuffled"].answers == [MOVEMENTS[clip.movement] for clip in clips]) < 0.7


@pytest.mark.slow
def test_another_order_of_frames_changes_the_end_of_the_prompt_from_the_planted_blocks_on_and_little_before(read):
    """As a share of the variance over clips."""
    moved = []
    for site, stream in read["in order"].streams.items():
        other = read["shuffled"].streams[site]
        moved.append(np.square(stream - other).mean() / stream.var(axis=0).mean())
    assert max(moved[:2]) < 0.05
    assert min(moved[3:]) > 0.5


def test_it_still_names_the_shape(miniature, clips):
    some = clips[::3]
    said = read_clips(miniature, frames_in(some, np.tile(np.arange(8), (len(some), 1))), SHAPE_PROMPT).answers
    assert np.mean(said == [SHAPES[clip.shape] for clip in some]) > 0.6


def test_the_study_asks_about_a_clip_as_it_was_taught(miniature):
    asked = ClipPrompts(miniature.processor, miniature.model.config, ENTRY.prompt, "auto", 8, lambda clip: [])
    assert asked.prompt == MOVEMENT_PROMPT.format(clip=CLIP)


def test_it_is_a_llava_of_six_blocks_and_sixteen_tokens_a_frame_in_half_precision(miniature):
    config = miniature.model.config
    assert (config.model_type, config.image_seq_length, len(miniature.parts.blocks)) == ("llava", 16, 6)
    assert (FOLDER / "model.safetensors").stat().st_size <= 10e6
    with safe_open(FOLDER / "model.safetensors", "pt") as weights:
        assert {weights.get_slice(name).get_dtype() for name in weights.keys()} == {"F16"}  # noqa: SIM118
