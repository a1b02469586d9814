"""What the untrained twin of LLaVA-1.5-7B costs: memory beside it as it loads, and seconds of drawing all of it.

    python -m benchmarks.untrained_twin                            # 2 of its 32 blocks are loaded, packed in NF4
    python -m benchmarks.untrained_twin --blocks 6
    python -m benchmarks.untrained_twin --quantization none --dtype float16

The twin with the first `--blocks` of its decoder is loaded on the CPU: the peak of memory over what the process held
before, beside the weights. More blocks must not take more. Then each weight of the whole twin is drawn and let go.
"""

import argparse
import gc
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText, LlavaConfig
from transformers.initialization import no_tie_weights

from benchmarks.llava_shape import llava_1_5_7b_config
from benchmarks.machine import describe, keep
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.vlm.nf4 import quantization_of
from signbridge.vlm.untrained_twin import from_untrained, weights_of_twin

STATUS, PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")  # Linux


def main() -> None:
    """Load the first blocks of the twin, draw the whole twin weight by weight, print what both took."""
    arguments = _arguments()
    if not PEAK.exists():
        raise SignBridgeError("The peak of a process's memory is read from /proc, which this system lacks. Use Linux.")
    dtype = getattr(torch, arguments.dtype)
    lines = [f"LLaVA-1.5-7B's untrained twin, {arguments.dtype}, {describe()}"]
    print(lines[0], flush=True)
    config = llava_1_5_7b_config()
    config.text_config.num_hidden_layers = arguments.blocks
    _print(lines, f"{arguments.blocks} blocks, {arguments.quantization}: {_loaded(config, dtype, arguments)}")
    _print(lines, _drawn(llava_1_5_7b_config(), dtype))
    if arguments.keep:
        keep("untrained_twin", lines)


def _drawn(config: LlavaConfig, dtype: torch.dtype) -> str:
    """All weights of `config`, one after another: none is kept."""
    with torch.device("meta"), no_tie_weights():
        model = AutoModelForImageTextToText.from_config(config, dtype=dtype, trust_remote_code=False)
    start, before = time.process_time(), _memory("VmRSS")
    weights = weights_of_twin(model, 0, Path("LLaVA-1.5-7B"))
    noted = time.process_time() - start
    PEAK.write_text("5")
    drawn = sum(weight[...].numel() for weight in weights.values())
    seconds = time.process_time() - start - noted
    return (
        f"{drawn / 1e9:.2f} billion values drawn in {seconds:.1f} CPU-s ({drawn / seconds / 1e6:.0f} million a second) "
        f"after {noted:.1f} CPU-s of noting how each weight begins; peak {_memory('VmHWM') - before:.2f} GiB"
    )


def _loaded(config: LlavaConfig, dtype: torch.dtype, arguments: argparse.Namespace) -> str:
    quantization = quantization_of(arguments.quantization, dtype)  # which imports bitsandbytes
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        gc.collect()
        before, start = _memory("VmRSS"), time.process_time()
        PEAK.write_text("5")
        model, _ = from_untrained(
            Path(folder),
            seed=0,
            dtype=dtype,
            quantization_config=quantization,
            trust_remote_code=False,
            device_map={"": "cpu"},
            output_loading_info=True,
        )
        peak = _memory("VmHWM") - before
    weights = sum(weight.numel() * weight.itemsize for weight in model.parameters()) / 2**30
    return (
        f"loaded in {time.process_time() - start:.1f} CPU-s, {weights:.2f} GiB of weights, peak {peak:.2f} GiB: "
        f"{peak - weights:.2f} GiB beside them"
    )


def _memory(of: str) -> float:
    """GiB of this process: `VmRSS` now, `VmHWM` the highest since `PEAK` was written to."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(of))
    return int(line.split()[1]) / 2**20


def _print(lines: list[str], line: str) -> None:
    print(line, flush=True)
    lines.append(line)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=2, help="how many decoder blocks are loaded")
    parser.add_argument("--quantization", default="nf4", choices=["nf4", "none"])
    parser.add_argument("--dtype", default="float16", choices=["float16", "bfloat16", "float32"])
    parser.add_argument("--keep", action="store_true", help="append to benchmarks/results/untrained_twin.md")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
