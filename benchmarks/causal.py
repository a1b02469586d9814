"""What patching, steering and erasure cost with a model, in clean prompts: each through the code of its stage.

    python -m benchmarks.causal                                    # the miniature
    python -m benchmarks.causal --model llava-1-5-7b-shape --keep  # LLaVA-1.5-7B's shape, random weights, NF4; a GPU

One clean prompt is measured in the same run, so that the cost of every edit can be given as a ratio. Images are noise;
erasers and directions are fitted on random vectors of the model's width: what is measured is the way through the model.
"""

import argparse

import numpy as np
from PIL import Image

from benchmarks.extract import SCRATCH, entry_of
from benchmarks.machine import describe, keep
from benchmarks.timing import peak_gib, timed
from signbridge.causal.courses import mean_norms
from signbridge.causal.damage import describe as describe_images
from signbridge.causal.directions import all_directions
from signbridge.causal.erasure import ErasureSweep, edits_at, erasing_work
from signbridge.causal.pairs import ClassPair
from signbridge.causal.patching import Swap, patching_work
from signbridge.causal.steering import Course, SteeringSweep, steer
from signbridge.core.command_line import run
from signbridge.core.sweeps import spread_layers
from signbridge.vlm.branching import clean_run
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import LoadedModel, device_from_environment, load

DESCRIBE = "USER: <image>\nDescribe the hand.\nASSISTANT:"
DRAWS, STRENGTHS = 4, [0.5, 1.0]


def main() -> None:
    """Measure and print; with --keep also append to the results."""
    arguments = _arguments()
    device = device_from_environment()
    entry = entry_of(arguments.model)
    loaded = load(entry, SCRATCH, device)
    reader = Reader(loaded, entry.prompt, entry.max_new_tokens, arguments.batch_size)
    blocks, width = len(loaded.parts.blocks), loaded.model.config.get_text_config().hidden_size
    print(f"{arguments.model}: {blocks} blocks of width {width}, batches of {reader.batch_size}", flush=True)
    lines = [f"model {arguments.model}, {loaded.model.dtype}, batches of {reader.batch_size}, {describe()}"]
    clean = _clean(reader, _noise(4 * reader.batch_size))
    lines.append(f"a clean prompt: {clean * 1000:.1f} ms")
    work = {
        "patching: a pair of images, every site, both ways": (arguments.pairs, lambda: _patch(reader, arguments.pairs)),
        "steering: one course": (1, lambda: _steer(reader, arguments.layers)),
        "erasure: an image": (arguments.images, lambda: _erase(reader, arguments.layers, arguments.images)),
    }
    for name, (units, call) in work.items():
        seconds, what = timed(device, call)
        lines.append(
            f"{name} ({what}): {seconds / units:.3f} s, {seconds / units / clean:.1f} clean prompts, "
            f"peak {peak_gib(device):.2f} GiB of {'GPU ' * (device.type == 'cuda')}memory"
        )
    print("\n".join(lines))
    if arguments.keep:
        keep("causal", lines)


def _patch(reader: Reader, pairs: int) -> str:
    images = _noise(2 * pairs)
    swaps = [Swap(images[2 * pair], images[2 * pair + 1], reader.prompt, (5, 6)) for pair in range(pairs)]
    shard = reader.read(swaps, patching_work(reader))
    _, _, sites, positions = shard.vectors["patched"].shape
    return f"{2 * sites * positions} cells, all finite: {bool(np.isfinite(shard.vectors['patched']).all())}"


def _steer(reader: Reader, layers: int) -> str:
    sites, images = spread_layers(layers, len(reader.loaded.parts.blocks)), _noise(4)
    describer = Reader(reader.loaded, DESCRIBE, 20, reader.batch_size)
    sweep = SteeringSweep(
        layers=layers, pairs=1, images=2, others=2, at=["every"], during=["every_step"], strengths=STRENGTHS,
        draws=DRAWS, answer_tokens=5,
    )  # fmt: skip
    norms, generator = mean_norms(reader, images), np.random.default_rng(0)
    directions = generator.normal(size=(len(all_directions(DRAWS)), _width(reader.loaded)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    course = Course(
        pair=ClassPair("A", "B", "a", "b"), at="every", unsteered=["a", "a"], image_ids=["0", "1"], images=images[:2],
        other_ids=["2", "3"], others=images[2:], before="", descriptions=describe_images(describer, images[2:]),
        answer=[5, 6], names=all_directions(DRAWS), told=("class_means",),
        directions=dict.fromkeys(sites, directions), unit=norms["every"],
    )  # fmt: skip
    found = steer(reader, describer, sweep, course)
    finite = bool(np.isfinite(found.probability).all() and np.isfinite(found.damage).all())
    return f"{found.probability.size} steered answers, {found.damage.size} descriptions, all finite: {finite}"


def _erase(reader: Reader, layers: int, images: int) -> str:
    generator = np.random.default_rng(0)
    labels, photos = np.repeat(list("ABCDE"), 12), np.repeat(np.arange(20), 3)
    sweep = ErasureSweep(layers=layers, at=["prompt_last", "image", "both"], draws=1, drawn=0, others=2)
    edits = {
        site: edits_at(site, lambda *_: generator.normal(size=(60, _width(reader.loaded))), labels, photos, sweep, 0)
        for site in spread_layers(layers, len(reader.loaded.parts.blocks))
    }
    shard = reader.read(_noise(images), erasing_work(reader, edits, sweep.at))
    finite = all(bool(np.isfinite(vectors).all()) for vectors in shard.vectors.values())
    return f"{3 * sum(map(len, edits.values()))} edits, all finite: {finite}"


def _clean(reader: Reader, images: list[Image.Image]) -> float:
    """Seconds a prompt, run as the edits run theirs."""
    batch = reader.prepare(images[: reader.batch_size]).to(reader.loaded.device, dtype=reader.loaded.model.dtype)
    times = [timed(reader.loaded.device, lambda: clean_run(reader.loaded, batch, 0))[0] for _ in range(4)]
    return float(np.median(times[1:])) / reader.batch_size


def _noise(images: int) -> list[Image.Image]:
    pixels = np.random.default_rng(0).integers(0, 256, (images, 28, 28), dtype=np.uint8)
    return [Image.fromarray(array).convert("RGB") for array in pixels]


def _width(loaded: LoadedModel) -> int:
    return loaded.model.config.get_text_config().hidden_size


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="miniature", help="of models.yaml, or llava-1-5-7b-shape")
    parser.add_argument("--batch-size", type=int, default=None, help="prompts at once; found out without it")
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--keep", action="store_true", help="append to benchmarks/results/causal.md")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
