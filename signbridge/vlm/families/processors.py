"""Processors that run without torchvision: images are prepared by Pillow and NumPy, videos not at all.

Transformers gives some processors with torchvision alone, which must fit PyTorch to the build: those with a part for
videos, and Pixtral's, which uses it for nothing that is needed here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import no_type_check

from transformers import AutoProcessor, PreTrainedConfig, ProcessorMixin
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.models.smolvlm import processing_smolvlm

VIDEOS = "video_processor"


def processor_in(folder: Path, config: PreTrainedConfig) -> ProcessorMixin:
    """The processor that lies in `folder` with the model of `config`."""
    known = PROCESSOR_MAPPING[type(config)] if type(config) in PROCESSOR_MAPPING else None  # noqa: SIM401
    kind = AutoProcessor
    if getattr(getattr(config, "vision_config", None), "model_type", None) == "pixtral":
        kind = PixtralProcessor
    elif known is not None and VIDEOS in known.get_attributes():
        kind = without_videos(known)
    return kind.from_pretrained(folder, backend="pil", local_files_only=True, trust_remote_code=False)


def without_videos(kind: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """A kind of processor, of images and text alone."""
    if kind is processing_smolvlm.SmolVLMProcessor:
        return SmolVLMProcessor
    parts = [part for part in kind.get_attributes() if part != VIDEOS]
    return type(kind.__name__, (kind,), {"get_attributes": classmethod(lambda _: parts)})


class SmolVLMProcessor(processing_smolvlm.SmolVLMProcessor):
    """SmolVLM's, which is not made without a package that only the words around its videos need."""

    @no_type_check  # Transformers looks up the names of its arguments
    def __init__(self, image_processor, tokenizer, image_seq_len=169, chat_template=None, **kwargs):
        processing_smolvlm.num2words = processing_smolvlm.num2words or str
        super().__init__(image_processor, tokenizer, None, image_seq_len, chat_template, **kwargs)


class PixtralProcessor(ProcessorMixin):
    """Pixtral's (`transformers.models.pixtral`), restated: one token a patch, and one behind each row."""

    @no_type_check  # Transformers looks up the names of its arguments
    def __init__(
        self,
        image_processor,
        tokenizer,
        patch_size=16,
        spatial_merge_size=1,
        chat_template=None,
        image_token="[IMG]",
        image_break_token="[IMG_BREAK]",
        image_end_token="[IMG_END]",
    ):
        super().__init__(image_processor, tokenizer, chat_template=chat_template)
        self.patch_size, self.spatial_merge_size = patch_size, spatial_merge_size
        self.image_token, self.image_break_token, self.image_end_token = image_token, image_break_token, image_end_token
        self.image_token_id = tokenizer.convert_tokens_to_ids(image_token)
        self.image_break_token_id = tokenizer.convert_tokens_to_ids(image_break_token)
        self.image_end_token_id = tokenizer.convert_tokens_to_ids(image_end_token)

    @property
    def image_token_ids(self) -> list[int]:
        """What stands for an image: its patches, and the ends of rows and of the whole."""
        return [self.image_token_id, self.image_break_token_id, self.image_end_token_id]

    def _process_images(self, images, **how):
        return super()._process_images(images, **{**how, "patch_size": self.patch_size * self.spatial_merge_size})

    def replace_image_token(self, image_inputs: Mapping, image_idx: int, **_) -> str:
        """The tokens of one image, whose size in pixels its processor gives."""
        height, width = (
            side // (self.patch_size * self.spatial_merge_size) for side in image_inputs["image_sizes"][image_idx]
        )
        row = self.image_token * width
        return self.image_break_token.join([row] * height) + self.image_end_token
