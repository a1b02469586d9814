"""The preflight: what the chosen model needs beside what this machine has, before anything is fetched or loaded.

A small model that lies here is not looked at further: it fits any machine that runs the rest of the study.
"""

import argparse
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import torch
from transformers import PreTrainedConfig

from signbridge.core import params
from signbridge.core.errors import SignBridgeError
from signbridge.core.model_folder import check_model_folder
from signbridge.core.tables import whole_file
from signbridge.datasets.control_images import ControlsParams
from signbridge.datasets.sampling import SampleParams
from signbridge.vlm import hub
from signbridge.vlm.catalog import HubModel, Model, ModelParams
from signbridge.vlm.chosen import SCRATCH_MODELS, complete
from signbridge.vlm.loading import check_family
from signbridge.vlm.machine import driver_version, free_disk, free_memory, standing, torch_build, why_no_gpu
from signbridge.vlm.memory import all_bytes, fitting_batch, free_bytes
from signbridge.vlm.needs import Needs, config_of, needs_of
from signbridge.vlm.nf4 import quantization_for, room_for_expanded
from signbridge.vlm.packed_weights import LARGE, ROOM, packed_folder
from signbridge.vlm.random_weights import tiny_config
from signbridge.vlm.store import TWICE, chosen_store

log = logging.getLogger(__name__)

SMALL = 10**9  # weights of a model that is not looked at further, in bytes
PROCESS = 3 * 2**30  # of main memory: Python, PyTorch and CUDA, and a weight that is on its way to the GPU
SAMPLE = Path("data/sample.parquet")
_NAME = "of models.yaml, or some-org/some-name@commit; default: the one in params.yaml"


class Row(NamedTuple):
    """One line of the table."""

    what: str
    needed: str
    there: str


class Preflight(NamedTuple):
    """What was found."""

    rows: list[Row]
    problems: list[SignBridgeError]  # why nothing may start; the first is the one to see to
    needs: Needs | None  # None where nothing tells the model's configuration

    def __str__(self) -> str:
        what, needed = (max(len(row[column]) for row in self.rows) for column in (0, 1))
        return "\n".join(f"{row.what:{what}}  {row.needed:{needed}}  {row.there}".rstrip() for row in self.rows)


def check(name: str, model: Model, device: torch.device, stage_file: str, scratch: Path) -> None:
    """Raises `SignBridgeError` if the stage cannot end well with the catalog's entry `name` on `device`.

    The table is logged once a run of the pipeline, and again where something is wrong.
    """
    check_device(name, model, device)
    if _is_small(model):
        return
    found = preflight(name, model, device, Path(stage_file).stem)
    checked = [name, model.model_dump(exclude={"dequantize"}), str(device)]  # which a study's first stage decides
    if _is_new(checked, scratch / "preflight") or found.problems:
        log.info("preflight of %s\n%s\n%s", name, found, "stop" if found.problems else "go")
    if found.problems:
        raise found.problems[0]


def check_device(name: str, model: Model, device: torch.device) -> None:
    """Raises `SignBridgeError` if a model that is made for a GPU would run on a CPU that nobody asked for."""
    asked = bool(os.environ.get("SIGNBRIDGE_DEVICE"))
    if device.type == "cpu" and not asked and (model.source == "hub" or model.quantization == "nf4"):
        raise SignBridgeError(
            f"{name} would run on the CPU, for hours or days. {why_no_gpu()}\n"
            "If the CPU is what you want, set SIGNBRIDGE_DEVICE=cpu."
        )


def preflight(name: str, model: Model, device: torch.device, stage: str = "extract") -> Preflight:
    """What the catalog's entry `name` needs on `device`, for `stage` and those of the study that follow; what there is.

    Of a model of the hub that is not at hand, no more than its `config.json` is fetched.
    """
    problems: list[SignBridgeError] = []
    files = _files(model, problems)
    needs, packed = None, 0
    if files.config is not None:
        packs = model.quantization == "nf4" and not hasattr(files.config, "quantization_config")
        try:
            model = complete(model)
            needs = needs_of(files.config, model, chosen_store())
        except SignBridgeError as problem:
            problems.append(problem)
        else:
            packed = _packed_copy(model, files.folder, device, needs) if packs else 0
    rows = [Row("", "needed", "there"), _device(device), *files.rows]
    if needs is not None:
        rows += _memory(name, model, device, needs, problems)
    rows += _disk(name, files.to_fetch, packed, needs, stage, problems)
    return Preflight(rows, problems, needs)


def name_of_arguments(program: str, doc: str) -> str | None:
    """The name of a model on the command line of `python -m PROGRAM [NAME]`, where there is one."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=doc.splitlines()[0])
    parser.add_argument("name", nargs="?", metavar="NAME", help=_NAME)
    return parser.parse_args().name


def named_or_chosen(name: str | None = None) -> tuple[str, Model]:
    """The entry `name` of models.yaml, the model of the hub that it names, or the one that params.yaml chooses.

    Raises `SignBridgeError` saying which entries exist.
    """
    if name is None:
        return params.selected("model", params.MODELS, ModelParams)
    return name, params.entry(name, params.MODELS, ModelParams)


def images_of_study() -> int | None:
    """How many images the sample has, or will have; None if only drawing it can tell."""
    if SAMPLE.is_file():
        return pq.read_metadata(SAMPLE).num_rows
    sample = params.section("sample", SampleParams)
    classes = len(sample.classes) if isinstance(sample.classes, list) else sample.classes
    return None if "all" in (classes, sample.per_class) else classes * sample.per_class


class _Files(NamedTuple):
    config: PreTrainedConfig | None  # None where it cannot be had
    folder: Path | None  # None where they are not all at hand
    to_fetch: int  # bytes
    rows: list[Row]


def _files(model: Model, problems: list[SignBridgeError]) -> _Files:
    """Where the model's files are, and how much of them must be fetched."""
    if model.source == "tiny_random":
        return _Files(tiny_config(model.family), None, 0, [Row("model", "", "drawn at random here")])
    try:
        if model.source == "hub":
            return _of_hub(model)
        folder = Path(model.path).expanduser()
        check_model_folder(folder, model.quantization)
        return _Files(_config(folder), folder, 0, [Row("model", "", f"at hand in {folder}")])
    except SignBridgeError as problem:
        problems.append(problem)
        return _Files(None, None, 0, [Row("model", "size not known", "cannot be had, see below")])


def _of_hub(model: HubModel) -> _Files:
    folder = hub.at_hand(model.hub_id, model.revision, model.quantization)
    if folder is not None:
        return _Files(_config(folder), folder, 0, [Row("model", "", f"at hand in {folder}")])
    listed = hub.listing(model.hub_id, model.revision)
    if listed.gated:
        hub.check_entry(model.hub_id)
    to_fetch = hub.still_to_fetch(model.hub_id, model.revision, listed)
    config = _config(hub.fetch(model.hub_id, model.revision, ["config.json"]))
    where = f"to be fetched from the hub: {model.hub_id}, {_gb(listed.size)}"
    token = Row("hub token", "yes" if listed.gated else "no", "lets you in" if listed.gated else "")
    return _Files(config, None, to_fetch, [Row("model", f"{_gb(to_fetch)} more", where), token])


def _config(folder: Path) -> PreTrainedConfig:
    check_family(folder)
    return config_of(folder)


def _device(device: torch.device) -> Row:
    if device.type != "cuda":
        return Row("device", "", f"{device.type}, {torch_build()}")
    named, driver = torch.cuda.get_device_name(device), driver_version()
    return Row("device", "", f"{device}: {named}, driver {driver or 'not known'}, {torch_build()}")


def _memory(
    name: str, model: Model, device: torch.device, needs: Needs, problems: list[SignBridgeError]
) -> Iterator[Row]:
    """Memory of the GPU, where there is one, and main memory."""
    total = all_bytes(device)
    expands = (
        model.dequantize == "always"
        or model.adapter is not None
        or (model.dequantize == "auto" and room_for_expanded(needs.expanded, total))
    )
    weights = needs.expanded if expands else needs.weights
    smaller = "dequantize: never" if expands and needs.weights < weights else "quantization: nf4"
    is_fixed = model.adapter is not None or (model.quantization == "nf4" and not expands)  # by the adapter's base
    way_out = "" if is_fixed else f", or set {smaller} for it in models.yaml"
    on_device = weights + needs.image
    if device.type == "cuda":
        free, batch = free_bytes(device), fitting_batch(device.type, total - weights, needs.image)
        yield Row("GPU memory", _gib(on_device), f"{_gib(free)} free of {_gib(total)}, for batches of {batch}")
        if free < on_device:
            problems.append(
                SignBridgeError(
                    f"{device}: {name} needs {_gib(on_device)} with one image at a time ({_gib(weights)} of weights), "
                    f"{_gib(free)} of {_gib(total)} are free. Free some, or choose a smaller model{way_out}."
                )
            )
    needed = PROCESS + (0 if device.type == "cuda" else on_device)
    there = free_memory()
    yield Row("main memory", _gib(needed), "not known" if there is None else f"{_gib(there)} free")
    if there is not None and there < needed:
        problems.append(
            SignBridgeError(
                f"main memory: {name} needs {_gib(needed)} on {device}, {_gib(there)} are free. "
                f"Free some, or choose a smaller model{way_out}."
            )
        )


def _packed_copy(model: Model, folder: Path | None, device: torch.device, needs: Needs) -> int:
    """Bytes of disk for the packed weights that the first stage keeps; 0 where it has, or keeps none."""
    if needs.expanded < LARGE:
        return 0
    if folder is not None:
        kept = packed_folder(folder, quantization_for(model, folder), device, SCRATCH_MODELS)
        if kept is None or kept.is_dir():
            return 0
    return int(ROOM * needs.weights)


def _disk(
    name: str, to_fetch: int, packed: int, needs: Needs | None, stage: str, problems: list[SignBridgeError]
) -> Iterator[Row]:
    """Room for the model's files, for its packed weights, and for what the stages write of every image."""
    here, cache = Path.cwd(), hub.cache_folder()
    images = images_of_study()
    written = {
        stage: times * TWICE * needs.stored * images if needs and images else None
        for stage, times in _activations_written(stage).items()
    }
    for of_stage, size in written.items():
        there = f"{_gb(free_disk(here))} free in {here}"
        yield Row(f"disk, {of_stage}", "not known" if size is None else _gb(size), there)
    data = packed + sum(size or 0 for size in written.values())
    if packed:
        yield Row("disk, packed weights", _gb(packed), f"{_gb(free_disk(here))} free in {here}")
    if to_fetch:
        yield Row("disk, model", _gb(to_fetch), f"{_gb(free_disk(cache))} free in {cache}")
    shared = standing(here).stat().st_dev == standing(cache).stat().st_dev
    for folder, needed in {here: data + shared * to_fetch, cache: to_fetch + shared * data}.items():
        if free_disk(folder) < needed and not (shared and folder == cache):
            problems.append(
                SignBridgeError(
                    f"{folder}: {name} needs {_gb(needed)} on this disk ({_gb(to_fetch)} to fetch, {_gb(packed)} for "
                    f"its packed weights), "
                    f"{_gb(free_disk(folder))} are free. Free some, or set HF_HOME to a disk with room for the model."
                )
            )


def _activations_written(stage: str) -> dict[str, int]:
    """How often every site of the sample is written by `stage` and those of the study that follow."""
    controls = len(params.section("controls", ControlsParams).read)
    times = {"extract": 1, "extract_controls": controls}
    return {"extract": times, "extract_controls": {"extract_controls": controls}}.get(stage, {})


def _is_small(model: Model) -> bool:
    """Whether the model lies here, or is made here, and is small."""
    if model.source == "hub":
        return False
    weights = [] if model.source == "tiny_random" else Path(model.path).expanduser().glob("*.safetensors")
    return sum(file.stat().st_size for file in weights if file.is_file()) < SMALL


def _is_new(checked: Any, marker: Path) -> bool:
    """Whether this run of the pipeline has not checked that yet; now it has.

    A run is told by its process group: that of the `dvc repro`, or of the command, that started all of it.
    """
    run = os.getpgrp() if hasattr(os, "getpgrp") else os.getppid()
    known = hashlib.sha256(json.dumps([run, checked], sort_keys=True).encode()).hexdigest()
    if marker.is_file() and marker.read_text(encoding="utf-8") == known:
        return False
    with whole_file(marker) as unfinished:
        unfinished.write_text(known, encoding="utf-8")
    return True


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 5e7 else "under 0.1 GB"


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
