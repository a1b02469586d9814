"""Models of every family's own classes, with small random weights, as Hugging Face folders.

The layout is that of the published ones; of their tokenizers, only what the processors ask for. Torchvision is not
installed here, so images are prepared by the processors' Pillow backends, and no processor has its part for videos.
"""

from pathlib import Path

import torch
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    BlipImageProcessorPil,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    Gemma2Config,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    Gemma3TextConfig,
    GemmaConfig,
    GenerationConfig,
    GotOcr2ImageProcessorPil,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    LlavaNextVideoConfig,
    LlavaNextVideoForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessorPil,
    LlavaOnevisionProcessor,
    LlavaProcessor,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    MistralConfig,
    OPTConfig,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    PixtralImageProcessorPil,
    PixtralVisionConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Config,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    Qwen2VLProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessorPil,
    SmolVLMProcessor,
)

from signbridge.vlm.families.processors import (
    Blip2Processor,
    InstructBlipProcessor,
    LlavaNextVideoProcessor,
    PixtralProcessor,
    without_videos,
)
from signbridge.vlm.random_weights import WORDS, small_tokenizer

WIDTH, BLOCKS, SIDE, PATCH = 32, 3, 28, 7
PROMPTS = {
    "llava-gemma": "user\n<image>\nDescribe the hand. model\n",
    "gemma3": "user\n<start_of_image>Describe the hand. model\n",
    "llava-next": "user\n<image>\nDescribe the hand. model\n",
    "llava-next-video": "user\n<image>\nDescribe the hand. model\n",
    "llava-onevision": "user\n<image>\nDescribe the hand. model\n",
    "qwen2-vl": "user\n<|vision_start|><|image_pad|><|vision_end|>Describe the hand. model\n",
    "qwen2-5-vl": "user\n<|vision_start|><|image_pad|><|vision_end|>Describe the hand. model\n",
    "qwen3-vl": "user\n<|vision_start|><|image_pad|><|vision_end|>Describe the hand. model\n",
    "internvl": "user\n<IMG_CONTEXT>\nDescribe the hand. model\n",
    "smolvlm": "User:<image>Describe the hand.\nAssistant:",
    "idefics3": "User:<image>Describe the hand.\nAssistant:",
    "paligemma": "<image>Describe the hand.",
    "mistral3": "[INST]Describe the hand.[IMG][/INST]",
    "pixtral": "[INST]Describe the hand.[IMG][/INST]",
    "instructblip": "<image>Describe the hand.",
    "blip-2": "<image>Question: Describe the hand. Answer:",
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


def write_llava_next_video(folder: Path) -> None:
    """LLaVA-NeXT-Video with Llama: as LLaVA-NeXT; of a clip, four vectors of the tower make one token."""
    grid = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
    tokenizer = _tokenizer({"image_token": "<image>", "video_token": "<video>"}, ["<video>"])
    config = LlavaNextVideoConfig(
        vision_config=CLIPVisionConfig(**_VISION, projection_dim=32),
        text_config=LlamaConfig(**_TEXT, num_key_value_heads=2), image_grid_pinpoints=grid,
        image_token_index=tokenizer.image_token_id, video_token_index=tokenizer.video_token_id,
    )  # fmt: skip
    images = LlavaNextImageProcessorPil(**_clip_sizes(), image_grid_pinpoints=grid)
    processor = LlavaNextVideoProcessor(
        images, tokenizer, patch_size=PATCH, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )
    _write(folder, LlavaNextVideoForConditionalGeneration, config, processor)


def write_llava_onevision(folder: Path) -> None:
    """LLaVA-OneVision with Qwen2: as LLaVA-NeXT, from a tower without a class token."""
    grid = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
    tokenizer = _tokenizer({"image_token": "<image>", "video_token": "<video>"}, ["<video>"])
    config = LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(**_VISION, vision_use_head=False),
        text_config=Qwen2Config(**_TEXT, num_key_value_heads=2), image_grid_pinpoints=grid,
        image_token_index=tokenizer.image_token_id, video_token_index=tokenizer.video_token_id,
    )  # fmt: skip
    images = LlavaOnevisionImageProcessorPil(size=_SQUARE, image_grid_pinpoints=grid)
    processor = without_videos(LlavaOnevisionProcessor)(
        images, tokenizer, num_image_tokens=(SIDE // PATCH) ** 2, vision_feature_select_strategy="full"
    )
    _write(folder, LlavaOnevisionForConditionalGeneration, config, processor)


def write_qwen2_vl(folder: Path) -> None:
    """Qwen2-VL: four patches a token."""
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": WIDTH, "num_heads": 2, "patch_size": PATCH}
    _write_qwen(folder, Qwen2VLForConditionalGeneration, Qwen2VLConfig, Qwen2VLProcessor, vision, {})


def write_qwen2_5_vl(folder: Path) -> None:
    """Qwen2.5-VL: four patches a token, and a tower whose first layer looks at windows of an image."""
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": PATCH,
              "window_size": 4 * PATCH, "fullatt_block_indexes": [1], "out_hidden_size": WIDTH}  # fmt: skip
    _write_qwen(folder, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLConfig, Qwen2_5_VLProcessor, vision, {})


def write_qwen3_vl(folder: Path) -> None:
    """Qwen3-VL: features of two layers of its tower are added behind the first two blocks."""
    vision = {"depth": 3, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": PATCH,
              "deepstack_visual_indexes": [0, 1], "out_hidden_size": WIDTH, "num_position_embeddings": 64}  # fmt: skip
    _write_qwen(folder, Qwen3VLForConditionalGeneration, Qwen3VLConfig, Qwen3VLProcessor, vision, {"head_dim": 8})


def _write_qwen(
    folder: Path,
    model_class: type[PreTrainedModel],
    config_class: type[PreTrainedConfig],
    processor_class: type[ProcessorMixin],
    vision: dict[str, object],
    text: dict[str, object],
) -> None:
    marks = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    names = ["image_token", "video_token", "vision_start_token", "vision_end_token"]
    tokenizer = _tokenizer(dict(zip(names, marks, strict=True)), marks)
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
    config = config_class(
        text_config={**_TEXT, "num_key_value_heads": 2, "rope_parameters": rope, **text}, vision_config=vision,
        **{f"{name}_id": tokenizer.convert_tokens_to_ids(mark) for name, mark in zip(names, marks, strict=True)},
    )  # fmt: skip
    images = Qwen2VLImageProcessorPil(size={"shortest_edge": SIDE**2, "longest_edge": 16 * SIDE**2}, patch_size=PATCH)
    _write(folder, model_class, config, without_videos(processor_class)(images, tokenizer))


def write_internvl(folder: Path) -> None:
    """InternVL with Qwen2: a wide image is tiles beside a small whole, each of them four tokens."""
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    names = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
             "video_token": "<video>"}  # fmt: skip
    tokenizer = _tokenizer(names, list(names.values()))
    config = InternVLConfig(
        vision_config=InternVLVisionConfig(**vision, image_size=[SIDE, SIDE], patch_size=[PATCH, PATCH]),
        text_config=Qwen2Config(**_TEXT, num_key_value_heads=2), image_seq_length=4,
        image_token_id=tokenizer.context_image_token_id,
    )  # fmt: skip
    images = GotOcr2ImageProcessorPil(size=_SQUARE, crop_to_patches=True, max_patches=4)
    processor = without_videos(InternVLProcessor)(images, tokenizer, image_seq_length=4)
    _write(folder, InternVLForConditionalGeneration, config, processor)


def write_smolvlm(folder: Path) -> None:
    """SmolVLM with Llama: an image is up to four tiles beside a small whole, each of them four tokens."""
    marks = ["<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    marks += [f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)]
    tokenizer = _tokenizer({"image_token": "<image>"}, marks)
    config = SmolVLMConfig(
        vision_config={**_VISION, "model_type": "smolvlm_vision"}, scale_factor=2,
        text_config=LlamaConfig(**_TEXT, num_key_value_heads=2), image_token_id=tokenizer.image_token_id,
        pad_token_id=3,
    )  # fmt: skip
    images = SmolVLMImageProcessorPil(size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE})
    processor = without_videos(SmolVLMProcessor)(images, tokenizer, image_seq_len=4)
    _write(folder, SmolVLMForConditionalGeneration, config, processor)


def write_idefics3(folder: Path) -> None:
    """Idefics3 with Llama: as SmolVLM, without videos."""
    marks = ["<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    marks += [f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)]
    tokenizer = _tokenizer({"image_token": "<image>"}, marks)
    config = Idefics3Config(
        vision_config={**_VISION, "model_type": "idefics3_vision"}, scale_factor=2,
        text_config=LlamaConfig(**_TEXT, num_key_value_heads=2), image_token_id=tokenizer.image_token_id,
        pad_token_id=3,
    )  # fmt: skip
    images = Idefics3ImageProcessorPil(size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE})
    _write(folder, Idefics3ForConditionalGeneration, config, Idefics3Processor(images, tokenizer, image_seq_len=4))


def write_paligemma(folder: Path) -> None:
    """PaliGemma 2: all tokens of the prompt see each other, and logits are drawn to within 3."""
    text = Gemma2Config(
        **_TEXT, num_key_value_heads=1, head_dim=8, query_pre_attn_scalar=8, final_logit_softcapping=3.0,
        sliding_window=64,
    )  # fmt: skip
    tokenizer = _tokenizer({"image_token": "<image>"})
    config = PaliGemmaConfig(
        vision_config=SiglipVisionConfig(**_VISION, vision_use_head=False), text_config=text,
        image_token_index=tokenizer.image_token_id, projection_dim=WIDTH, vocab_size=2048,
    )  # fmt: skip
    images = SiglipImageProcessorPil(size=_SQUARE)
    images.image_seq_length = (SIDE // PATCH) ** 2
    _write(folder, PaliGemmaForConditionalGeneration, config, PaliGemmaProcessor(images, tokenizer))


def write_mistral3(folder: Path) -> None:
    """Mistral 3 with Pixtral: four patches a token, and a text token at the end of each row."""
    config = Mistral3Config(
        text_config=MistralConfig(**_TEXT, num_key_value_heads=2, head_dim=8), vision_config=_pixtral_tower(),
        image_token_index=_pixtral_tokenizer().convert_tokens_to_ids("[IMG]"), spatial_merge_size=2,
    )  # fmt: skip
    _write(folder, Mistral3ForConditionalGeneration, config, _pixtral_processor(2))


def write_pixtral(folder: Path) -> None:
    """LLaVA with Pixtral's tower, as Pixtral 12B: a patch a token, and a text token at the end of each row."""
    config = LlavaConfig(
        text_config=MistralConfig(**_TEXT, num_key_value_heads=2, head_dim=8), vision_config=_pixtral_tower(),
        image_token_id=_pixtral_tokenizer().convert_tokens_to_ids("[IMG]"), vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )  # fmt: skip
    _write(folder, LlavaForConditionalGeneration, config, _pixtral_processor(1))


def _pixtral_tower() -> PixtralVisionConfig:
    return PixtralVisionConfig(**{**_VISION, "image_size": 4 * SIDE})


def _pixtral_tokenizer() -> PreTrainedTokenizerFast:
    return _tokenizer({"image_token": "[IMG]"}, ["[IMG]", "[IMG_BREAK]", "[IMG_END]", "[INST]", "[/INST]"])


def _pixtral_processor(merged: int) -> PixtralProcessor:
    images = PixtralImageProcessorPil(size={"longest_edge": 2 * SIDE}, patch_size={"height": PATCH, "width": PATCH})
    return PixtralProcessor(images, _pixtral_tokenizer(), patch_size=PATCH, spatial_merge_size=merged)


def write_instructblip(folder: Path) -> None:
    """InstructBLIP with Llama: four queries, which read the prompt as well."""
    tokenizer = _tokenizer({"image_token": "<image>"})
    config = InstructBlipConfig(
        vision_config=_VISION, qformer_config=_QFORMER, text_config=LlamaConfig(**_TEXT, num_key_value_heads=2),
        num_query_tokens=4, image_token_index=tokenizer.image_token_id,
    )  # fmt: skip
    images = BlipImageProcessorPil(size=_SQUARE)
    reads = _tokenizer({"image_token": "<image>"})
    reads.padding_side = "right"
    _write(folder, InstructBlipForConditionalGeneration, config, InstructBlipProcessor(images, tokenizer, reads, 4))


def write_blip_2(folder: Path) -> None:
    """BLIP-2 with OPT, whose tokens have learnt positions: four queries."""
    tokenizer = _tokenizer({"image_token": "<image>"})
    text = {"ffn_dim": 64, "word_embed_proj_dim": WIDTH, "do_layer_norm_before": True}
    config = Blip2Config(
        vision_config=_VISION, qformer_config=_QFORMER, num_query_tokens=4, image_token_index=tokenizer.image_token_id,
        text_config=OPTConfig(**{name: size for name, size in _TEXT.items() if name != "intermediate_size"}, **text),
    )  # fmt: skip
    _write(
        folder, Blip2ForConditionalGeneration, config, Blip2Processor(BlipImageProcessorPil(size=_SQUARE), tokenizer, 4)
    )


_QFORMER = {"vocab_size": 512, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 2, "encoder_hidden_size": 32}  # fmt: skip
WRITERS = {"llava-gemma": write_llava_gemma, "gemma3": write_gemma3, "llava-next": write_llava_next}
ALL_WRITERS = WRITERS | {
    "qwen2-vl": write_qwen2_vl,
    "qwen2-5-vl": write_qwen2_5_vl,
    "qwen3-vl": write_qwen3_vl,
    "internvl": write_internvl,
    "smolvlm": write_smolvlm,
    "llava-onevision": write_llava_onevision,
    "paligemma": write_paligemma,
    "mistral3": write_mistral3,
    "pixtral": write_pixtral,
    "instructblip": write_instructblip,
    "blip-2": write_blip_2,
}
CLIP_WRITERS = ALL_WRITERS | {"llava-next-video": write_llava_next_video, "idefics3": write_idefics3}
_SQUARE = {"height": SIDE, "width": SIDE}


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
