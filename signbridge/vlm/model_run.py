"""One run of a model over images: what makes its vectors, and the settings that only say how they are computed.

The activation tables of one run, from its finished shards.
"""

import hashlib
import importlib.metadata
import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from signbridge.core import activations
from signbridge.core.errors import SignBridgeError
from signbridge.core.shards import names_of, vectors_of
from signbridge.datasets.images import grey_pixels
from signbridge.vlm.extraction import IMAGES_PER_SHARD, Reader
from signbridge.vlm.loading import (
    FolderModel,
    HubModel,
    TinyRandomModel,
    load,
)

PACKAGES = ("torch", "transformers", "bitsandbytes", "pillow")


def made_from(
    name: str, model: HubModel | FolderModel | TinyRandomModel, model_digest: Path, sample: Path
) -> dict[str, Any]:
    """What makes the vectors of a run, for the metadata of its tables: the entry `name`, packages, and the sample.

    `model_digest` is what the stage `model` wrote. Raises `SignBridgeError` if it is not there.
    """
    return {**read_with(name, model, model_digest), "sample_sha256": hashlib.sha256(sample.read_bytes()).hexdigest()}


def read_with(name: str, model: HubModel | FolderModel | TinyRandomModel, model_digest: Path) -> dict[str, Any]:
    """What reads a run, for the metadata of its tables: the entry `name` and packages.

    `model_digest` is what the stage `model` wrote. Raises `SignBridgeError` if it is not there.
    """
    return {
        "model": {"name": name, **model.model_dump()},
        "model_folder_sha256": _folder_sha256(model_digest),
        "packages": {package: _version(package) for package in PACKAGES},
    }


def fingerprint(made_by: dict[str, Any], device: torch.device, stage_file: str) -> str:
    """A name for the scratch folder of a run: of `made_by`, the size of a shard, the kind of device, and the code.

    The code is what is loaded of the project now, and `stage_file`, which runs it.
    """
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    files = {module.__file__ for name, module in sys.modules.items() if name.startswith(("signbridge.", "stages."))}
    code = b"".join(Path(file).read_bytes() for file in sorted({*files, stage_file}))
    parts = [made_by, device.type, gpu, images_per_shard(), hashlib.sha256(code).hexdigest()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def open_reader(model: HubModel | FolderModel | TinyRandomModel, scratch: Path, device: torch.device) -> Reader:
    """Load a catalog entry (random models lie below `scratch`) to be read with the batch size of the environment."""
    batch_size = _from_environment("SIGNBRIDGE_BATCH_SIZE")
    reader = Reader(load(model, scratch, device), model.prompt, model.max_new_tokens, batch_size)
    reader.batch_size = min(reader.batch_size, images_per_shard())
    return reader


def images_per_shard() -> int:
    """`SIGNBRIDGE_SHARD_IMAGES` if it is set, else what suits every batch size."""
    return _from_environment("SIGNBRIDGE_SHARD_IMAGES") or IMAGES_PER_SHARD


def _folder_sha256(model_digest: Path) -> str | None:
    try:
        return json.loads(model_digest.read_text(encoding="utf-8"))["folder_sha256"]
    except FileNotFoundError:
        raise SignBridgeError(
            f"{model_digest}: not there. Make it with `dvc repro`, or get it with `dvc pull`."
        ) from None


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


def decoded(pngs: Iterable[bytes]) -> list[Image.Image]:
    """The images as a model takes them in, in colour."""
    return [Image.open(io.BytesIO(png)).convert("RGB") for png in pngs]


def sites_of(shards: list[Path]) -> list[str]:
    """All sites of a run in order of depth, `pixels` first."""
    return ["pixels", *dict.fromkeys(name.split(".")[0] for name in names_of(shards[0]))]


def write_sites(
    folder: Path, shards: list[Path], image_ids: list[str], pngs: Sequence[bytes], made_by: dict[str, Any]
) -> None:
    """Write a table for each site of `shards` to `folder`, and the `pixels` of `pngs`, the images that were read.

    `image_ids` names the rows; `made_by` must hold `sites`.
    """
    pixels = np.stack([grey_pixels(png).reshape(-1) for png in pngs]).astype(np.float32)
    activations.write(folder, "pixels", image_ids, {"flat": pixels}, made_by)
    positions: dict[str, list[str]] = {}
    for name in names_of(shards[0]):
        site, position = name.split(".")
        positions.setdefault(site, []).append(position)
    for site, there in positions.items():
        vectors = {position: vectors_of(shards, f"{site}.{position}") for position in there}
        activations.write(folder, site, image_ids, vectors, made_by)
