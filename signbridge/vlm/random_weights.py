"""Models with seeded random weights, as Hugging Face folders: they have learnt nothing, and their tokenizer is small.

The code that reads trained weights reads them too. `tiny-random` is a LLaVA, `tiny-gemma3` a Gemma 3, of a few million
parameters each; any other `LlavaConfig` works as well, LLaVA-1.5-7B's own included. In the tokenizer the words that it
learns from are tokens; other text is spelt.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import tokenizers
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    Gemma3TextConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    SiglipVisionConfig,
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


def small_tokenizer(texts: Iterable[str], vocab_size: int, image_marks: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Byte-level BPE learnt from `texts`, of at most `vocab_size` tokens, with Llama's special tokens.

    `image_marks` are Gemma's tokens for the start and the end of an image, which follow those.
    Merges go on while there is anything to merge, so with room enough every word of `texts` is one token.
    """
    named_marks = dict(zip(("boi_token", "eoi_token"), image_marks, strict=False))
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=1,
        special_tokens=[*SPECIAL_TOKENS, *image_marks],
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
        extra_special_tokens={"image_token": IMAGE_TOKEN, **named_marks},
        padding_side="left",
    )


# The tokenizer learns its merges from these words; any other text is spelt in bytes.
WORDS = (
    "USER: ASSISTANT: What sign is being made in this image? Answer with one word. Describe the hand. "
    "letter fist palm point peace thumb index middle ring little finger fingers up down bent crossed"
)


def tiny_config(family: str = "llava") -> LlavaConfig | Gemma3Config:
    """The architecture of a family at a few million parameters: LLaVA-1.5's or Gemma 3's."""
    return {"llava": _tiny_llava, "gemma3": _tiny_gemma3}[family]()


def _tiny_llava() -> LlavaConfig:
    """56 x 56 pixels, 49 image tokens, 9 decoder blocks."""
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


# Gemma 3's own tokens for the start and the end of an image, and its chat template without the words for turns.
START_OF_IMAGE, END_OF_IMAGE = "<start_of_image>", "<end_of_image>"
CHAT_TEMPLATE = (
    r"{{ bos_token }}{% for message in messages %}{{ 'user\n' }}{% for part in message['content'] %}"
    r"{{ '<start_of_image>' if part['type'] == 'image' else part['text'] }}{% endfor %}{{ '\nmodel\n' }}{% endfor %}"
)


def _tiny_gemma3() -> Gemma3Config:
    """56 x 56 pixels, 16 image tokens that see one another, 6 decoder blocks, every third of which looks far back."""
    return Gemma3Config(
        vision_config=SiglipVisionConfig(
            hidden_size=128,
            intermediate_size=512,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=56,
            patch_size=7,
            vision_use_head=False,
        ),
        text_config=Gemma3TextConfig(
            vocab_size=512,
            hidden_size=256,
            intermediate_size=512,
            num_hidden_layers=6,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=64,
            query_pre_attn_scalar=64,
            sliding_window=16,
            layer_types=["sliding_attention", "sliding_attention", "full_attention"] * 2,
            max_position_embeddings=512,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=3,
            initializer_range=256**-0.5,
        ),
        mm_tokens_per_image=16,
        image_token_index=SPECIAL_TOKENS.index(IMAGE_TOKEN),
        boi_token_index=len(SPECIAL_TOKENS),
        eoi_token_index=len(SPECIAL_TOKENS) + 1,
    )


def gemma3_processor(config: Gemma3Config) -> Gemma3Processor:
    """A processor of Gemma 3's kind for `config`, with a chat template."""
    size, marks = config.vision_config.image_size, [START_OF_IMAGE, END_OF_IMAGE]
    tokenizer = small_tokenizer([WORDS], vocab_size=500, image_marks=marks)
    return Gemma3Processor(
        Gemma3ImageProcessorPil(size={"height": size, "width": size}),
        tokenizer,
        chat_template=CHAT_TEMPLATE,
        image_seq_length=config.mm_tokens_per_image,
    )


def tiny_folder(family: str, seed: int, scratch: Path) -> Path:
    """The folder below `scratch` with the random model of a family and a seed, which is written if it is not there."""
    config = tiny_config(family)
    versions = [torch.__version__, transformers.__version__, tokenizers.__version__]
    made_from = json.dumps([seed, config.to_json_string(), versions, Path(__file__).read_text(encoding="utf-8")])
    folder = scratch / f"tiny-random-{family}-{hashlib.sha256(made_from.encode()).hexdigest()[:16]}"
    if family == "gemma3":
        _write(folder, Gemma3ForConditionalGeneration, config, gemma3_processor(config), seed, torch.float32)
    else:
        write_random_llava(folder, config, seed)
    return folder


def write_random_llava(folder: Path, config: LlavaConfig, seed: int, dtype: torch.dtype = torch.float32) -> None:
    """Write model, tokenizer and processor to `folder`, whole or not at all; nothing to do if it is there.

    The weights are drawn as the library initialises them, by a generator seeded with `seed`. Raises `SignBridgeError`
    if the operating system does not let them be written.
    """
    processor = llava_processor(config, small_tokenizer([WORDS], vocab_size=512))
    _write(folder, LlavaForConditionalGeneration, config, processor, seed, dtype)


def _write(
    folder: Path,
    family: type[PreTrainedModel],
    config: PreTrainedConfig,
    processor: ProcessorMixin,
    seed: int,
    dtype: torch.dtype,
) -> None:
    if folder.exists():
        return
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.unfinished")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = family._from_config(config, dtype=dtype)
        for weight in model.parameters():
            if weight.dim() > 1 and not weight.any():  # Gemma 3's projector, which would let no image through
                torch.nn.init.normal_(weight, std=weight.shape[0] ** -0.5)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=3)
    try:
        model.save_pretrained(unfinished)
        processor.save_pretrained(unfinished)
        os.replace(unfinished, folder)
    except Exception as error:  # `tokenizers` raises the very class
        shutil.rmtree(unfinished, ignore_errors=True)
        if not folder.exists():  # another process may have written the same meanwhile
            raise refusal(error, folder) or error from error
