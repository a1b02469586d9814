"""What of each image's vectors is stored: every site and position, or those that a large dataset has room for.

Of LLaVA-1.5-7B an image has 0.8 MB of vectors, so 10^6 images have 0.8 TB. Chosen before they are read, what is left
out is never on a disk, not even in a shard.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedConfig

from signbridge.core import params
from signbridge.core.activations import SITES_BEFORE_LAYERS, TOKEN_POSITIONS, layer_site, positions_of
from signbridge.core.errors import SignBridgeError
from signbridge.core.params import Section

TWICE = 2  # what a stage writes lies in .scratch/ and in data/ at first, then in data/ and in DVC's cache
KEY = "params.yaml: extract.store"


class Store(Section):
    """The section `extract.store`."""

    sites: Literal["all"] | list[str] = "all"  # beside `pixels`, which is always stored
    positions: Literal["all"] | list[str] = "all"  # of sites that have several
    dtype: Literal["auto", "float16", "float32"] = "auto"  # auto: float16 where the model computes in it, else float32
    project: Literal["none"] | int = Field("none")  # wider vectors: onto so many random directions

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out or changed."""
        return self == Store()

    def made_by(self) -> dict[str, dict]:
        """What the metadata of tables say of it: nothing where nothing is left out."""
        return {} if self.is_everything else {"store": self.model_dump()}

    def keeps(self, site: str, position: str) -> bool:
        """Whether the vectors of `site` at `position` are stored."""
        return (self.sites == "all" or site in self.sites) and (
            self.positions == "all" or position in self.positions or positions_of(site) == (position,)
        )

    def stored(self, vector: Float[Tensor, "rows width"], dtype: torch.dtype) -> np.ndarray:
        """The vectors as they are stored: of `dtype` where the params leave it, and no wider than `project`."""
        if self.project != "none" and vector.shape[1] > self.project:
            vector = vector.float() @ random_directions(vector.shape[1], self.project, vector.device)
        return vector.to(dtype if self.dtype == "auto" else getattr(torch, self.dtype)).cpu().numpy()

    def width(self, width: int) -> int:
        """Of vectors of `width` once they are stored."""
        return width if self.project == "none" else min(width, self.project)


def stored_dtype(dtype: torch.dtype) -> torch.dtype:
    """Float16 for a model that computes in it, else float32 (which also holds bfloat16's range)."""
    return torch.float16 if dtype == torch.float16 else torch.float32


def chosen_store() -> Store:
    """The section `extract.store`, checked as far as no model is needed. Raises `SignBridgeError` naming the key."""
    store = params.section("extract.store", Store)
    if store.project != "none" and store.project < 1:
        raise SignBridgeError(f"{KEY}.project: {store.project}. Set none, or how many directions: 512.")
    unknown = [] if store.positions == "all" else [name for name in store.positions if name not in TOKEN_POSITIONS]
    if unknown or store.positions == []:
        raise SignBridgeError(
            f"{KEY}.positions: {f'no {unknown[0]!r}' if unknown else 'none'}. There are: {', '.join(TOKEN_POSITIONS)}."
        )
    return store


def check_sites(store: Store, config: PreTrainedConfig) -> None:
    """Raises `SignBridgeError` if the model of `config` lacks a site that is to be stored."""
    there = sites_of(config)
    for site in () if store.sites == "all" else store.sites:
        if site not in there and site != "pixels":
            raise SignBridgeError(f"{KEY}.sites: no '{site}'. There are: {', '.join(there)}.")


def sites_of(config: PreTrainedConfig) -> list[str]:
    """The sites of a model, `pixels` left out, in order of depth."""
    blocks = config.get_text_config().num_hidden_layers
    return [*SITES_BEFORE_LAYERS[1:], *(layer_site(block) for block in range(blocks))]


def stored_bytes(store: Store, config: PreTrainedConfig, dtype: torch.dtype) -> int:
    """Bytes of the vectors of one image of a model that computes in `dtype`; its own pixels come on top."""
    text, width = config.get_text_config(), {"vision": config.vision_config.hidden_size}
    numbers = sum(
        store.width(width.get(site, text.hidden_size))
        for site in sites_of(config)
        for position in positions_of(site)
        if store.keeps(site, position)
    )
    return numbers * (stored_dtype(dtype) if store.dtype == "auto" else getattr(torch, store.dtype)).itemsize


@lru_cache
def random_directions(width: int, count: int, device: torch.device) -> Float[Tensor, "width count"]:
    """Gaussian directions that keep distances (Johnson and Lindenstrauss 1984), the same for all sites of one width.

    Distances between n vectors are kept to within a share e by some 8 ln(n) / e^2 of them: Dasgupta and Gupta 2003, "An
    elementary proof of a theorem of Johnson and Lindenstrauss".
    """
    drawn = np.random.Generator(np.random.Philox(key=[width, count])).standard_normal((width, count), dtype=np.float32)
    return torch.from_numpy(drawn / np.sqrt(np.float32(count))).to(device)
