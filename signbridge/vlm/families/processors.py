"""Processors that run without torchvision and take a batch as others do.

Transformers gives some processors with torchvision alone, which must fit PyTorch to the build: those with a part for
videos, and Pixtral's, which uses it for nothing that is needed here. Here Pillow and NumPy prepare images, and the
frames of videos (`video.py`). BLIP's put padding between an image and its prompt, which moves them apart; here it
stands before both.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import no_type_check

import transformers
from transformers import AutoProcessor, BatchFeature, PreTrainedConfig, ProcessorMixin
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.models.smolvlm import processing_smolvlm

from signbridge.vlm.families.blip import QUERYING
from signbridge.vlm.families.video import frame_processor, in_words

VIDEOS = "video_processor"


def processor_in(folder: Path, config: PreTrainedConfig) -> ProcessorMixin:
    """The processor that lies in `folder` with the model of `config`."""
    known = PROCESSOR_MAPPING[type(config)] if type(config) in PROCESSOR_MAPPING else None  # noqa: SIM401
    kind = AutoProcessor
    if getattr(getattr(config, "vision_config", None), "model_type", None) == "pixtral":
        kind = PixtralProcessor
    elif config.model_type in QUERYING:
        kind = InstructBlipProcessor if config.model_type == "instructblip" else Blip2Processor
    elif known is not None and VIDEOS in known.get_attributes():
        kind = without_videos(known)
    processor = kind.from_pretrained(folder, backend="pil", local_files_only=True, trust_remote_code=False)
    if config.model_type in QUERYING and processor.num_query_tokens is None:  # as in older repositories
        processor.num_query_tokens = config.num_query_tokens
    if (of_frames := frame_processor(folder, config)) is not None:
        processor.video_processor = of_frames
    return processor


def without_videos(kind: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """A kind of processor, made of its parts for images and text alone."""
    if kind is processing_smolvlm.SmolVLMProcessor:
        return SmolVLMProcessor
    if kind is transformers.LlavaNextVideoProcessor:
        return LlavaNextVideoProcessor
    parts = [part for part in kind.get_attributes() if part != VIDEOS]
    return type(kind.__name__, (kind,), {"get_attributes": classmethod(lambda _: parts)})


class SmolVLMProcessor(processing_smolvlm.SmolVLMProcessor):
    """SmolVLM's, which is not made without a package that only the words around its videos need."""

    @no_type_check  # Transformers looks up the names of its arguments
    def __init__(self, image_processor, tokenizer, image_seq_len=169, chat_template=None, **kwargs):
        processing_smolvlm.num2words = processing_smolvlm.num2words or in_words
        super().__init__(image_processor, tokenizer, None, image_seq_len, chat_template, **kwargs)


class LlavaNextVideoProcessor(transformers.LlavaNextVideoProcessor):
    """LLaVA-NeXT-Video's, whose part for videos comes first where it is made."""

    @no_type_check  # as above
    def __init__(
        self,
        image_processor,
        tokenizer,
        chat_template=None,
        patch_size=None,
        vision_feature_select_strategy=None,
        video_token="<video>",
        image_token="<image>",
        num_additional_image_tokens=0,
        **kwargs,
    ):
        self.patch_size, self.num_additional_image_tokens = patch_size, num_additional_image_tokens
        self.vision_feature_select_strategy = vision_feature_select_strategy
        for name, token in (("image_token", image_token), ("video_token", video_token)):
            token = getattr(tokenizer, name, token)
            setattr(self, name, token)
            setattr(self, f"{name}_id", tokenizer.convert_tokens_to_ids(token))
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


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


class Blip2Processor(transformers.Blip2Processor):
    """BLIP-2's: the image stands before the prompt, wherever the prompt has its `<image>`."""

    @no_type_check  # as above
    def __init__(self, image_processor, tokenizer, num_query_tokens=None, **kwargs):
        super().__init__(image_processor, tokenizer, num_query_tokens, **kwargs)
        _name_image_token(self)

    def __call__(self, images=None, text=None, padding=False, **_) -> BatchFeature:
        """One image a prompt, as tensors."""
        return _with_image_first(self, images, text, padding)


class InstructBlipProcessor(transformers.InstructBlipProcessor):
    """InstructBLIP's: as BLIP-2's, with the prompt once more for the Q-Former."""

    @no_type_check  # as above
    def __init__(self, image_processor, tokenizer, qformer_tokenizer, num_query_tokens=None, **kwargs):
        super().__init__(image_processor, tokenizer, qformer_tokenizer, num_query_tokens, **kwargs)
        _name_image_token(self)

    def __call__(self, images=None, text=None, padding=False, **_) -> BatchFeature:
        """One image a prompt, as tensors."""
        read = self.qformer_tokenizer(_without_image(self, text), padding=padding, return_tensors="pt")
        for_queries = {"qformer_input_ids": read["input_ids"], "qformer_attention_mask": read["attention_mask"]}
        return BatchFeature({**_with_image_first(self, images, text, padding), **for_queries})


def _name_image_token(processor: ProcessorMixin) -> None:
    processor.image_token = str(processor.image_token)
    processor.image_token_id = processor.tokenizer.convert_tokens_to_ids(processor.image_token)


def _without_image(processor: ProcessorMixin, text: list[str]) -> list[str]:
    return [prompt.replace(processor.image_token, "") for prompt in text]


def _with_image_first(processor: ProcessorMixin, images: list, text: list[str], padding: bool) -> BatchFeature:
    image = [processor.image_token_id] * processor.num_query_tokens
    prompts = processor.tokenizer(_without_image(processor, text))["input_ids"]
    ids = processor.tokenizer.pad(
        {"input_ids": [image + prompt for prompt in prompts]}, padding=padding, return_tensors="pt"
    )
    pixels = processor.image_processor([of for of_prompt in images for of in of_prompt], return_tensors="pt")
    return BatchFeature({**ids, **pixels})
