"""One stage's run of a model: the model opened, items read shard by shard in a scratch folder, and what made it all.

    with model_run(__file__, sample=SAMPLE, lenses=settings.model_dump()) as run:
        shards = run.read_in_shards(images, work)
        tables.write(table_of(shards), LENSES, run.made_by)

The scratch folder is named by a fingerprint of the settings, the device and the stage's code, so a killed run goes on
where it was, and a run with other settings begins anew. It goes once the block has ended without an error.
"""

import gc
import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError
from signbridge.core.pipeline import code_digest, repro
from signbridge.core.scratch import HERE, SCRATCH
from signbridge.vlm import preflight
from signbridge.vlm.catalog import Model, ModelParams
from signbridge.vlm.chosen import AS_READ, MODEL, SCRATCH_MODELS, Kind, check_chosen, read_model
from signbridge.vlm.extraction import IMAGES_PER_SHARD, Reader, Work
from signbridge.vlm.loading import device_from_environment, load
from signbridge.vlm.nf4 import packed_layers
from signbridge.vlm.ray_pool import Elsewhere
from signbridge.vlm.shard_runs import read_in_shards

PACKAGES = ("torch", "transformers", "bitsandbytes", "pillow")
READ_ON = "read_on"
log = logging.getLogger(__name__)


class ModelRun:
    """A run of one model by one stage; made by `model_run`."""

    def __init__(self, stage_file: str, model: Model, made_by: dict[str, Any], item: str | None = None):
        """`model` is the complete entry of the catalog; `made_by` is what makes the stage's results.

        `item` is that of the stage's matrix, if it has one: two items may be read at once.
        """
        stage = Path(stage_file)
        within = [] if stage.parent.name == "stages" else [stage.parent.name]
        names = [*within, stage.stem, *([item] if item else [])]
        self.device = device_from_environment()
        self._made_by = made_by
        self.model = model
        self._read_on: dict[str, Any] = {}  # of the reader that was used last, which is not held here
        self._elsewhere = Elsewhere()
        self.scratch = SCRATCH / "_".join(names)
        self.folder = self.scratch / fingerprint(made_by | {"dequantize": model.dequantize}, self.device, stage_file)

    @property
    def made_by(self) -> dict[str, Any]:
        """What makes the run's tables, for their metadata; once a model is open, also on what and how it is read."""
        if (reader := self.__dict__.get("reader")) is not None:
            self._note(reader)
        return {**self._made_by, **self._read_on}

    def _note(self, reader: Reader) -> None:
        self._read_on = {READ_ON: read_on(reader, self.model)}

    @cached_property
    def reader(self) -> Reader:
        """The chosen model, loaded when it is first asked for."""
        return self.open(self.model)

    def open(self, model: Model, twin_seed: int | None = None) -> Reader:
        """Load a model, or its untrained twin of a seed, with the batch size of the environment."""
        batch_size = _from_environment("SIGNBRIDGE_BATCH_SIZE")
        loaded = load(model, SCRATCH_MODELS, self.device, twin_seed)
        self._elsewhere.note(loaded, model, twin_seed)
        reader = Reader(loaded, model.prompt, model.max_new_tokens, batch_size)
        reader.batch_size = min(reader.batch_size, images_per_shard())
        self._note(reader)
        return reader

    def close(self) -> None:
        """Let go of the model, so that it has left the memory before another is loaded."""
        self.__dict__.pop("reader", None)
        self._elsewhere.close()
        gc.collect()  # with whatever refers to itself
        torch.cuda.empty_cache()

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
        """Do `work` on the items (`shard_runs.read_in_shards`), in the sub-folder `within` of the run's own.

        `reader` is the chosen model's unless another is given.
        """
        reader = reader or self.reader
        shards = read_in_shards(
            reader, items, self.folder / within, items_per_shard or images_per_shard(), work,
            title or self.scratch.name, unit, self._elsewhere.makes(reader),
        )  # fmt: skip
        self._note(reader)  # memory may have run out
        return shards


@contextmanager
def model_run(
    stage_file: str,
    *,
    of: Path = AS_READ,
    item: str | None = None,
    sample: Path | None = None,
    earlier: Path | None = None,
    beside: Path | None = None,
    **made_by: Any,
) -> Iterator[ModelRun]:
    """The run of the model that the file `of` describes, and its end.

    `stage_file` is the stage, and `item` that of its matrix; without it the name of `of`, where that is one of several.
    `made_by` says what else makes the results; `sample`, a table of images, is told by its digest. A stage that reads
    a table which an `earlier` run of the model wrote needs no file: the table's metadata say the same. `beside` is a
    table from the model whose vectors the stage uses beside its own. The scratch folder goes when the block ends
    without an error, with what other settings left there.
    Raises `SignBridgeError` if a file is not there, or is of another model than the one that is chosen, or `beside` of
    another kind of weights.
    """
    read_by, kind = read_with(of, earlier)
    if beside is not None:
        check_kind(beside, kind, earlier or of)
    name = read_by["model"]["name"]
    model = with_weights(entry_of(read_by["model"]), kind)
    of_sample = {"sample_sha256": tables.file_sha256(sample)} if sample else {}
    is_chosen = of in (MODEL, AS_READ)
    run = ModelRun(stage_file, model, {**read_by, **of_sample, **made_by}, item or (None if is_chosen else of.stem))
    preflight.check(name, run.model, run.device, stage_file, SCRATCH)
    yield run
    run.close()
    # What other settings left goes too, but not from a folder that other projects may share.
    shutil.rmtree(run.scratch if SCRATCH == HERE else run.folder, ignore_errors=True)


def read_with(of: Path = AS_READ, earlier: Path | None = None) -> tuple[dict[str, Any], Kind | None]:
    """What reads a run, for the metadata of its tables, and the kind of weights that it is to have, once decided.

    That is the complete entry of the catalog, its files and packages. `of` and `earlier` are as `model_run` has them,
    and what it says of them is raised.
    """
    described = read_model(of) if earlier is None else _described_by(earlier)
    if earlier is not None or of in (MODEL, AS_READ):
        check_chosen(described, earlier or of)
    read_by = {
        "model": {"name": described["name"], **described["entry"]},
        "model_folder_sha256": described["folder_sha256"],
        "packages": {package: _version(package) for package in PACKAGES},
    }
    return read_by, described.get("weights")


def _described_by(table: Path) -> dict[str, Any]:
    """What the metadata of a table from a model say of it, as `read_model` has it."""
    made_by = tables.made_by(table)
    entry = {key: value for key, value in made_by["model"].items() if key != "name"}
    return {
        "name": made_by["model"]["name"],
        "entry": entry,
        "folder_sha256": made_by["model_folder_sha256"],
        "weights": kind_of(table),
    }


def entry_of(named: dict[str, Any]) -> Model:
    """The entry of the catalog that a table's metadata have with its name."""
    return TypeAdapter(ModelParams).validate_python({key: value for key, value in named.items() if key != "name"})


def read_on(reader: Reader, model: Model) -> dict[str, Any]:
    """The kind of device that a model is read on, how many images together at most, and its kind of weights."""
    plain: Kind = "expanded" if model.quantization == "nf4" else "plain"
    kind = "packed" if packed_layers(reader.loaded.model) else plain
    return {"device": reader.loaded.device.type, "batch_size": reader.batch_size, "weights": kind}


def kind_of(table: Path) -> Kind | None:
    """The kind of weights that `table` was read with; None if it was not read from a model."""
    return tables.made_by(table).get(READ_ON, {}).get("weights")


def check_kind(table: Path, kind: Kind | None, where: Path) -> None:
    """Raises `SignBridgeError` if `table` was read with another kind of weights than the file `where` says."""
    there = kind_of(table)
    if None not in (there, kind) and there != kind:
        raise SignBridgeError(
            f"{table}: read with {there} weights, and {where} says {kind}. A study has one kind: make it again with "
            f"{repro(table)}."
        )


def with_weights(model: Model, kind: Kind | None) -> Model:
    """The catalog's model, its NF4 weights packed or expanded as the study has them, whatever has room here.

    What `dequantize: auto` means is decided once a study, from the memory of the device that read the sample.
    """
    if model.quantization != "nf4" or model.dequantize != "auto" or kind is None:
        return model
    log.info("NF4 weights are %s, as the study's were", kind)
    return model.model_copy(update={"dequantize": {"packed": "never", "expanded": "always"}[kind]})


def fingerprint(made_by: dict[str, Any], device: torch.device, stage_file: str) -> str:
    """A name for a scratch folder: of `made_by`, the size of a shard, the kind of device, and the stage's code."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    parts = [made_by, device.type, gpu, images_per_shard(), code_digest(stage_file)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def images_per_shard() -> int:
    """`SIGNBRIDGE_SHARD_IMAGES` if it is set, else what suits every batch size."""
    return _from_environment("SIGNBRIDGE_SHARD_IMAGES") or IMAGES_PER_SHARD


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
