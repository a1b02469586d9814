"""Autoencoders that the project ships already trained: whether they belong to this model and these settings.

A preset names their folder, the digest of their weights, and the recipe that they were trained by. Weights lie there in
half precision, to be small, and are opened in single precision like others. Nothing here imports SAELens.
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from signbridge.core import params, tables
from signbridge.core.errors import SignBridgeError
from signbridge.sae.passages import PASSAGES, TRAINING, TrainingSet

WEIGHTS = "*.safetensors"
_SHORT = 12  # characters of a digest that a message shows


def weights_digest(folder: Path) -> str:
    """Of all safetensors files in `folder` and below, by name and content."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob(WEIGHTS)):
        digest.update(f"{path.relative_to(folder).as_posix()} {tables.file_sha256(path)}\n".encode())
    return digest.hexdigest()


def pack(source: Path, folder: Path) -> None:
    """Copy trained autoencoders from `source` into `folder`, with weights in half precision."""
    shutil.copytree(source, folder, dirs_exist_ok=True)
    _convert(folder, torch.float16)


def unpack(source: Path, folder: Path, sites: Sequence[str]) -> None:
    """Copy the packed autoencoders of these sites from `source` into `folder`, with weights in single precision."""
    for site in sites:
        shutil.copytree(source / site, folder / site)
    _convert(folder, torch.float32)


def write_shipped(
    name: str, whose: str, sites: Sequence[str], study: TrainingSet, folder: Path, made_by: dict[str, Any]
) -> pd.DataFrame:
    """Put the shipped autoencoders of these sites into `folder`; the table of what their training left unread.

    `name` is the preset's, `whose` the model (`core.names.MODEL`) or its twin, and `made_by` is how this study reads
    it. What their own training did not read counts as unread, other datasets and corpora too. Raises `SignBridgeError`
    if they belong to other weights of the model, or were trained otherwise than the settings say.
    """
    source = Path(study.preset.folder) / whose
    shipped = tables.made_by(source / TRAINING)
    _check_belongs(name, source.parent, shipped, study, made_by)
    if absent := sorted(set(sites) - set(shipped["sites"])):
        raise SignBridgeError(
            f"{params.SAE}: sae.layers: '{name}' has autoencoders of {', '.join(shipped['sites'])}, not of {absent[0]}."
        )
    unpack(source, folder, sites)
    digests = {site: tables.file_sha256(folder / site / "sae_weights.safetensors") for site in sites}
    log = tables.read(source / TRAINING)
    about = {**made_by, "read": shipped["read"], "sites": list(sites), "weights_sha256": digests}
    tables.write(log[log["site"].isin(sites)].reset_index(drop=True), folder / TRAINING, about)
    return unread_of(tables.read(source / PASSAGES), study)


def _check_belongs(
    name: str, folder: Path, shipped: dict[str, Any], study: TrainingSet, made_by: dict[str, Any]
) -> None:
    if (digest := weights_digest(folder)) != study.preset.sha256:
        raise SignBridgeError(
            f"{folder}: not the weights that '{name}' in {params.SAE_PRESETS} names by their sha256. Fetch them again "
            f"with git, or write {digest} there."
        )
    trained_on, here = shipped["model_folder_sha256"], made_by["model_folder_sha256"]
    if trained_on != here:
        raise SignBridgeError(
            f"{params.SAE}: sae.preset: '{name}' was trained on other weights than this model's: on those with the "
            f"sha256 {trained_on[:_SHORT]}, and {made_by['model']['name']} has {here[:_SHORT]}.\n"
            f"Choose the preset `default`, or train them again ({folder}/README.md says how)."
        )
    recipe = {**shipped["preset"], **{key: shipped["sae"][key] for key in ("prompts", "text_share")}}
    recipe |= {key: shipped[key] for key in ("twin_seed",) if key in shipped}
    settings = {**study.made_by["preset"], **study.settings.model_dump(), **made_by}
    for key, value in recipe.items():
        if settings.get(key) != value:
            raise SignBridgeError(
                f"{params.SAE}: sae.preset: '{name}' was trained with {key}: {value}, and the settings say "
                f"{settings.get(key)}. Set it to that, or choose another preset, which trains."
            )


def unread_of(read: pd.DataFrame, study: TrainingSet) -> pd.DataFrame:
    """As `passages.unread_table`: an image or phrase of the study is unread unless `read` lists it as read."""
    parts = []
    for kind, items in (("images", study.images["image_id"]), ("texts", pd.Series(study.corpus, dtype=str))):
        dealt = read.loc[(read["kind"] == kind) & ~read["unread"], "item"]
        parts.append(pd.DataFrame({"kind": kind, "item": items, "unread": ~items.isin(dealt)}))
    return pd.concat(parts, ignore_index=True)


def _convert(folder: Path, dtype: torch.dtype) -> None:
    for path in folder.rglob(WEIGHTS):
        save_file({name: weights.to(dtype).contiguous() for name, weights in load_file(path).items()}, path)
