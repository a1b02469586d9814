"""The packed weights of a large model, kept on disk by the first stage that packs them.

Every stage loads the model. Of LLaVA-1.5-7B that is 14 GB to read and pack each time; packed it is 4.
"""

import hashlib
import importlib.metadata
import json
import logging
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import BitsAndBytesConfig, PreTrainedModel

from signbridge.core.errors import SignBridgeError
from signbridge.core.model_folder import CONFIG, MODEL_FILES, check_file, packing
from signbridge.core.tables import whole_folder
from signbridge.vlm.machine import free_disk

log = logging.getLogger(__name__)

LARGE = 2 * 2**30  # bytes of weights from which on keeping them saves more than it takes
ROOM = 1.1  # times the weights: what must be free on the disk
SHARD_SIZE = "1GB"  # what writing holds in memory beside the weights
MAKERS = ("torch", "transformers", "bitsandbytes")
GENERATION = "generation_config.json"


def packed_folder(
    source: Path, quantization: BitsAndBytesConfig | None, device: torch.device, models: Path
) -> Path | None:
    """Where below `models` the weights of the folder `source` lie, or are to lie, packed by `quantization` on `device`.

    None where that saves nothing: they are not to be packed, are so already, or are small.
    """
    weights = [file.resolve() for file in sorted(source.glob("*.safetensors"))]
    if quantization is None or packing(source):
        return None
    if sum(file.stat().st_size for file in weights) < LARGE:
        return None
    # Of weights what tells them apart without reading them: the hub's lie under a name that is their digest.
    of_weights = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in weights]
    others = sorted(
        {file for pattern in MODEL_FILES for file in source.glob(pattern)} - set(source.glob("*.safetensors"))
    )
    of_others = [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in others]
    versions = [importlib.metadata.version(package) for package in MAKERS]
    made_from = [str(source.resolve()), of_weights, of_others, str(quantization.to_dict()), device.type, versions]
    return models / f"packed-{hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]}"


def is_kept(folder: Path | None) -> bool:
    """Whether packed weights lie in `folder`; what was cut short or damaged there is removed, to be made again."""
    if folder is None or not folder.is_dir():
        return False
    try:
        for file in (folder / CONFIG, *folder.glob("*.safetensors")):
            check_file(file)
    except SignBridgeError as error:
        log.warning("%s The packed weights are made again.", error)
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True


def keep_packed(model: PreTrainedModel, source: Path, folder: Path) -> None:
    """Write the packed weights of `model`, which was loaded from `source`, to `folder`, whole or not at all.

    Where the disk is full or may not be written, the run goes on without, and the log says so.
    """
    needed = model.get_memory_footprint()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        free = free_disk(folder.parent)
        if free < ROOM * needed:
            log.warning(_WITHOUT, folder, f"they take {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
            return
        with whole_folder(folder) as unfinished:
            model.save_pretrained(unfinished, max_shard_size=SHARD_SIZE)
            if (source / GENERATION).exists():
                shutil.copyfile(source / GENERATION, unfinished / GENERATION)
    except (SignBridgeError, OSError, SafetensorError, ValueError) as error:
        log.warning(_WITHOUT, folder, str(error).splitlines()[0])
        return
    log.info("packed weights kept in %s (%.1f GB): later stages load them", folder, needed / 1e9)


_WITHOUT = "%s: packed weights are not kept, so the next stage packs them again: %s"
