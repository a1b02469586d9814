"""LLaVA-1.5-7B with a 128th of its width and stubbed blocks, counted as if it were whole.

The model has LLaVA-1.5-7B's 32 blocks, its image tokens and prompts, and the code that reads it is the project's and
the library's own, but for two things. A block computes no product: it counts those of its matrices and of attention, at
their real sizes, and keeps keys and values as ever. The vision tower is cut short, and counted by the images it reads.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from string import ascii_uppercase
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlavaConfig
from transformers.cache_utils import Cache
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaModel
from transformers.models.llava.modeling_llava import LlavaForConditionalGeneration, LlavaMultiModalProjector

from benchmarks.llava_shape import llava_1_5_7b_config
from benchmarks.pretended_cuda import Notes, pretended_cuda
from benchmarks.study import sample
from signbridge.core import params, tables
from signbridge.rendered.hands_table import hands_table
from signbridge.vlm.random_weights import WORDS, llava_processor, small_tokenizer, write_random_llava
from stages import model

WIDTH, INNER, VOCABULARY = 32, 86, 1024  # and one head as wide as 32 are
VISION, VISION_INNER = 12, 48
REAL = {WIDTH: 4096, INNER: 11008, VOCABULARY: 32064, VISION: 1024, VISION_INNER: 4096, 4 * WIDTH: 4 * 4096}
SCALE = {narrow: real / narrow for narrow, real in REAL.items()}  # of vectors, by their length here
CORPUS = Path(__file__).parents[1] / "corpora/miniature.txt"
PRODUCTS = ("linear", "matmul", "mm", "bmm", "addmm")
END = 2  # the token that ends an answer, which is never the likeliest
EXTRA_IMAGES = 1000  # of the dataset beside the sample, which autoencoders are trained on


def narrow_config(blocks: int) -> LlavaConfig:
    """LLaVA-1.5-7B's configuration with narrow matrices; the vision tower has two blocks."""
    real = llava_1_5_7b_config()
    vision = real.vision_config.to_dict() | {
        "hidden_size": VISION, "intermediate_size": VISION_INNER, "num_hidden_layers": 2, "num_attention_heads": 2,
    }  # fmt: skip
    text = real.text_config.to_dict() | {
        "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": blocks, "num_attention_heads": 1,
        "num_key_value_heads": 1, "head_dim": WIDTH, "vocab_size": VOCABULARY,
    }  # fmt: skip
    return LlavaConfig(
        vision_config=CLIPVisionConfig(**vision), text_config=LlamaConfig(**text), image_token_id=real.image_token_id,
        image_seq_length=real.image_seq_length, vision_feature_layer=-2, vision_feature_select_strategy="default",
    )  # fmt: skip


def write_narrow_llava(folder: Path, blocks: int) -> None:
    """The model, which never ends an answer before its limit, in float16; letters and the corpus's words are tokens."""
    with mock.patch.object(LlavaForConditionalGeneration, "save_pretrained", _saved_without_end):
        write_random_llava(folder, narrow_config(blocks), seed=0, dtype=torch.float16)
    texts = [WORDS, CORPUS.read_text(encoding="utf-8"), *(f" {letter}" for letter in ascii_uppercase)]
    llava_processor(narrow_config(blocks), small_tokenizer(texts, VOCABULARY)).save_pretrained(folder)


_SAVE = LlavaForConditionalGeneration.save_pretrained


def _saved_without_end(model: LlavaForConditionalGeneration, *args: Any, **kwargs: Any) -> None:
    model.lm_head.weight.data[END] = 0
    _SAVE(model, *args, **kwargs)


def write_study(root: Path, images: int, quick: bool) -> None:
    """What the stages before `extract` leave, in the current folder; the params are the project's own but the model."""
    for file in (params.PARAMS, params.MODELS, params.CAUSAL, params.LENSES, params.SAE, params.SAE_PRESETS):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((root / file).read_text(encoding="utf-8"), encoding="utf-8")
    causal = params.CAUSAL.read_text(encoding="utf-8")  # blocks are stubs without heads and MLPs: none is patched
    params.CAUSAL.write_text(re.sub(r"parts_at:.*\n(    - .*\n)+", "parts_at: []\n", causal), encoding="utf-8")
    corpus = Path(params.section("questions", dict)["corpus"])
    corpus.parent.mkdir(parents=True, exist_ok=True)
    corpus.write_text((root / corpus).read_text(encoding="utf-8"), encoding="utf-8")
    llava = params.section("llava-1-5-7b", dict, params.MODELS)
    entry = {"source": "folder", "path": "model", "quantization": "none", "dequantize": "never", "dtype": "float16"}
    entry |= {key: llava[key] for key in ("prompt", "max_new_tokens")}
    with params.MODELS.open("a", encoding="utf-8") as file:
        file.write(f"narrow-llava: {json.dumps(entry)}\n")
    text = params.PARAMS.read_text(encoding="utf-8")
    params.PARAMS.write_text(text.replace("\nmodel: miniature\n", "\nmodel: narrow-llava\n"), encoding="utf-8")
    generator = np.random.default_rng(0)
    drawn = sample(generator)
    drawn = drawn.groupby("label").head(max(1, images // drawn["label"].nunique())).reset_index(drop=True)
    made_by = {"images": {"source": "synthetic"}, "params": {"strategy": "signbridge"}}
    tables.write(drawn, "data/sample.parquet", made_by)
    others = drawn.sample(40 if quick else EXTRA_IMAGES, replace=True, random_state=0).drop(columns="photo")
    others = others.assign(image_id=[f"other-{number}" for number in range(len(others))])
    every = pd.concat([drawn.drop(columns="photo"), others], ignore_index=True)
    tables.write(every, "data/images.parquet", made_by)
    tables.write(hands_table(every["image_id"].tolist(), every["label"].tolist(), None), "data/hands.parquet", made_by)
    model.main()


class Counts(Notes):
    """What ran on the pretended GPU and what it held, as if the model had its real width."""

    def __init__(self):
        super().__init__()
        self.loads, self.prompts, self.steps, self.operations = 0, 0, 0, 0.0

    def size_of(self, tensor: Tensor) -> int:
        """Bytes of a tensor whose vectors are as long as LLaVA-1.5-7B's; of a weight, which stays here as narrow."""
        size = super().size_of(tensor)
        return int(size * SCALE.get(tensor.shape[-1] if tensor.dim() else 0, 1))

    def called(self, name: str, args: tuple) -> None:
        """Count a product of matrices; three times where it is trained, for the two products on the way back."""
        if name.strip("_") not in PRODUCTS or len(args) < 2:
            return
        left, right = args[:2] if name != "addmm" else args[1:3]
        outer = right.shape[0 if name == "linear" else -1]
        self.count(left.numel() // left.shape[-1], left.shape[-1], outer)
        if right.requires_grad and torch.is_grad_enabled():
            self.count(2 * (left.numel() // left.shape[-1]), left.shape[-1], outer)

    def count(self, rows: int, inner: int, outer: int) -> None:
        """Count a product of rows and a matrix, of its real size: two operations for each multiply-add."""
        if outer == WIDTH or inner not in (VISION, VISION_INNER):  # else of the tower, which is counted by images
            self.operations += 2.0 * rows * REAL.get(inner, inner) * REAL.get(outer, outer)

    def block(self, layer: LlamaDecoderLayer, hidden_states: Tensor, past_key_values: Cache | None = None, **_: Any):
        """A decoder block without its products: it counts them, keeps keys and values, takes the memory of its tensors.

        What it adds to the stream is a part of the mean of all tokens so far, so that words learn of the image.
        """
        rows, tokens, _ = hidden_states.shape
        for linear in layer.modules():
            if isinstance(linear, nn.Linear):
                self.count(rows * tokens, linear.in_features, linear.out_features)
        keys, values = (hidden_states[:, None].clone() for _ in range(2))
        if past_key_values is not None:
            keys, values = past_key_values.update(keys, values, layer.self_attn.layer_idx)
        self.operations += 2.0 * 2 * rows * tokens * keys.shape[-2] * REAL[WIDTH]  # with the keys, and with the values
        normed = torch.empty_like(hidden_states)
        inner = [normed.new_empty(rows, tokens, INNER) for _ in range(3)]  # after the gate, up, and both multiplied
        del normed, inner
        return hidden_states + 0.1 * keys.mean(2)

    def begins(self, module: nn.Module, args: tuple) -> None:
        """Count a model that something goes through for the first time."""
        if isinstance(module, LlavaForConditionalGeneration) and not hasattr(module, "counted"):
            module.counted = True
            self.loads += 1

    def ran(self, module: nn.Module, args: tuple, output: Any) -> None:
        """Count images by the projector, and passes of one token a row by the decoder."""
        if isinstance(module, LlavaMultiModalProjector):
            self.prompts += len(output)
            self.operations += len(output) * operations_of_an_image()
        if isinstance(module, LlamaModel) and output.last_hidden_state.shape[1] == 1:
            self.steps += 1


@contextmanager
def counting(counts: Counts) -> Iterator[None]:
    """While open, `counts` grows with what runs on its GPU of `memory` bytes."""
    hooks = [register_module_forward_pre_hook(counts.begins), register_module_forward_hook(counts.ran)]
    try:
        with (
            mock.patch.object(
                LlamaDecoderLayer, "forward", lambda layer, *args, **rest: counts.block(layer, *args, **rest)
            ),
            pretended_cuda(80 * 2**30, counts),
        ):
            yield
    finally:
        for hook in hooks:
            hook.remove()


@cache
def operations_of_an_image() -> int:
    """Of the whole vision tower, for one image, counted on a copy without weights."""
    config = llava_1_5_7b_config()
    with torch.device("meta"):
        tower = CLIPVisionModel(config.vision_config).eval()
        pixels = torch.empty(1, 3, config.vision_config.image_size, config.vision_config.image_size)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        tower(pixel_values=pixels)
    return counter.get_total_flops()


def real_bytes(file: Path) -> float:
    """The size of a stage's output where vectors are as long as LLaVA-1.5-7B's."""
    if file.suffix == ".parquet":
        return _of_table(file)
    if file.suffix == ".safetensors":
        with safe_open(file, framework="numpy") as weights:
            return sum(_of_weights(weights.get_slice(name)) for name in weights.keys())  # noqa: SIM118 (no mapping)
    return file.stat().st_size


def _of_table(file: Path) -> float:
    described = pq.ParquetFile(file)
    size, metadata = 0.0, described.metadata
    for column, field in enumerate(described.schema_arrow):
        stored = sum(
            metadata.row_group(group).column(column).total_compressed_size for group in range(metadata.num_row_groups)
        )
        length = getattr(field.type, "list_size", 0)
        size += stored * SCALE.get(length, 1)
    return size


def _of_weights(weights: Any) -> float:
    size = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}.get(weights.get_dtype(), 1)
    return size * float(np.prod([side * SCALE.get(side, 1) for side in weights.get_shape()]))
