"""Clips as a model takes them in, and the work of reading them: every site, at the prompt's end and frame by frame.

A family with video input gets frames with their times, as one video. Others get as many images as frames, in one
prompt. `<image>` in a model's prompt stands for the whole clip in either case. All frames of a clip have one size, and
share its tokens evenly; where a family merges frames in time, two make one group of tokens.
"""

import re
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import BatchFeature, PreTrainedConfig, ProcessorMixin
from transformers.video_utils import VideoMetadata

from signbridge.core.errors import SignBridgeError
from signbridge.core.params import MOTION
from signbridge.motion.frames import Seen
from signbridge.motion.settings import ReadAs
from signbridge.vlm.answering import Means
from signbridge.vlm.extraction import Reader, Work, sites_and_answers
from signbridge.vlm.families.blip import QUERYING
from signbridge.vlm.families.parts import Parts, completed
from signbridge.vlm.families.video import VIDEO, WHOLE
from signbridge.vlm.library_errors import first_line
from signbridge.vlm.memory import first_batch_size
from signbridge.vlm.work_list import batches_of_one_length

VIDEO_MEAN = "video_mean"
MILLISECONDS = 1000


def frame_mean(group: int) -> str:
    """The position of the mean over one frame's tokens, or those of one patch in time: `frame_mean_03`."""
    return f"frame_mean_{group:02d}"


def read_as(wanted: ReadAs, family: str) -> str:
    """`video` or `images`: how a model of that `model_type` reads clips.

    Raises `SignBridgeError` if `video` is wanted of a family that has none here.
    """
    if wanted == "auto":
        return "video" if family in VIDEO else "images"
    if wanted == "video" and family not in VIDEO:
        raise SignBridgeError(
            f"read_as: video, but a model of family '{family}' takes no video here. Those that do: "
            f"{', '.join(sorted(VIDEO))}. Set read_as: images in stages/motion/params.yaml."
        )
    return wanted


class ClipPrompts:
    """Makes of clips what one model takes in; weights play no part."""

    def __init__(
        self,
        processor: ProcessorMixin,
        config: PreTrainedConfig,
        prompt: str,
        wanted: ReadAs,
        frames: int,
        load: Callable[[Seen], list],
    ):
        """`prompt` is the model's own, with its image token once; `frames` are seen at a time, and `load` gives them.

        Raises `SignBridgeError` if the family cannot take so many.
        """
        self.processor, self.config, self.frames, self.load = processor, config, frames, load
        self.family = config.model_type
        self.read_as = read_as(wanted, self.family)
        if frames > 1 and self.family in QUERYING:
            raise SignBridgeError(
                f"a model of family '{self.family}' reads one image a prompt, so no clip of {frames} frames. Choose "
                f"another `model` in {MOTION}: what order adds needs several images in one prompt."
            )
        of_video = VIDEO[self.family] if self.read_as == "video" else None
        of_image = "image_token_index" if self.family in QUERYING else "image_token_id"
        self.token_id: int = getattr(config, of_video.token if of_video else of_image)
        self.behind = 0 if of_video is None else of_video.behind
        self.merged: int = 1 if of_video is None else processor.video_processor.temporal_patch_size
        self.prompt = self._of_video(prompt) if of_video else self._of_images(prompt)

    @property
    def groups(self) -> int:
        """How many groups of tokens a clip has: as many as frames, or half of them where two are one patch in time."""
        return -(-self.frames // self.merged)

    def _of_video(self, prompt: str) -> str:
        image, video = self.processor.image_token, self.processor.video_token
        # In SmolVLM's chat template a space stands before a video, and none before an image.
        return prompt.replace(f"User:{image}", f"User: {image}").replace(image, video)

    def _of_images(self, prompt: str) -> str:
        """The image's mark as often as there are frames, with what the chat template puts around each."""
        start, end = (getattr(self.processor, f"vision_{side}_token", "") for side in ("start", "end"))
        mark = rf"(?:{re.escape(start)})?{re.escape(self.processor.image_token)}(?:{re.escape(end)})?\n?"
        return re.sub(mark, lambda found: found[0] * self.frames, prompt)

    def prepare(self, items: list[Seen]) -> BatchFeature:
        """What the model takes in for a batch, on the CPU. Without padding there is no attention mask.

        Raises `SignBridgeError` if the processor cuts the prompt short, or does not take so many images.
        """
        frames, texts = [self.load(item) for item in items], [self.prompt] * len(items)
        if self.read_as == "video":
            told = {"video_metadata": [metadata(item) for item in items], "num_frames": items[0].whole}
            given = {"videos": frames, "videos_kwargs": told}
        else:
            given = {"images": frames, **WHOLE.get(self.family, {})}
        try:
            inputs = self.processor(text=texts, return_tensors="pt", padding=True, **given)
        except ValueError as error:
            raise SignBridgeError(
                f"models.yaml: <model>.prompt: its processor does not take it with {self.frames} frames "
                f"({first_line(error)}). If its settings cut texts short (truncation, max_length), take that out."
            ) from None
        if inputs["attention_mask"].all():
            del inputs["attention_mask"]
        return inputs

    def tokens(self, item: Seen) -> int:
        """How long a prompt with that clip is."""
        return self.prepare([item])["input_ids"].shape[1]

    def tokens_of_groups(self, input_ids: Tensor) -> list[Bool[Tensor, "batch tokens"]]:
        """Which tokens are those of each frame, or of each patch in time."""
        is_clip = input_ids == self.token_id
        count = int(is_clip[0].sum()) - self.behind
        each, left = divmod(count, self.groups)
        if left or not each or not (is_clip.sum(1) == count + self.behind).all():
            raise AssertionError(f"{count} tokens of {self.groups} frames, in one batch {is_clip.sum(1).tolist()}")
        number = (is_clip.cumsum(1) - 1) // each
        return [is_clip & (number == group) for group in range(self.groups)]

    def means_of(self, parts: Parts, inputs: Mapping[str, Tensor]) -> Means:
        """`video_mean` over all tokens of a clip, and `frame_mean_NN` over those of each frame where it has several."""
        ids = inputs["input_ids"]
        groups = self.tokens_of_groups(ids)
        several = {frame_mean(number): chosen for number, chosen in enumerate(groups) if len(groups) > 1}

        def of_features(features: Float[Tensor, "*rows width"]) -> dict[str, Float[Tensor, "batch width"]]:
            vectors = features.flatten(0, -2)
            by_group = vectors.reshape(len(ids), len(groups), -1, vectors.shape[-1])
            means = by_group.mean(dim=2, dtype=torch.float32)
            return {VIDEO_MEAN: means.mean(dim=1), **{name: means[:, row] for row, name in enumerate(several)}}

        return Means({VIDEO_MEAN: ids == self.token_id, **several}, of_features)


def metadata(item: Seen) -> VideoMetadata:
    """The times of the places of a clip, as if it were a video of a thousand frames a second.

    Of which the frames are evenly spread over its whole length, the last one's time included.
    """
    count = len(item.times)
    length = item.times[-1] * count / (count - 1) if count > 1 else 1.0
    return VideoMetadata(
        total_num_frames=max(1, round(length * MILLISECONDS)),
        fps=MILLISECONDS,
        duration=length,
        frames_indices=[round(time * MILLISECONDS) for time in item.times],
        width=item.size[0],
        height=item.size[1],
    )


def clips_work(reader: Reader, prompts: ClipPrompts) -> Work:
    """Of clips: every site at every position, by `site.position`, clips x width, and the answers.

    Clips of one batch have frames of one size.
    """
    work = sites_and_answers(reader, means_of=prompts.means_of)

    def prepare(items: list[Seen]) -> BatchFeature:
        return BatchFeature(completed(reader.loaded.parts, prompts.prepare(items)))

    def batches(items: list[Seen], most: int) -> list[list[Seen]]:
        return batches_of_one_length(items, [item.size for item in items], most)

    return work._replace(prepare=prepare, batches=batches)


def fit_batch(reader: Reader, tokens: int) -> None:
    """Lower how many a reader takes at once to what should fit of prompts of so many tokens."""
    fitting = first_batch_size(reader.loaded.model, tokens, reader.max_new_tokens)
    reader.batch_size = min(reader.batch_size, fitting)
