"""Frames are made ready as the library makes an image ready, and as the files of a model say."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoConfig, CLIPImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from signbridge.vlm.families.processors import processor_in
from signbridge.vlm.families.video import VIDEO, WHOLE, FrameProcessor, frame_processor, in_words
from tests.vlm import other_families

FAMILIES = {config: config.replace("_", "-") for config in VIDEO}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("video")


def frame(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("family", VIDEO)
def test_a_frame_is_to_the_byte_what_the_librarys_own_processor_makes_of_an_image(family, folders):
    """Whole, by Pillow: its processors of videos want torchvision."""
    folder = folders / family
    other_families.CLIP_WRITERS[FAMILIES[family]](folder)
    processor = processor_in(folder, AutoConfig.from_pretrained(folder, trust_remote_code=False))
    size = (28, 42) if family.startswith("qwen") else (40, 25)
    pictures = [frame(*size), frame(*size, 1)]
    made = processor.video_processor([pictures[:1]], [None])
    name = next(name for name in made if name.startswith("pixel_values"))
    whole = WHOLE.get(family, {})
    prepare = processor.image_processor
    if (
        family == "llava_next_video"
    ):  # whose images are squeezed into a square, and frames are cropped, as CLIP's images
        prepare = CLIPImageProcessorPil(**other_families._clip_sizes())
    of_image = prepare(pictures[:1], return_tensors="pt", **whole)
    expected = of_image["pixel_values"]
    if family.startswith("qwen"):
        assert made["video_grid_thw"].tolist() == of_image["image_grid_thw"].tolist()
        assert torch.equal(made[name], expected)
    else:
        assert torch.equal(made[name][0, 0], expected.flatten(0, -4)[0])
        both = processor.video_processor([pictures], [None])[name]
        assert torch.equal(both[0, 0], made[name][0, 0])
        assert not torch.equal(both[0, 0], both[0, 1])


def test_two_frames_of_qwen_are_one_patch_in_time_the_first_before_the_second():
    frames = FrameProcessor("qwen2_vl", {"min_pixels": 28**2, "max_pixels": 28**2})
    one, other = frame(28, 28), frame(28, 28, 1)
    pair = frames([[one, other]], [None])["pixel_values_videos"].reshape(4, 3, 2, 14, 14)
    alone = frames([[one]], [None])["pixel_values_videos"].reshape(4, 3, 2, 14, 14)
    assert torch.equal(alone[:, :, 0], alone[:, :, 1]), "an odd last frame is doubled"
    assert torch.equal(pair[:, :, 0], alone[:, :, 0])
    assert not torch.equal(pair[:, :, 1], alone[:, :, 1])


@pytest.mark.parametrize(
    ("files", "side"),
    [
        ({}, 384),
        ({"preprocessor_config.json": {"size": {"height": 20, "width": 20}}}, 20),
        ({"processor_config.json": {"image_processor": {"size": {"height": 24, "width": 24}}}}, 24),
        ({"preprocessor_config.json": {"size": {"height": 20, "width": 20}},
          "video_preprocessor_config.json": {"size": {"height": 32, "width": 32}}}, 32),
        ({"video_preprocessor_config.json": {"size": {"height": 32, "width": 32}},
          "processor_config.json": {"video_processor": {"size": {"height": 40, "width": 40}}}}, 40),
    ],
)  # fmt: skip
def test_what_is_said_of_videos_counts_before_what_is_said_of_images(tmp_path, files, side):
    for name, said in files.items():
        (tmp_path / name).write_text(json.dumps(said))
    config = AutoConfig.for_model("llava_onevision")
    assert frame_processor(tmp_path, config).sizes(28, 28, 4) == [(side, side)]


def test_sizes_are_those_of_the_published_settings():
    qwen2 = FrameProcessor("qwen2_5_vl", {"min_pixels": 3136, "max_pixels": 12845056})
    assert qwen2.sizes(480, 640, 16) == [smart_resize(480, 640, 28, 3136, 12845056)] == [(476, 644)]
    qwen3 = FrameProcessor("qwen3_vl", {"size": {"shortest_edge": 4096, "longest_edge": 25165824}})
    assert qwen3.sizes(480, 640, 16) == [(480, 640)]
    assert qwen3.sizes(1080, 1920, 16) == [(928, 1664)]  # 16 frames of 1088 x 1920 would be 33 million pixels
    smolvlm = {"video_sampling": {"video_size": {"longest_edge": 512}}, "max_image_size": {"longest_edge": 512}}
    assert FrameProcessor("smolvlm", smolvlm).sizes(480, 640, 16) == [(384, 512), (512, 512)]
    cropped = FrameProcessor("llava_next_video", {"size": {"shortest_edge": 336}, "do_center_crop": False})
    assert cropped.sizes(480, 640, 16) == [(336, 448)]
    assert cropped.crop_size is None


def test_frames_of_qwen3_vl_are_made_larger_by_what_the_whole_clip_has():
    frames = FrameProcessor("qwen3_vl", {})
    assert frames.sizes(56, 56, 16) == [(96, 96)]  # 16 frames of that size are 147,456 pixels: the least is 131,072
    assert frames.sizes(56, 56, 1) == frames.sizes(56, 56, 2) == [(256, 256)]


def test_numbers_are_written_as_english_has_them():
    written = {0: "zero", 8: "eight", 16: "sixteen", 20: "twenty", 32: "thirty-two", 64: "sixty-four",
               100: "one hundred", 128: "one hundred and twenty-eight", 1000: "1000"}  # fmt: skip
    assert {number: in_words(number) for number in written} == written
