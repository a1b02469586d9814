"""What the second half of the pipeline costs at the size of the notebook's study: every stage that fits probes.

    python -m benchmarks.study [--keep]

300 images of 20 letters in 185 photos, LLaVA-1.5-7B's sites (36: pixels, vision 1024 wide, projector, embedding, 32
layers of 4096) at 3 positions, 5 x 5 folds with nested choice, three controls of the same size and 20 draws of
shuffled labels: 102 cells, params.yaml's own settings. The activations are synthetic, the stages are run as
`dvc repro` runs them, one after the other in a folder of their own, and timed by the clock; memory is that of the
stage and its processes together, sampled ten times a second. `--keep` appends the table to benchmarks/results/study.md.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from tqdm import tqdm

from benchmarks.machine import describe, keep
from signbridge.core import activations, tables
from signbridge.datasets.control_images import CONTROLS, NO_IMAGE
from signbridge.datasets.images import encode_png

ROOT = Path(__file__).parents[1]
LETTERS, PER_LETTER, LAYERS, WIDTH = 20, 15, 32, 4096
STAGES = ("leakage", "probe", "controls", "statistics")


def sample(generator: np.random.Generator) -> pd.DataFrame:
    """Fifteen images a letter, of some nine photos each, as the notebook's rule draws them."""
    letters = np.repeat(list("ABCDEFGHIKLMNOPQRSTY"), PER_LETTER)
    photo = [f"{letter}-{number}" for letter in np.unique(letters) for number in generator.integers(0, 14, PER_LETTER)]
    images = [encode_png(generator.integers(0, 256, (28, 28), dtype=np.uint8)) for _ in letters]
    ids = [f"image-{number:03d}" for number in range(len(letters))]
    return pd.DataFrame({"image_id": ids, "label": letters, "photo": photo, "image": images})


def write_activations(folder: Path, images: pd.DataFrame, strength: float, generator: np.random.Generator) -> None:
    """Vectors as a decoder gives them: few strong directions, noise, scales over orders of magnitude, in float16."""
    layers = [activations.layer_site(block) for block in range(LAYERS)]
    sites = [*activations.SITES_BEFORE_LAYERS, *layers]
    photo = np.unique(images["photo"], return_inverse=True)[1]
    letter = np.unique(images["label"], return_inverse=True)[1]
    for site in tqdm(sites, desc=folder.name, leave=False):
        width = {"pixels": 784, "vision": 1024}.get(site, WIDTH)
        scale, offset = np.exp(generator.normal(size=width)), 3 * generator.normal(size=width)
        vectors = {}
        for position in activations.positions_of(site):
            latent = generator.normal(size=(photo.max() + 1, 60))[photo] + 0.2 * generator.normal(size=(len(photo), 60))
            latent += strength * generator.normal(size=(LETTERS, 60))[letter]
            rows = latent / np.sqrt(1 + np.arange(60)) @ generator.normal(size=(60, width))
            rows += 0.3 * generator.normal(size=rows.shape)
            if folder.name == NO_IMAGE:  # one image for every row
                rows[:] = rows[0]
            vectors[position] = ((rows + offset) * scale).astype(np.float16)
        activations.write(folder, site, images["image_id"].tolist(), vectors, {"sites": sites})


def prepare(folder: Path, generator: np.random.Generator) -> None:
    """A project folder as `extract` and `extract_controls` leave it."""
    shutil.copy(ROOT / "params.yaml", folder)
    images = sample(generator)
    data = folder / "data"
    made_by = {"images": {"source": "synthetic"}, "params": {"strategy": "signbridge"}, "model": {"name": "synthetic"}}
    tables.write(images, data / "sample.parquet", made_by)
    tables.write(images[["image_id", "photo"]], data / "photos.parquet", made_by)
    tables.write(images.assign(split="train", sha256=images["image_id"]), data / "images.parquet", made_by)
    words = np.array(["Fist", "Peace", "Palm", "Point", "Hook"])[np.arange(len(images)) // 60]
    answers = images[["image_id", "label"]].assign(prompt="", answer=words)
    tables.write(answers, data / "answers.parquet", made_by)
    write_activations(data / "activations", images, 0.5, generator)
    for control in CONTROLS:
        write_activations(data / "controls" / control, images, 0.0, generator)


def run_stage(stage: str, folder: Path) -> tuple[float, float]:
    """Seconds by the clock, and peak memory of all its processes in GiB."""
    start = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = psutil.Popen([sys.executable, "-m", f"stages.{stage}"], cwd=folder, env=environment)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _memory(process))
        time.sleep(0.1)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, f"stages.{stage}")
    return time.perf_counter() - start, peak / 2**30


def _memory(process: psutil.Popen) -> int:
    """Of a process and its children; shared pages are counted once."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except psutil.Error:  # it has just ended
            continue
    return total


def main() -> None:
    """Print the table, a row as soon as it is measured; with --keep also keep it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="append the table to benchmarks/results/study.md")
    arguments = parser.parse_args()
    lines = [f"{LETTERS * PER_LETTER} images, {len(activations.SITES_BEFORE_LAYERS) + LAYERS} sites; {describe()}"]
    lines += ["", "stage | seconds | peak memory (GiB)"]
    print("\n".join(lines))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, np.random.default_rng(0))
        measured = []
        for stage in STAGES:
            measured.append(run_stage(stage, folder))
            lines.append(f"{stage} | {measured[-1][0]:.0f} | {measured[-1][1]:.2f}")
            print(lines[-1], flush=True)
    lines.append(f"all | {sum(row[0] for row in measured):.0f} | {max(row[1] for row in measured):.2f}")
    print(lines[-1])
    if arguments.keep:
        keep("study", lines)


if __name__ == "__main__":
    main()
