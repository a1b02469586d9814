"""LLaVA with seeded random weights, as a Hugging Face folder: a model that has learnt nothing, with a small tokenizer.

The code that reads trained weights reads it too. `tiny-random` has a few million parameters; any other `LlavaConfig`
works as well, LLaVA-1.5-7B's own included. In the tokenizer the words that it learns from are tokens; other text is
spelt.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from signbridge.core.errors import refusal

IMAGE_TOKEN = "<image>"
SPECIAL_TOKENS = ["<unk>", "<s>", "</s>", "<pad>", IMAGE_TOKEN]


def llava_processor(config: LlavaConfig, tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """A processor of LLaVA's kind for `config`: CLIP's image processing and `tokenizer`."""
    size = config.vision_config.image_size
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size}),
        tokenizer=tokenizer,
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=1,  # CLIP's class token, which the strategy drops
        image_token=IMAGE_TOKEN,
    )


def small_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE learnt from `texts`, of at most `vocab_size` tokens, with Llama's special tokens.

    Merges go on while there is anything to merge, so with room enough every word of `texts` is one token.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=1,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", SPECIAL_TOKENS.index("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": IMAGE_TOKEN},
        padding_side="left",
    )


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

    The weights are drawn as the library initialises them, by a generator seeded with `seed`. Raises `SignBridgeError`
    if the operating system does not let them be written.
    """
    if folder.exists():
        return
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.unfinished")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration._from_config(config, dtype=dtype)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=3)
    try:
        model.save_pretrained(unfinished)
        llava_processor(config, small_tokenizer([WORDS], vocab_size=512)).save_pretrained(unfinished)
        os.replace(unfinished, folder)
    except Exception as error:  # `tokenizers` raises the very class
        shutil.rmtree(unfinished, ignore_errors=True)
        raise refusal(error, folder) or error from error
