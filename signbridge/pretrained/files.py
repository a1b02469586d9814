"""Fetch an autoencoder that others trained, and read the format that it lies in.

Three formats: SAELens's own, Gemma Scope 2's (JumpReLU, `params.safetensors`) and that of EleutherAI's sparsify (top-k,
`sae.safetensors`). All become an `SAE` of SAELens that takes the residual stream as it is, in float32.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from huggingface_hub import snapshot_download
from sae_lens import SAE
from sae_lens.constants import SAE_CFG_FILENAME, SAE_WEIGHTS_FILENAME, SPARSIFY_WEIGHTS_FILENAME
from sae_lens.loading.pretrained_sae_loaders import (
    get_conversion_loader_name,
    load_safetensors_weights,
    sae_lens_disk_loader,
    sparsify_disk_loader,
)
from sae_lens.loading.pretrained_saes_directory import (
    get_config_overrides,
    get_norm_scaling_factor,
    get_pretrained_saes_directory,
)
from safetensors import SafetensorError

from signbridge.core import params
from signbridge.core.activations import layer_site
from signbridge.core.errors import SignBridgeError, place_tried, refusal
from signbridge.core.finite import check_finite
from signbridge.core.model_folder import check_file
from signbridge.pretrained.settings import AnyEntry, OfFolder, OfHub, OfRelease
from signbridge.vlm.hub import unanswered

GEMMA_SCOPE_CONFIG = "config.json"
NEEDED = {
    "sae_lens": (SAE_CFG_FILENAME, SAE_WEIGHTS_FILENAME),
    "gemma_scope_2": ("params.safetensors",),
    "sparsify": (SAE_CFG_FILENAME, SPARSIFY_WEIGHTS_FILENAME),
}
FETCHED = {**NEEDED, "gemma_scope_2": (GEMMA_SCOPE_CONFIG, "params.safetensors")}  # some have no configuration
FORMAT_OF_LOADER = {"sae_lens": "sae_lens", "gemma_3": "gemma_scope_2", "sparsify": "sparsify"}  # as SAELens calls them
SCALED = "expected_average_only_in"  # trained on vectors of one mean length


class Fetched(NamedTuple):
    """Where the files lie."""

    folder: Path
    format: str
    norm_scaling_factor: float | None
    revision: str | None  # the commit they are of; None of a local folder
    overrides: dict[str, Any]  # of the configuration in them, where SAELens knows better


def fetched(name: str, entry: AnyEntry) -> Fetched:
    """The files of the entry `name` of the catalog, from the hub at its commit unless they are in a folder.

    Raises `SignBridgeError` if they cannot be had.
    """
    if isinstance(entry, OfFolder):
        found = Fetched(Path(entry.path).expanduser(), entry.format, entry.norm_scaling_factor, None, {})
    elif isinstance(entry, OfRelease):
        found = _from_hub(name, _of_hub(name, entry))
        found = found._replace(overrides=get_config_overrides(entry.release, entry.id))
    else:
        found = _from_hub(name, entry)
    for file in NEEDED[found.format]:
        if not (found.folder / file).is_file():
            raise SignBridgeError(
                f"{found.folder}: no {file} here, so this is no autoencoder in the format {found.format}. "
                f"Correct {name} in {params.AUTOENCODERS}.{place_tried(found.folder)}"
            )
        check_file(found.folder / file)
    return found


def read_pretrained(found: Fetched, site: str) -> SAE:
    """The autoencoder of `found`, for vectors of `site` as they are, in float32 on the CPU.

    Raises `SignBridgeError` if the files are damaged, say that it is of another site, or do not say how vectors
    were scaled that it was trained on.
    """
    loader = {"sae_lens": sae_lens_disk_loader, "gemma_scope_2": _gemma_scope_2, "sparsify": _sparsify}[found.format]

    def load(path: Path, device: str, cfg_overrides: dict[str, Any] | None) -> Any:
        return loader(path, device, {**found.overrides, **(cfg_overrides or {})})

    try:
        autoencoder = SAE.load_from_disk(found.folder, dtype="float32", converter=load)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        if said := refusal(error):
            raise said from error
        first_line = str(error).strip().splitlines()[0][:200]
        raise SignBridgeError(f"{found.folder}: no readable autoencoder ({first_line}). Fetch it again.") from error
    for weights, numbers in autoencoder.state_dict().items():
        check_finite(np.atleast_1d(numbers.numpy()), f"{found.folder}: {weights}", remedy="Fetch it again.")
    trained_at = _site_of(autoencoder)
    if trained_at not in (site, None):
        raise SignBridgeError(
            f"{found.folder}: this autoencoder was trained at {trained_at}, not at {site}. "
            f"Correct `layer` of its entry in {params.AUTOENCODERS}."
        )
    if autoencoder.cfg.normalize_activations == SCALED:
        if found.norm_scaling_factor is None:
            raise SignBridgeError(
                f"{found.folder}: this autoencoder was trained on scaled vectors, and nothing says by how much. "
                f"Set norm_scaling_factor of its entry in {params.AUTOENCODERS}."
            )
        autoencoder.fold_activation_norm_scaling_factor(found.norm_scaling_factor)
    autoencoder.cfg.metadata.hook_name = f"blocks.{int(site.removeprefix('layer_'))}.hook_resid_post"
    return autoencoder.requires_grad_(False)


def write_pretrained(folder: Path, autoencoder: SAE) -> None:
    """Store it in `folder` for `sae_lens.SAE.load_from_disk`."""
    _, config = autoencoder.save_model(folder)
    described = json.loads(config.read_text(encoding="utf-8"))  # its keys come in another order in every process
    config.write_text(json.dumps(described, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _of_hub(name: str, entry: OfRelease) -> OfHub:
    """Where SAELens has the autoencoder of the entry from."""
    where = f"{params.AUTOENCODERS}: {name}"
    directory = get_pretrained_saes_directory()
    if entry.release not in directory:
        raise SignBridgeError(f"{where}.release: SAELens lists no '{entry.release}'. Correct it, or use source: hub.")
    release = directory[entry.release]
    if entry.id not in release.saes_map:
        there = ", ".join(list(release.saes_map)[:8])
        raise SignBridgeError(f"{where}.id: no '{entry.id}' in {entry.release}. There are: {there}, ...")
    loader = get_conversion_loader_name(entry.release)
    if loader not in FORMAT_OF_LOADER:
        raise SignBridgeError(
            f"{where}.release: {entry.release} lies in a format that is not read here ({loader}). "
            f"Choose one of {', '.join(FORMAT_OF_LOADER)}."
        )
    shared = entry.model_dump(exclude={"source", "release", "id"})
    return OfHub(
        **shared, source="hub", hub_id=release.repo_id, folder=release.saes_map[entry.id],
        format=FORMAT_OF_LOADER[loader], norm_scaling_factor=get_norm_scaling_factor(entry.release, entry.id),
    )  # fmt: skip


def _from_hub(name: str, entry: OfHub) -> Fetched:
    inside = "" if entry.folder in ("", ".") else f"{entry.folder.strip('/')}/"
    try:
        # Without a revision, the newest commit; either way the folder is called after the commit.
        files = [inside + file for file in FETCHED[entry.format]]
        where = {"revision": entry.revision, "local_files_only": unanswered(entry.hub_id, entry.revision) is not None}
        repository = Path(snapshot_download(entry.hub_id, allow_patterns=files, **where))
    except (OSError, ValueError) as error:
        if said := refusal(error):
            raise said from error
        first_line = str(error).strip().splitlines()[0]
        raise SignBridgeError(
            f"{params.AUTOENCODERS}: {name}: {entry.hub_id} cannot be had from the hub: {first_line[:200]}\n"
            "Check the network and the name, or fetch it elsewhere and use source: folder with its path."
        ) from error
    return Fetched(repository / inside, entry.format, entry.norm_scaling_factor, repository.name, {})


def _site_of(autoencoder: SAE) -> str | None:
    """The site that it says it was trained at; None if it does not say."""
    hook = autoencoder.cfg.metadata.hook_name
    if hook is None:
        return None
    block = re.fullmatch(r"blocks\.(\d+)\.hook_resid_post", hook)
    return layer_site(int(block[1])) if block else hook


def _gemma_scope_2(
    path: Path, device: str, cfg_overrides: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """A loader of files on a disk as SAELens takes one: it has Gemma Scope 2's for the hub alone, without revisions."""
    config_file = Path(path) / GEMMA_SCOPE_CONFIG
    said = json.loads(config_file.read_text(encoding="utf-8")) if config_file.is_file() else {}
    if said.get("architecture", "jump_relu") != "jump_relu":
        raise ValueError(f"expected the architecture jump_relu, found {said['architecture']}")
    block = re.fullmatch(r"model\.layers\.(\d+)\.output", said.get("hf_hook_point_in", ""))
    weights = load_safetensors_weights(Path(path) / "params.safetensors", device=device, dtype="float32")
    width, features = weights["w_enc"].shape
    config = {
        "architecture": "jumprelu", "d_in": width, "d_sae": features, "dtype": "float32", "device": device,
        "apply_b_dec_to_input": False, "normalize_activations": "none", "reshape_activations": "none",
        "model_name": said.get("model_name"),
        "hook_name": f"blocks.{block[1]}.hook_resid_post" if block else said.get("hf_hook_point_in"),
    }  # fmt: skip
    names = {"W_enc": "w_enc", "W_dec": "w_dec", "b_enc": "b_enc", "b_dec": "b_dec", "threshold": "threshold"}
    return {**config, **cfg_overrides}, {name: weights[stored] for name, stored in names.items()}


def _sparsify(path: Path, device: str, cfg_overrides: dict[str, Any]) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """SAELens's loader, set right in two points.

    Sparsify stores its decoder features x width, which SAELens's loader turns round, and always takes the decoder's
    bias off its input, which SAELens's loader leaves out where the decoder's rows are normalised.
    """
    said = json.loads((Path(path) / SAE_CFG_FILENAME).read_text(encoding="utf-8"))
    if said.get("signed") or said.get("transcode") or said.get("skip_connection"):
        raise ValueError("signed features and transcoders are not read here")
    config, weights = sparsify_disk_loader(path, device, {"apply_b_dec_to_input": True, **cfg_overrides})
    expected = (config["d_sae"], config["d_in"])
    if weights["W_dec"].shape != expected:
        weights["W_dec"] = weights["W_dec"].T
    return config, {name: tensor.contiguous() for name, tensor in weights.items()}
