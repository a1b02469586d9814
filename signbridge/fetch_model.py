"""Fetch a model's files from the hub and check them: on a login node, for compute nodes that have no network.

    python -m signbridge.fetch_model             # the chosen model
    python -m signbridge.fetch_model NAME        # another of models.yaml, or some-org/some-name@commit

Files that are there are not fetched again: after a break, run it again. Every file is compared with the size and, where
the hub has one, the SHA-256 that it says. Exit status 0 only if all of the model is there and whole.
"""

import hashlib
import logging
import os
from pathlib import Path

from huggingface_hub import constants

from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.model_folder import MODEL_FILES, check_model_folder
from signbridge.vlm import hub
from signbridge.vlm.catalog import HubModel
from signbridge.vlm.loading import check_family
from signbridge.vlm.machine import free_disk
from signbridge.vlm.preflight import name_of_arguments, named_or_chosen

log = logging.getLogger(__name__)


def main() -> None:
    """Fetch the model that the first argument or params.yaml names, check it, and print where it lies."""
    name, model = named_or_chosen(name_of_arguments("signbridge.fetch_model", __doc__))
    if model.source == "tiny_random":
        print(f"{name} is drawn at random where it is used: nothing to fetch.")
        return
    if model.source == "folder":
        check_model_folder(Path(model.path).expanduser(), model.quantization)
        print(f"{name} lies whole in {Path(model.path).expanduser().resolve()}: nothing to fetch.")
        return
    folder, compared = fetched(model)
    print(
        f"{name} lies whole in {folder}\n"
        f"{compared}\n"
        "On a machine without a network that sees this folder, or a copy of HF_HOME, run with:\n"
        f"  export HF_HUB_OFFLINE=1 {_home()}"
    )


def fetched(model: HubModel) -> tuple[Path, str]:
    """The folder with all of the model's files, and what they were compared with.

    Without a network that is what the files themselves say. Raises `SignBridgeError` if a file is missing or is not
    what it should be; such a file is removed, to be fetched again.
    """
    try:
        listed = hub.listing(model.hub_id, model.revision)
    except SignBridgeError:
        folder = hub.at_hand(model.hub_id, model.revision, model.quantization)
        if folder is None:
            raise
        return (
            folder,
            "The hub cannot be asked: only what the files say of themselves was checked.",
        )
    to_fetch = hub.still_to_fetch(model.hub_id, model.revision, listed)
    if to_fetch:
        _check_may_be_fetched(model, listed, to_fetch)
    folder = hub.fetch(model.hub_id, model.revision, MODEL_FILES)
    sums = compare(folder, listed)
    check_model_folder(folder, model.quantization)
    check_family(folder)
    return folder, f"{len(listed.files)} files, {listed.size / 1e9:.1f} GB: sizes as the hub says, and {sums} SHA-256."


def compare(folder: Path, listed: hub.Listing) -> int:
    """How many files of the listing have the SHA-256 that the hub says; all are as long as it says.

    Raises `SignBridgeError` naming the files that are not, which are removed.
    """
    wrong = {file.name: problem for file in listed.files if (problem := _problem(folder / file.name, file))}
    for name in wrong:
        _remove(folder / name)
    if wrong:
        name = next(iter(wrong))
        raise SignBridgeError(
            f"{folder}: {len(wrong)} of {len(listed.files)} files are not what the hub has: {name} "
            f"{wrong[name]}. Removed: run it again, and what is missing is fetched."
        )
    return sum(file.sha256 is not None for file in listed.files)


def _problem(path: Path, file: hub.HubFile) -> str | None:
    """What is wrong with a file of the cache."""
    if not path.is_file():
        return "is missing"
    if file.size is not None and path.stat().st_size != file.size:
        return f"has {path.stat().st_size:,} of {file.size:,} bytes"
    if file.sha256 is None:
        return None
    log.info("comparing %s", file.name)
    return None if _sha256(path) == file.sha256 else "has another SHA-256"


def _check_may_be_fetched(model: HubModel, listed: hub.Listing, to_fetch: int) -> None:
    """Raises `SignBridgeError` if the disk is too full, or the repository is gated and does not let in."""
    if listed.gated:
        hub.check_entry(model.hub_id)
    cache = hub.cache_folder()
    if free_disk(cache) < to_fetch:
        raise SignBridgeError(
            f"{cache}: {model.hub_id} takes {to_fetch / 1e9:.1f} GB more, {free_disk(cache) / 1e9:.1f} GB are free. "
            "Free some, or set HF_HOME to a disk with room."
        )
    log.info("fetching %.1f GB of %s to %s", to_fetch / 1e9, model.hub_id, cache)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(path: Path) -> None:
    """Remove a file of the cache with what the link to it leads to, which the hub's client would take for whole."""
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _home() -> str:
    """The setting that leads another machine to this cache."""
    cache = hub.cache_folder().resolve()
    if "HF_HUB_CACHE" in os.environ or cache != Path(constants.HF_HOME).resolve() / "hub":
        return f"HF_HUB_CACHE={cache}"
    return f"HF_HOME={cache.parent}"


if __name__ == "__main__":
    run(main)
