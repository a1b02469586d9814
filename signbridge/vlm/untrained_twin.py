"""The untrained twin of a model: the same architecture, tokenizer and image processing, with seeded random weights.

What a probe reads in the twin comes from the architecture and the images, not from training.
"""

import hashlib
import json
import logging
import shutil
from pathlib import Path

import torch
import transformers
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedConfig

from signbridge.core.errors import SignBridgeError
from signbridge.core.model_folder import MODEL_FILES, packing
from signbridge.core.tables import whole_folder
from signbridge.vlm.library_errors import said_of_files
from signbridge.vlm.loading import (
    FolderModel,
    HubModel,
    TinyRandomModel,
    model_folder,
)

log = logging.getLogger(__name__)

SHARD_SIZE = "1GB"  # what writing holds in memory beside the weights


def untrained_twin(
    params: HubModel | FolderModel | TinyRandomModel, seed: int, scratch: Path, models: Path
) -> FolderModel:
    """The entry of the untrained twin of the entry `params`, read in the same way; its weights lie below `scratch`.

    They are written once, in the entry's dtype, and take that room on disk: 14 GB for LLaVA-1.5-7B. `scratch` is the
    twins' own: what else lies there, another twin or half of one, is removed first. `models` is where `load` finds
    random models. Raises `SignBridgeError` if the model cannot be had, its weights do not fit its config.json, or the
    disk is too full.
    """
    source = model_folder(params, models)
    dtype = getattr(torch, params.dtype)
    folder = scratch / _fingerprint(source, seed, dtype)
    if not folder.exists():
        shutil.rmtree(scratch, ignore_errors=True)
        with whole_folder(folder) as unfinished:
            _write_twin(source, unfinished, seed, dtype)
    settings = params.model_dump(include=set(FolderModel.model_fields) - {"source", "path"})
    return FolderModel(source="folder", path=str(folder), **settings)


def _write_twin(source: Path, folder: Path, seed: int, dtype: torch.dtype) -> None:
    """Weights drawn as the library initialises them; every other file is the source's own."""
    log.info("drawing the untrained twin's weights")
    with said_of_files(source):
        config = AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_own_stream(seed))
            _unpack(config)
            model = AutoModelForImageTextToText.from_config(config, dtype=dtype, trust_remote_code=False)
    _check_disk(folder, model.get_memory_footprint())
    model.save_pretrained(folder, max_shard_size=SHARD_SIZE)
    for file in _files_beside_weights(folder):
        file.unlink()
    for file in _files_beside_weights(source):
        shutil.copyfile(file, folder / file.name)
    if packing(source):  # the twin's weights are not, whatever its source's are
        config.save_pretrained(folder)
    _check_shapes(folder, source)


def _unpack(config: PreTrainedConfig) -> None:
    """Let `config` tell of weights that are not packed."""
    for one in (config, config.get_text_config()):
        if hasattr(one, "quantization_config"):
            del one.quantization_config


def _check_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SignBridgeError(
            f"{folder}: the untrained twin's weights take {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free. "
            "Free some, or leave untrained_twin out of controls.read."
        )


def _own_stream(seed: int) -> int:
    """Another seed of 64 bits, so that a random model of seed 0 is not its own twin of seed 0."""
    return int.from_bytes(hashlib.sha256(f"untrained twin {seed}".encode()).digest()[:8], "big")


def _files_beside_weights(folder: Path) -> list[Path]:
    """Configuration, tokenizer and image processing; not the list of which shard holds which weight."""
    files = {file for pattern in MODEL_FILES for file in folder.glob(pattern)}
    return sorted(file for file in files if not file.name.endswith((".safetensors", ".index.json")))


def _check_shapes(twin: Path, source: Path) -> None:
    """Weights that both name have one shape: a check of the source, which `load` may not have read by now.

    The packed weights of a source have no shape of their own.
    """
    ours, theirs = _shapes(twin), _shapes(source)
    theirs = {name: shape for name, shape in theirs.items() if f"{name}.absmax" not in theirs}
    for name in sorted(ours.keys() & theirs.keys()):
        if ours[name] != theirs[name]:
            raise SignBridgeError(
                f"{source}: the weights do not fit config.json: {name} is {theirs[name]}, the configuration makes it "
                f"{ours[name]}. Save model and configuration again, together."
            )


def _shapes(folder: Path) -> dict[str, list[int]]:
    """The shape of every weight in `folder`, from the files' headers."""
    shapes = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="numpy") as file:
            shapes |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (no mapping)
    return shapes


def _fingerprint(source: Path, seed: int, dtype: torch.dtype) -> str:
    """What makes a twin: all of the source but its weights, seed, dtype, the libraries, and this code."""
    files = [*_files_beside_weights(source), Path(__file__)]
    digests = [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
    parts = [digests, seed, str(dtype), torch.__version__, transformers.__version__]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
