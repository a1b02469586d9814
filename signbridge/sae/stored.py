"""The stored autoencoders of a study."""

from collections.abc import Sequence
from pathlib import Path

import torch
from sae_lens import SAE
from sae_lens.constants import SAE_CFG_FILENAME, SAE_WEIGHTS_FILENAME

from signbridge.errors import SignBridgeError


def open_autoencoders(folder: Path, sites: Sequence[str], device: torch.device) -> dict[str, SAE]:
    """The autoencoder of each of `sites`, in that order. Raises `SignBridgeError` if one is not there."""
    for site in sites:
        for path in (folder / site / name for name in (SAE_CFG_FILENAME, SAE_WEIGHTS_FILENAME)):
            if not path.is_file():
                raise SignBridgeError(f"{path}: not there. Make it with `dvc repro`, or get it with `dvc pull`.")
    return {site: SAE.load_from_disk(folder / site, device=str(device)) for site in sites}
