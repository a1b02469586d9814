"""Models of the classes that pretrained autoencoders belong to, with small random weights, as Hugging Face folders.

The layout is that of the published ones; of their tokenizers, only what the processors ask for.
"""

from pathlib import Path

import torch
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    Gemma3TextConfig,
    GemmaConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    LlavaProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    SiglipVisionConfig,
)

from signbridge.vlm.random_weights import WORDS, small_tokenizer

WIDTH, BLOCKS, SIDE, PATCH = 32, 3, 28, 7
PROMPTS = {
    "llava-gemma": "user\n<image>\nDescribe the hand. model\n",
    "gemma3": "user\n<start_of_image>Describe the hand. model\n",
    "llava-next": "user\n<image>\nDescribe the hand. model\n",
}

_VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
           "image_size": SIDE, "patch_size": PATCH}  # fmt: skip
_TEXT = {"vocab_size": 512, "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": BLOCKS,
         "num_attention_heads": 4, "max_position_embeddings": 512, "bos_token_id": 1, "eos_token_id": 2,
         "pad_token_id": 3}  # fmt: skip


def write_llava_gemma(folder: Path) -> None:
    """LLaVA with Gemma for its text, as Intel/llava-gemma-2b: its repository does not say how long an image is."""
    text = GemmaConfig(**_TEXT, num_key_value_heads=1, head_dim=8)
    vision = CLIPVisionConfig(**_VISION, projection_dim=32)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=4, image_seq_length=16)
    tokenizer = _tokenizer({"image_token": "<image>"})
    processor = LlavaProcessor(CLIPImageProcessorPil(**_clip_sizes()), tokenizer, image_token="<image>")
    _write(folder, LlavaForConditionalGeneration, config, processor)


def write_gemma3(folder: Path) -> None:
    """Gemma 3 with SigLIP: image tokens see each other, and every second block looks back a few tokens only."""
    text = Gemma3TextConfig(
        **_TEXT, num_key_value_heads=2, head_dim=8, sliding_window=4, query_pre_attn_scalar=8,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    )  # fmt: skip
    tokenizer = _tokenizer(
        {"image_token": "<image>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"},
        ["<start_of_image>", "<end_of_image>"],
    )
    config = Gemma3Config(
        text_config=text, vision_config=SiglipVisionConfig(**_VISION, vision_use_head=False), mm_tokens_per_image=4,
        image_token_index=tokenizer.image_token_id, boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
    )  # fmt: skip
    processor = Gemma3Processor(
        Gemma3ImageProcessorPil(size={"height": SIDE, "width": SIDE}), tokenizer, image_seq_length=4
    )
    _write(folder, Gemma3ForConditionalGeneration, config, processor)


def write_llava_next(folder: Path) -> None:
    """LLaVA-NeXT with Llama: an image is a whole and up to four tiles, with a token at the end of each row."""
    text = LlamaConfig(**_TEXT, num_key_value_heads=2)
    grid = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(**_VISION, projection_dim=32), text_config=text, image_token_id=4,
        image_grid_pinpoints=grid,
    )  # fmt: skip
    tokenizer = _tokenizer({"image_token": "<image>"})
    images = LlavaNextImageProcessorPil(**_clip_sizes(), image_grid_pinpoints=grid)
    processor = LlavaNextProcessor(images, tokenizer, patch_size=PATCH, vision_feature_select_strategy="default")
    _write(folder, LlavaNextForConditionalGeneration, config, processor)


WRITERS = {"llava-gemma": write_llava_gemma, "gemma3": write_gemma3, "llava-next": write_llava_next}


def _clip_sizes() -> dict[str, dict[str, int]]:
    return {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}


def _tokenizer(named: dict[str, str], added: list[str] = []) -> PreTrainedTokenizerFast:  # noqa: B006
    tokenizer = small_tokenizer([WORDS], vocab_size=500)
    tokenizer.add_tokens(added, special_tokens=True)
    backend = tokenizer.backend_tokenizer
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        extra_special_tokens=named, padding_side="left",
    )  # fmt: skip


def _write(
    folder: Path, model_class: type[PreTrainedModel], config: PreTrainedConfig, processor: ProcessorMixin
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = model_class(config)
        for name, parameter in model.named_parameters():  # the library draws them too small to tell tokens apart
            if parameter.dim() > 1 and "embed" not in name:
                torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=3)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
