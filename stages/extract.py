"""Read every site of the chosen model at every position for the images of the sample, and its answers.

    python -m stages.extract

Environment: SIGNBRIDGE_DEVICE (cpu, cuda, cuda:1), SIGNBRIDGE_BATCH_SIZE and SIGNBRIDGE_SHARD_IMAGES (powers of
two); all are found out where they are not set. Finished shards lie in .scratch/ until the tables are written.
"""

import hashlib
import importlib.metadata
import io
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from signbridge import activations, params, tables
from signbridge.command_line import run
from signbridge.datasets.images import grey_pixels
from signbridge.errors import SignBridgeError
from signbridge.extraction import IMAGES_PER_SHARD, Reader, read_in_shards
from signbridge.shards import answers_of, names_of, vectors_of
from signbridge.vlm.loading import ModelParams, device_from_environment, load

SAMPLE = Path("data/sample.parquet")
MODEL = Path("data/model.json")
ACTIVATIONS = Path("data/activations")
ANSWERS = Path("data/answers.parquet")
SCRATCH = Path(".scratch")
PACKAGES = ("torch", "transformers", "bitsandbytes", "pillow")


def main() -> None:
    """Read `data/sample.parquet` and `data/model.json`, write `data/activations/` and `data/answers.parquet`."""
    name, model = params.selected("model", "models", ModelParams)
    sample = tables.read(SAMPLE)
    device = device_from_environment()
    images_per_shard = _from_environment("SIGNBRIDGE_SHARD_IMAGES") or IMAGES_PER_SHARD
    batch_size = _from_environment("SIGNBRIDGE_BATCH_SIZE")
    made_by = {
        "model": {"name": name, **model.model_dump()},
        "model_folder_sha256": _folder_sha256(),
        "packages": {package: _version(package) for package in PACKAGES},
        "sample_sha256": hashlib.sha256(SAMPLE.read_bytes()).hexdigest(),
    }

    images = [Image.open(io.BytesIO(png)).convert("RGB") for png in sample["image"]]
    folder = SCRATCH / "extract" / _fingerprint(made_by, device, images_per_shard)
    reader = Reader(load(model, SCRATCH / "models", device), model.prompt, model.max_new_tokens, batch_size)
    reader.batch_size = min(reader.batch_size, images_per_shard)
    shards = read_in_shards(reader, images, folder, images_per_shard)
    _write_tables(shards, sample, model.prompt, made_by)
    shutil.rmtree(SCRATCH / "extract")  # what other settings left there too


def _write_tables(shards: list[Path], sample: pd.DataFrame, prompt: str, made_by: dict[str, Any]) -> None:
    image_ids = sample["image_id"].tolist()
    positions: dict[str, list[str]] = {}
    for name in names_of(shards[0]):
        site, position = name.split(".")
        positions.setdefault(site, []).append(position)
    sites = ["pixels", *positions]
    made_by = {**made_by, "sites": sites}
    pixels = np.stack([grey_pixels(png).reshape(-1) for png in sample["image"]]).astype(np.float32)
    activations.write(ACTIVATIONS, "pixels", image_ids, {"flat": pixels}, made_by)
    for site in sites[1:]:
        vectors = {position: vectors_of(shards, f"{site}.{position}") for position in positions[site]}
        activations.write(ACTIVATIONS, site, image_ids, vectors, made_by)
    answers = sample[["image_id", "label"]].assign(prompt=prompt, answer=answers_of(shards))
    tables.write(answers, ANSWERS, made_by)


def _folder_sha256() -> str | None:
    try:
        return json.loads(MODEL.read_text(encoding="utf-8"))["folder_sha256"]
    except FileNotFoundError:
        raise SignBridgeError(f"{MODEL}: not there. Make it with `dvc repro`, or get it with `dvc pull`.") from None


def _fingerprint(made_by: dict[str, Any], device: torch.device, images_per_shard: int) -> str:
    """What makes the vectors: params, packages, images, the kind of device, and the code that is loaded here."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    files = {module.__file__ for name, module in sys.modules.items() if name.startswith(("signbridge.", "stages."))}
    code = b"".join(Path(file).read_bytes() for file in sorted({*files, __file__}))
    parts = [made_by, device.type, gpu, images_per_shard, hashlib.sha256(code).hexdigest()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _from_environment(name: str) -> int | None:
    value = os.environ.get(name)
    if not value:
        return None
    if value not in {str(2**power) for power in range(11)}:
        raise SignBridgeError(f"{name}={value}: expected a power of two from 1 to 1024. Unset it to have it found out.")
    return int(value)


if __name__ == "__main__":
    run(main)
