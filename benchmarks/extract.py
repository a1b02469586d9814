"""Extraction against the notebook's loop, and against what the machine can do.

    python -m benchmarks.extract                                  # tiny-random
    python -m benchmarks.extract --model llava-1-5-7b-shape       # its architecture with random weights, NF4; a GPU
    python -m benchmarks.extract --keep                           # append to benchmarks/results/extract.md

The notebook's loop reads one image at a time: hooks on four blocks, `generate`, the same weights and prompt. All
ratios are of times measured side by side in this run. Operations are counted on a copy of the model without weights,
two for each multiply-add.
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from pydantic import TypeAdapter
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForImageTextToText

from benchmarks.llava_shape import llava_1_5_7b_config
from benchmarks.machine import describe, keep
from benchmarks.timing import timed
from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.vlm.answering import prefill
from signbridge.vlm.catalog import ModelParams
from signbridge.vlm.extraction import Reader
from signbridge.vlm.key_value_cache import roomy_cache
from signbridge.vlm.loading import LoadedModel, device_from_environment, expand_nf4, load
from signbridge.vlm.random_weights import write_random_llava

T = TypeVar("T")
SCRATCH = Path(".scratch/models")
NOTEBOOK_BLOCKS = (8, 16, 24, 31)


def main() -> None:
    """Measure, print, and with --keep append to the results."""
    arguments = _arguments()
    device = device_from_environment()
    entry = entry_of(arguments.model)
    loaded = load(entry.model_copy(update={"dequantize": "never"}), SCRATCH, device)
    generator = np.random.default_rng(0)
    images = [
        Image.fromarray(pixels).convert("RGB")
        for pixels in generator.integers(0, 256, (arguments.images, 28, 28), dtype=np.uint8)
    ]
    few = images[: arguments.loop_images]
    notebook_loop(loaded, entry, few[:2])  # warm-up
    loop_seconds, loop_answers = timed(device, lambda: notebook_loop(loaded, entry, few))
    if entry.quantization == "nf4":
        loaded = expand_nf4(loaded, entry.dequantize)  # the notebook's loop has run on the packed weights
    reader = Reader(loaded, entry.prompt, entry.max_new_tokens, arguments.batch_size)
    reader.read(images[: reader.batch_size])  # warm-up
    seconds, shard = timed(device, lambda: reader.read(images))

    loop_rate, rate = len(few) / loop_seconds, len(images) / seconds
    machine_rate = matrix_product_rate(loaded.model.dtype, device)
    prompt_operations, token_operations = model_operations(loaded, entry.prompt)
    operations = prompt_operations + (entry.max_new_tokens - 1) * token_operations
    bare, capturing = capturing_cost(reader, images)
    same = sum(ours == theirs for ours, theirs in zip(shard.answers, loop_answers, strict=False))
    lines = [
        f"model {arguments.model}, {len(images)} images, batches of {reader.batch_size}, {describe()}",
        f"notebook's loop           {loop_rate:9.2f} images/s   ({len(few)} images)",
        f"extract                   {rate:9.2f} images/s   {rate / loop_rate:.2f} times the loop",
        f"same answers              {same} of {len(few)}",
        f"operations an image       {operations / 1e9:9.2f} GFLOP (prompt {prompt_operations / 1e9:.2f})",
        f"matrix products           {machine_rate / 1e9:9.0f} GFLOP/s on this machine",
        f"share of that             {operations * rate / machine_rate:9.2f} extract, "
        f"{operations * loop_rate / machine_rate:.2f} the loop (an answer counted at its limit)",
        f"capturing all sites       {capturing / bare:9.3f} times a bare prefill ({1000 * bare:.0f} ms a batch)",
    ]
    if device.type == "cuda":
        lines.append(f"peak GPU memory           {torch.cuda.max_memory_allocated(device) / 2**30:9.2f} GiB")
    print("\n".join(lines))
    if arguments.keep:
        keep("extract", lines)


def notebook_loop(loaded: LoadedModel, entry, images: list[Image.Image]) -> list[str]:
    """The notebook's extraction, restated: one image at a time, hooks on blocks, `generate`."""
    model, processor, parts, _, device = loaded
    activations: dict[int, list[np.ndarray]] = {}
    current: dict[int, np.ndarray] = {}

    def hook(block: int) -> Callable:
        def keep_last(module, args, output):
            stream = output[0] if isinstance(output, tuple) else output
            current[block] = stream[:, -1, :].detach().float().cpu().numpy()

        return keep_last

    blocks = [block for block in NOTEBOOK_BLOCKS if block < len(parts.blocks)]
    handles = [parts.blocks[block].register_forward_hook(hook(block)) for block in blocks]
    answers = []
    try:
        for image in images:
            inputs = processor(images=image, text=entry.prompt, return_tensors="pt").to(device, model.dtype)
            with torch.no_grad():
                tokens = model.generate(**inputs, max_new_tokens=entry.max_new_tokens, do_sample=False)
            text = processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            answers.append(text.strip())
            for block in blocks:
                activations.setdefault(block, []).append(current[block])
    finally:
        for handle in handles:
            handle.remove()
    return answers


def matrix_product_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of a large matrix product, the best of several."""
    size = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    product = torch.empty_like(left)
    times = [timed(device, lambda: torch.mm(left, right, out=product))[0] for _ in range(8)]
    return 2 * size**3 / min(times[1:])


def model_operations(loaded: LoadedModel, prompt: str) -> tuple[int, int]:
    """Operations of one image's prompt, and of one more answer token at the answer's start."""
    inputs = loaded.processor(images=Image.new("RGB", (28, 28)), text=prompt, return_tensors="pt")
    config = loaded.model.config.__class__.from_dict(
        {key: value for key, value in loaded.model.config.to_dict().items() if key != "quantization_config"}
    )
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32, trust_remote_code=False).eval()
    text = config.get_text_config()
    tokens = inputs["input_ids"].shape[1]
    embeddings = torch.empty(1, tokens, text.hidden_size, device="meta")
    cache = roomy_cache(text.num_hidden_layers, room=1)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as prefill:
            model.get_image_features(pixel_values=inputs["pixel_values"].to("meta", torch.float32))
            model(inputs_embeds=embeddings, past_key_values=cache, use_cache=True, logits_to_keep=1)
        with FlopCounterMode(display=False) as step:
            model(inputs_embeds=embeddings[:, :1], past_key_values=cache, use_cache=True, logits_to_keep=1)
    return prefill.get_total_flops(), step.get_total_flops()


def capturing_cost(reader: Reader, images: list[Image.Image]) -> tuple[float, float]:
    """Median seconds of a batch's prefill, bare and with every site read at both prompt positions, in turns."""
    model, _, parts, _, device = reader.loaded
    inputs = reader.prepare(images[: reader.batch_size]).to(device, model.dtype)

    def bare() -> None:
        with torch.inference_mode():
            cache = roomy_cache(len(parts.blocks), room=1)
            model(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)

    def capturing() -> None:
        with torch.inference_mode():
            prefill(model, parts, inputs, roomy_cache(len(parts.blocks), room=1))

    times = [(timed(device, bare)[0], timed(device, capturing)[0]) for _ in range(16)]
    return statistics.median(first for first, _ in times[1:]), statistics.median(second for _, second in times[1:])


def entry_of(name: str):
    if name != "llava-1-5-7b-shape":
        return params.section(name, ModelParams, params.MODELS)
    llava = params.section("llava-1-5-7b", dict, params.MODELS)
    entry = {key: value for key, value in llava.items() if key not in ("hub_id", "revision")}
    folder = SCRATCH / "llava-1-5-7b-shape"
    write_random_llava(folder, llava_1_5_7b_config(), seed=0, dtype=torch.float16)
    return TypeAdapter(ModelParams).validate_python({**entry, "source": "folder", "path": str(folder)})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny-random", help="of models.yaml, or llava-1-5-7b-shape")
    parser.add_argument("--images", type=int, default=320, help="read by extract")
    parser.add_argument("--loop-images", type=int, default=64, help="of these, read by the notebook's loop")
    parser.add_argument("--batch-size", type=int, default=None, help="a power of two; found out if not given")
    parser.add_argument("--keep", action="store_true", help="append to benchmarks/results/extract.md")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
