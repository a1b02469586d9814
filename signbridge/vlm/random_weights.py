"""LLaVA with seeded random weights, as a Hugging Face folder: a model that has learnt nothing.

It is read through the very code that reads trained weights. `tiny-random` is a few million parameters; any other
`LlavaConfig` works as well, LLaVA-1.5-7B's own included.
"""

import os
from pathlib import Path

import torch
from transformers import CLIPVisionConfig, GenerationConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from signbridge.vlm.small_tokenizer import IMAGE_TOKEN, SPECIAL_TOKENS, llava_processor, small_tokenizer

# The tokenizer learns its merges from these words; any other text is spelt in bytes.
WORDS = (
    "USER: ASSISTANT: What sign is being made in this image? Answer with one word. Describe the hand. "
    "letter fist palm point peace thumb index middle ring little finger fingers up down bent crossed"
)


def tiny_config() -> LlavaConfig:
    """LLaVA-1.5's architecture at a few million parameters: 56 x 56 pixels, 49 image tokens, 9 decoder blocks."""
    return LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=128,
            intermediate_size=512,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=56,
            patch_size=8,
            projection_dim=128,
        ),
        text_config=LlamaConfig(
            vocab_size=512,
            hidden_size=320,
            intermediate_size=864,
            num_hidden_layers=9,
            num_attention_heads=5,
            num_key_value_heads=5,
            max_position_embeddings=512,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=3,
            initializer_range=320**-0.5,  # 1 / sqrt(width), which 0.02 is for LLaVA-1.5-7B
        ),
        image_token_id=SPECIAL_TOKENS.index(IMAGE_TOKEN),
        image_seq_length=49,
    )


def write_random_llava(folder: Path, config: LlavaConfig, seed: int, dtype: torch.dtype = torch.float32) -> None:
    """Write model, tokenizer and processor to `folder`, whole or not at all; nothing to do if it is there.

    The weights are drawn as the library initialises them, by a generator seeded with `seed`.
    """
    if folder.exists():
        return
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.unfinished")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration._from_config(config, dtype=dtype)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=3)
    model.save_pretrained(unfinished)
    llava_processor(config, small_tokenizer([WORDS], vocab_size=512)).save_pretrained(unfinished)
    os.replace(unfinished, folder)
