"""LLaVA-1.5-7B's own class and configuration with random weights: what can be proved without the real ones.

    python -m benchmarks.llava_shape                       # a GPU: batch by batch, with peak memory
    python -m benchmarks.llava_shape --batches 1 --answer 2 --dtype float32    # a CPU with 24 GiB, half an hour
    python -m benchmarks.llava_shape --blocks 2 --batches 1 2 --answer 2 --dtype bfloat16    # a CPU, minutes

Loads it in NF4 with double quantisation through the project's loader, reads all 32 layers at 3 positions, answers,
and prints peak memory at each batch size, beside what `signbridge.vlm.memory` counts. It writes 14 GB
below .scratch/ once; with the decoder cut to `--blocks` 0.4 GB a block and 1 GB.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

from benchmarks.live_memory import LiveMemory
from benchmarks.machine import describe, keep
from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.vlm.answering import read_and_answer
from signbridge.vlm.catalog import FolderModel
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import device_from_environment, load
from signbridge.vlm.memory import expanded_matrix_bytes, image_bytes
from signbridge.vlm.random_weights import IMAGE_TOKEN, SPECIAL_TOKENS, write_random_llava

FOLDER = Path(".scratch/models/llava-1-5-7b-shape")
BLOCKS = 32


def llava_1_5_7b_config(blocks: int = BLOCKS) -> LlavaConfig:
    """The configuration of `llava-hf/llava-1.5-7b-hf`, but for the token ids of this project's small tokenizer."""
    return LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=24,
            num_attention_heads=16,
            image_size=336,
            patch_size=14,
            projection_dim=768,
            vocab_size=32000,
        ),
        text_config=LlamaConfig(
            vocab_size=32064,
            hidden_size=4096,
            intermediate_size=11008,
            num_hidden_layers=blocks,
            num_attention_heads=32,
            num_key_value_heads=32,
            max_position_embeddings=4096,
            rms_norm_eps=1e-5,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=3,
        ),
        image_token_id=SPECIAL_TOKENS.index(IMAGE_TOKEN),
        image_seq_length=576,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )


def main() -> None:
    """Write the random model if it is not there, load it in NF4, read it at each batch size."""
    arguments = _arguments()
    device = device_from_environment()
    cut = "" if arguments.blocks == BLOCKS else f" cut to {arguments.blocks} blocks"
    lines = [f"LLaVA-1.5-7B's shape{cut}, NF4, random weights, {arguments.dtype}, {describe()}"]
    folder = FOLDER if not cut else FOLDER.with_name(f"{FOLDER.name}-{arguments.blocks}")
    start = time.perf_counter()
    write_random_llava(folder, llava_1_5_7b_config(arguments.blocks), seed=0, dtype=torch.float16)
    lines.append(f"drawn and written in {time.perf_counter() - start:.0f} s")
    print("\n".join(lines), flush=True)
    prompt = params.section("llava-1-5-7b", dict, params.MODELS)["prompt"]
    entry = FolderModel(
        source="folder",
        path=str(folder),
        quantization="nf4",
        dequantize="never",
        dtype=arguments.dtype,
        prompt=prompt,
        max_new_tokens=arguments.answer,
    )
    start = time.perf_counter()
    loaded = load(entry, folder.parent, device)
    weights = sum(weight.numel() * weight.itemsize for weight in loaded.model.parameters())
    _print(lines, f"loaded in {time.perf_counter() - start:.0f} s, {weights / 2**30:.2f} GiB of weights")
    generator = np.random.default_rng(0)
    for batch in arguments.batches:
        pixels = generator.integers(0, 256, (batch, 28, 28), dtype=np.uint8)
        images = [Image.fromarray(array).convert("RGB") for array in pixels]
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        start = time.perf_counter()
        reader = Reader(loaded, prompt, arguments.answer, batch)
        shard = reader.read(images)
        seconds = time.perf_counter() - start
        layers = {name.split(".")[0] for name in shard.vectors if name.startswith("layer_")}
        finite = all(np.isfinite(vectors).all() for vectors in shard.vectors.values())
        tokens = loaded.processor(images=images[0], text=prompt, return_tensors="pt")["input_ids"]
        image_tokens = int((tokens == loaded.parts.image_token_id).sum())
        _print(
            lines,
            f"batch {batch}: {seconds:.1f} s, {_peak_memory(device)}, {len(layers)} layers and "
            f"{len(shard.vectors)} vectors of width {shard.vectors['projector.image_mean'].shape[1]} an image, "
            f"{image_tokens} image tokens of {tokens.shape[1]}, all finite: {finite}, answers {shard.answers[:2]!r}",
        )
        measured, estimate = peak_bytes(reader, images), estimated_bytes(reader, tokens.shape[1], batch)
        _print(
            lines,
            f"batch {batch}: {measured / 2**20:.0f} MiB at the peak, {estimate / 2**20:.0f} estimated, "
            f"{estimate / measured:.2f} of it",
        )
    if arguments.keep:
        keep("llava_shape", lines)


def peak_bytes(reader: Reader, images: list[Image.Image]) -> int:
    """What reading `images` and answering takes at its peak, beside weights and inputs, in bytes."""
    model, _, parts, _, device = reader.loaded
    inputs = reader.to_device(reader.prepare(images))
    if device.type != "cuda":
        with torch.inference_mode(), LiveMemory() as memory:
            read_and_answer(model, parts, inputs, reader.max_new_tokens, end_tokens=[])
        return memory.peak
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    read_and_answer(model, parts, inputs, reader.max_new_tokens, end_tokens=[])
    return torch.cuda.max_memory_allocated(device) - before


def estimated_bytes(reader: Reader, tokens: int, images: int) -> int:
    """The same by the estimate that chooses the first batch."""
    model = reader.loaded.model
    of_image = image_bytes(model.config, tokens, reader.max_new_tokens, model.dtype.itemsize)
    return images * of_image + expanded_matrix_bytes(model)


def _print(lines: list[str], line: str) -> None:
    print(line, flush=True)
    lines.append(line)


def _peak_memory(device: torch.device) -> str:
    if device.type == "cuda":
        return f"peak {torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB of GPU memory"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return f"peak {peak / 2**30:.1f} GiB of memory, loading included"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="of the decoder; the vision tower stays whole")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--answer", type=int, default=20, help="new tokens at most")
    parser.add_argument("--dtype", default="float16", choices=["float16", "bfloat16", "float32"])
    parser.add_argument("--keep", action="store_true", help="append to benchmarks/results/llava_shape.md")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
