"""What families with video input do with a clip, and its frames made ready without torchvision.

Transformers has one class a family that makes frames ready, all of them with torchvision, which must fit PyTorch to the
build; some cannot even be imported. Here Pillow and NumPy do the same: by the library's defaults, and by the files that
lie with the model. The processor writes the frames' tokens, and their times, as it does with its own class. Where a
frame is made larger or smaller, Pillow rounds to whole grey levels, as torchvision does not have to.

What is not restated: choosing frames (they are chosen once, where clips are made) and Qwen's `cap_pixels_per_frame`,
which its published files do not set.
"""

import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from transformers import BatchFeature, PreTrainedConfig
from transformers.image_utils import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

Size = tuple[int, int]  # height and width, in pixels


class Video(NamedTuple):
    """What a family does with a clip."""

    defaults: dict[str, Any]  # of the library's class, where the model's files say none
    token: str = "video_token_id"  # the key of the configuration that names the token of a clip
    behind: int = 0  # tokens of that kind behind those of the last frame, which are no frame's


_CLIP = {"image_mean": OPENAI_CLIP_MEAN, "image_std": OPENAI_CLIP_STD, "resample": Image.Resampling.BICUBIC}
_HALVES = {"image_mean": IMAGENET_STANDARD_MEAN, "image_std": IMAGENET_STANDARD_STD}
_SQUARE = {**_CLIP, "size": {"height": 384, "width": 384}}
_CROPPED = {**_CLIP, "size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}, "do_center_crop": True}
_IN_TIME = {"temporal_patch_size": 2, "merge_size": 2, "resample": Image.Resampling.BICUBIC}
_QWEN2 = {
    **_CLIP, **_IN_TIME, "patch_size": 14, "size": {"shortest_edge": 128 * 28**2, "longest_edge": 768 * 28**2}
}  # fmt: skip
_QWEN3 = {
    **_HALVES, **_IN_TIME, "patch_size": 16, "size": {"shortest_edge": 128 * 32**2, "longest_edge": 768 * 32**2}
}  # fmt: skip
_SMOLVLM = {
    **_HALVES, "resample": Image.Resampling.LANCZOS, "size": {"longest_edge": 4 * 364},
    "max_image_size": {"longest_edge": 364},
}  # fmt: skip
VIDEO = {  # by the model_type of the configuration
    "llava_onevision": Video(_SQUARE, behind=1),
    "llava_next_video": Video(_CROPPED),
    "qwen2_vl": Video(_QWEN2),
    "qwen2_5_vl": Video(_QWEN2),
    "qwen3_vl": Video(_QWEN3),
    "internvl": Video(_SQUARE, token="image_token_id"),
    "smolvlm": Video(_SMOLVLM, token="image_token_id"),
}
# What keeps a frame whole where a clip is read as several images, which by default would be tiles each.
WHOLE = {
    "idefics3": {"do_image_splitting": False},
    "smolvlm": {"do_image_splitting": False},
    "internvl": {"crop_to_patches": False},
}
_NAMED = ("size", "crop_size", "max_image_size", "image_mean", "image_std", "rescale_factor", "resample", "patch_size",
          "temporal_patch_size", "merge_size", "do_center_crop")  # fmt: skip
_FILES = ("video_preprocessor_config.json", "preprocessor_config.json")


class FrameProcessor:
    """Makes the frames of clips ready for one model; the part for videos of its processor."""

    def __init__(self, family: str, said: dict[str, Any]):
        """`said` is what the model's files say, by the library's names."""
        told = {name: value for name, value in said.items() if value is not None}
        settings = {name: {**VIDEO[family].defaults, **told}.get(name) for name in _NAMED}
        self.family = family
        self.size: dict[str, int] = _with_limits(settings["size"], said)
        self.crop_size: dict[str, int] | None = settings["crop_size"] if settings["do_center_crop"] else None
        self.max_image_size: dict[str, int] | None = settings["max_image_size"]
        self.mean, self.std = (np.array(settings[name], np.float32) for name in ("image_mean", "image_std"))
        self.scale = settings["rescale_factor"] or 1 / 255
        self.resample = Image.Resampling(settings["resample"])
        self.patch_size: int | None = settings["patch_size"]
        self.merge_size: int | None = settings["merge_size"]
        self.temporal_patch_size: int = settings["temporal_patch_size"] or 1

    def __call__(
        self,
        videos: Sequence[Sequence[Image.Image]],
        video_metadata: Any = None,
        num_frames: int | None = None,
        **_: Any,
    ) -> BatchFeature:
        """The frames of each clip as the model takes them in; frames of one clip, and in one batch, are of one size.

        `num_frames` is how many the whole clip has, if others than these: a family may make a frame the larger, the
        fewer there are.
        """
        clips = [self._frames(video, num_frames or len(video)) for video in videos]
        if self.family.startswith("qwen"):
            made = [self._patches(clip) for clip in clips]
            grids = torch.tensor([grid for _, grid in made])
            found = {"pixel_values_videos": torch.cat([patches for patches, _ in made]), "video_grid_thw": grids}
        else:
            name = "pixel_values" if self.family == "smolvlm" else "pixel_values_videos"
            found = {name: torch.stack([torch.from_numpy(clip) for clip in clips])}
        return BatchFeature({**found, "video_metadata": list(video_metadata)})

    def _frames(self, video: Sequence[Image.Image], whole: int) -> np.ndarray:
        """The frames of a clip, frames x 3 x height x width, in float32."""
        return np.stack([self._frame(frame.convert("RGB"), whole) for frame in video])

    def _frame(self, frame: Image.Image, whole: int) -> np.ndarray:
        for height, width in self.sizes(frame.height, frame.width, whole):
            frame = frame.resize((width, height), self.resample)
        if self.crop_size is not None:
            height, width = self.crop_size["height"], self.crop_size["width"]
            top, left = (frame.height - height) // 2, (frame.width - width) // 2
            frame = frame.crop((left, top, left + width, top + height))
        pixels = (np.asarray(frame, np.float64) * self.scale).astype(np.float32)
        return ((pixels - self.mean) / self.std).transpose(2, 0, 1)

    def sizes(self, height: int, width: int, frames: int) -> list[Size]:
        """The sizes that a frame is brought to, one after the other, in a clip of so many frames."""
        size = self.size
        if self.family.startswith("qwen"):
            factor, limits = self.patch_size * self.merge_size, (size["shortest_edge"], size["longest_edge"])
            if self.family != "qwen3_vl":
                return [smart_resize(height, width, factor, *limits)]
            return [_of_volume(frames, height, width, self.temporal_patch_size, factor, *limits)]
        if self.family == "smolvlm":
            side = self.max_image_size["longest_edge"]
            return [_longest(height, width, size["longest_edge"]), (side, side)]
        if "shortest_edge" in size:
            short, long = size["shortest_edge"], int(size["shortest_edge"] * max(height, width) / min(height, width))
            return [(short, long) if height <= width else (long, short)]
        return [(size["height"], size["width"])]

    def _patches(self, clip: np.ndarray) -> tuple[torch.Tensor, list[int]]:
        """Patches in time and place, as Qwen's towers take them: patches x pixels, and how many in each direction."""
        in_time, merge, side = self.temporal_patch_size, self.merge_size, self.patch_size
        clip = np.concatenate([clip, *[clip[-1:]] * (-len(clip) % in_time)])
        frames, colours, height, width = clip.shape
        grid = [frames // in_time, height // side, width // side]
        across = clip.reshape(
            grid[0], in_time, colours, grid[1] // merge, merge, side, grid[2] // merge, merge, side
        ).transpose(0, 3, 6, 4, 7, 2, 1, 5, 8)
        return torch.from_numpy(across.reshape(grid[0] * grid[1] * grid[2], -1)), grid


def frame_processor(folder: Path, config: PreTrainedConfig) -> FrameProcessor | None:
    """What makes frames ready for the model of `config`, as the files in `folder` say; None where it takes no video."""
    return FrameProcessor(config.model_type, _said(folder)) if config.model_type in VIDEO else None


def _said(folder: Path) -> dict[str, Any]:
    """What the files say, in the order in which the library looks; of images, where nothing is said of videos."""
    together = _json(folder / "processor_config.json")
    apart = [file for file in map(partial(Path.joinpath, folder), _FILES) if file.is_file()]
    if "video_processor" in together or not apart:
        return together.get("video_processor") or together.get("image_processor") or {}
    return _json(apart[0])


def _json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _with_limits(size: dict[str, int] | int, said: dict[str, Any]) -> dict[str, int]:
    """The size as the library has it: SmolVLM's may stand with how it chooses frames, Qwen's as numbers of pixels."""
    size = said.get("video_sampling", {}).get("video_size", size)
    if isinstance(size, int):
        return {"height": size, "width": size}
    limits = {"shortest_edge": said.get("min_pixels"), "longest_edge": said.get("max_pixels")}
    return {**size, **{name: pixels for name, pixels in limits.items() if pixels is not None}}


def _of_volume(frames: int, height: int, width: int, in_time: int, factor: int, least: int, most: int) -> Size:
    """Qwen3-VL's: sides are multiples of `factor`, and pixels of all frames together lie between two limits."""
    frames += -frames % in_time  # an odd last frame is doubled
    enlarge = max(1, factor / height, factor / width)
    height, width = int(height * enlarge), int(width * enlarge)
    high, wide = (round(side / factor) * factor for side in (height, width))
    volume = frames * height * width
    if frames * high * wide > most:
        beta = (volume / most) ** 0.5
        return tuple(max(factor, math.floor(side / beta / factor) * factor) for side in (height, width))
    if frames * high * wide < least:
        beta = (least / volume) ** 0.5
        return tuple(math.ceil(side * beta / factor) * factor for side in (height, width))
    return high, wide


def _longest(height: int, width: int, side: int) -> Size:
    """SmolVLM's: the longer side as long as that, the other in proportion and even."""
    side = min(side, 4096)
    other = max(1, int(side * min(height, width) / max(height, width)))
    other += other % 2
    return (other, side) if width >= height else (side, other)


def in_words(number: int) -> str:
    """An English number below a thousand, as SmolVLM's prompt has the number of frames: `twenty-one`."""
    if number >= 1000:
        return str(number)
    if number >= 100:
        rest = f" and {in_words(number % 100)}" if number % 100 else ""
        return f"{_UP_TO_19[number // 100]} hundred{rest}"
    if number >= 20:
        rest = f"-{_UP_TO_19[number % 10]}" if number % 10 else ""
        return f"{_TENS[number // 10 - 2]}{rest}"
    return _UP_TO_19[number]


_UP_TO_19 = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
             "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
