"""Principal components of the residual stream: what an autoencoder's variance explained is compared with.

They are fitted on the tokens that wait in the shuffling buffer when training ends: a random part of what the
autoencoder was trained on, image and text tokens mixed as there. An autoencoder chooses its L0 features anew for each
token; as many components are the same for all tokens.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from signbridge.core.errors import SignBridgeError
from signbridge.core.pipeline import how_to_get

PCA = "pca.safetensors"  # beside the weights of an autoencoder
MOST = 512  # components


class Pca(NamedTuple):
    """The mean and the first principal components of some vectors."""

    mean: Float[Tensor, " width"]
    components: Float[Tensor, "components width"]  # of length 1, the one with the most variance first

    def sums(self, given: Float[Tensor, "tokens width"]) -> dict[str, Tensor]:
        """`off_centre`: squared distances from the mean, summed over tokens; `explained`: by component, its part."""
        rows = given.double() - self.mean.double()
        return {"off_centre": rows.square().sum(), "explained": (rows @ self.components.double().T).square().sum(0)}


def fit_pca(vectors: Float[Tensor, "tokens width"]) -> Pca:
    """The components of these vectors, `MOST` at most."""
    rows = vectors.double()
    mean = rows.mean(0)
    rows = rows - mean
    _, directions = torch.linalg.eigh(rows.T @ rows)  # in ascending order
    return Pca(mean.float(), directions.T.flip(0)[: min(MOST, len(rows))].float().contiguous())


def write_pca(folder: Path, pca: Pca) -> None:
    """Store it in `folder`."""
    save_file(pca._asdict(), folder / PCA)


def open_pca(folder: Path, device: torch.device) -> Pca:
    """The one in `folder`. Raises `SignBridgeError` if there is none."""
    if not (folder / PCA).is_file():
        raise SignBridgeError(f"{folder / PCA}: not there. {how_to_get(folder / PCA)}")
    return Pca(**load_file(folder / PCA, device=str(device)))
