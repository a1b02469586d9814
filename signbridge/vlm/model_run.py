"""One stage's run of a model: the model opened, items read shard by shard in a scratch folder, and what made it all.

    with model_run(__file__, sample=SAMPLE, lenses=settings.model_dump()) as run:
        shards = run.read_in_shards(images, work)
        tables.write(table_of(shards), LENSES, run.made_by)

The scratch folder is named by a fingerprint of the settings, the device and the stage's code, so a killed run goes on
where it was, and a run with other settings begins anew. It goes once the block has ended without an error.
"""

import hashlib
import importlib.metadata
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from signbridge.core import activations, params, tables
from signbridge.core.errors import SignBridgeError
from signbridge.core.pipeline import code_digest
from signbridge.core.shards import names_of, vectors_of
from signbridge.datasets.images import grey_pixels
from signbridge.vlm.extraction import IMAGES_PER_SHARD, Reader, Work, read_in_shards
from signbridge.vlm.loading import (
    FolderModel,
    HubModel,
    ModelParams,
    TinyRandomModel,
    device_from_environment,
    load,
)

PACKAGES = ("torch", "transformers", "bitsandbytes", "pillow")
MODEL = Path("data/model.json")  # what the stage `model` wrote
SCRATCH = Path(".scratch")

Model = HubModel | FolderModel | TinyRandomModel


class ModelRun:
    """A run of the chosen model by one stage; made by `model_run`."""

    def __init__(self, stage_file: str, name: str, model: Model, made_by: dict[str, Any], earlier: Path | None = None):
        """`name` and `model` are the entry of the catalog; `made_by` is what else makes the stage's results.

        `earlier` is as `model_run` has it.
        """
        stage = Path(stage_file)
        folder = stage.parent.name
        self.model = model
        self.device = device_from_environment()
        self.made_by = {**read_with(name, model, earlier), **made_by}
        self.scratch = SCRATCH / (stage.stem if folder == "stages" else f"{folder}_{stage.stem}")
        self.folder = self.scratch / fingerprint(self.made_by, self.device, stage_file)

    @cached_property
    def reader(self) -> Reader:
        """The chosen model, loaded when it is first asked for."""
        return self.open(self.model)

    def open(self, model: Model, twin_seed: int | None = None) -> Reader:
        """Load a model, or its untrained twin of a seed, with the batch size of the environment."""
        batch_size = _from_environment("SIGNBRIDGE_BATCH_SIZE")
        loaded = load(model, SCRATCH / "models", self.device, twin_seed)
        reader = Reader(loaded, model.prompt, model.max_new_tokens, batch_size)
        reader.batch_size = min(reader.batch_size, images_per_shard())
        return reader

    def read_in_shards(
        self,
        items: list,
        work: Work | None = None,
        title: str | None = None,
        unit: str = "image",
        within: str = ".",
        reader: Reader | None = None,
        items_per_shard: int | None = None,
    ) -> list[Path]:
        """Do `work` on the items (`extraction.read_in_shards`), in the sub-folder `within` of the run's own.

        `reader` is the chosen model's unless another is given.
        """
        return read_in_shards(
            reader or self.reader, items, self.folder / within, items_per_shard or images_per_shard(), work,
            title or self.scratch.name, unit,
        )  # fmt: skip


@contextmanager
def model_run(
    stage_file: str, *, sample: Path | None = None, earlier: Path | None = None, **made_by: Any
) -> Iterator[ModelRun]:
    """The run of the model that `params.yaml` chooses, by the stage `stage_file`, and its end.

    `made_by` says what else makes the results; `sample`, a table of images, is told by its digest. A stage that reads
    a table which an `earlier` run of the model wrote needs no `data/model.json`: the table's metadata say the same. The
    scratch folder goes when the block ends without an error, with what other settings left there.
    """
    name, model = params.selected("model", params.MODELS, ModelParams)
    of_sample = {"sample_sha256": hashlib.sha256(sample.read_bytes()).hexdigest()} if sample else {}
    run = ModelRun(stage_file, name, model, {**of_sample, **made_by}, earlier)
    yield run
    shutil.rmtree(run.scratch, ignore_errors=True)


def read_with(name: str, model: Model, earlier: Path | None = None) -> dict[str, Any]:
    """What reads a run, for the metadata of its tables: the entry `name` of the catalog, its files and packages.

    Raises `SignBridgeError` if `data/model.json` is not there, or the table `earlier` is of another model.
    """
    entry = {"name": name, **model.model_dump()}
    if earlier is None:
        digest = _folder_sha256(MODEL)
    else:
        known = tables.made_by(earlier)
        if known["model"] != entry:
            raise SignBridgeError(f"{earlier}: made by another model than {name}. Make it again with `dvc repro`.")
        digest = known["model_folder_sha256"]
    return {
        "model": entry,
        "model_folder_sha256": digest,
        "packages": {package: _version(package) for package in PACKAGES},
    }


def fingerprint(made_by: dict[str, Any], device: torch.device, stage_file: str) -> str:
    """A name for a scratch folder: of `made_by`, the size of a shard, the kind of device, and the stage's code."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    parts = [made_by, device.type, gpu, images_per_shard(), code_digest(stage_file)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def images_per_shard() -> int:
    """`SIGNBRIDGE_SHARD_IMAGES` if it is set, else what suits every batch size."""
    return _from_environment("SIGNBRIDGE_SHARD_IMAGES") or IMAGES_PER_SHARD


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
