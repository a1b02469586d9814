"""The models with random weights that the tests of `vlm` use, and streams whose features are known."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from signbridge.sae.settings import StandardPreset, TopKPreset
from signbridge.sae.token_stream import ShuffledTokens, Tokens
from tests.vlm.conftest import images, model_scratch, tiny

__all__ = ["images", "model_scratch", "tiny"]

SITES = ["layer_03", "layer_07"]
WIDTH, PLANTED, ACTIVE = 40, 50, 3

SHORT = {"width": "2x", "tokens": 6 * 64, "batch": 64, "buffer": 256, "lr": 1e-3, "warm_up": 0.2, "decay": 0.2,
         "mean_norm": "sqrt_width", "dead_after": 2}  # fmt: skip
PRESETS = {
    "batchtopk": TopKPreset(architecture="batchtopk", k=3, **SHORT),
    "topk": TopKPreset(architecture="topk", k=3, **SHORT),
    "standard": StandardPreset(architecture="standard", l1=1.0, l1_ramp=0.5, **SHORT),
}


class PlantedTokens:
    """Sums of a few of `PLANTED` random directions of length 5, each with a weight from 1 to 2, off the origin."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.position = {"reads": 0}
        shape = (len(SITES), PLANTED, WIDTH)
        self.directions = dict(
            zip(SITES, torch.nn.functional.normalize(torch.randn(shape, generator=generator), dim=2), strict=True)
        )
        self.offset = torch.randn(WIDTH, generator=generator)

    def more(self) -> Tokens:
        generator = torch.Generator().manual_seed(1 + self.position["reads"])
        self.position = {"reads": self.position["reads"] + 1}
        active = torch.rand((500, PLANTED), generator=generator) < ACTIVE / PLANTED
        weights = active * (1 + torch.rand((500, PLANTED), generator=generator))
        vectors = {site: self.offset + 5 * weights @ directions for site, directions in self.directions.items()}
        return Tokens(vectors, torch.rand(500, generator=generator) < 0.5)


@pytest.fixture
def planted_stream() -> Callable[[int], ShuffledTokens]:
    """A new stream of planted tokens in batches of the size that is given."""
    return lambda batch: ShuffledTokens(PlantedTokens(), 1000, batch, seed=0)


class NumberedTokens:
    """Tokens whose vector is their number in the order in which they are read; every third is of an image."""

    def __init__(self, at_once: int = 70):
        self.position, self._at_once = {"next": 0}, at_once

    def more(self) -> Tokens:
        numbers = torch.arange(self.position["next"], self.position["next"] + self._at_once)
        self.position = {"next": int(numbers[-1]) + 1}
        vectors = {SITES[0]: numbers[:, None].float(), SITES[1]: -numbers[:, None].expand(-1, 2).float()}
        return Tokens(vectors, numbers % 3 == 0)


def numbers_of(batch: Tokens) -> np.ndarray:
    """Which tokens of a `NumberedTokens` are in the batch; its sites and flags must be of the same ones."""
    numbers = batch.vectors[SITES[0]][:, 0].numpy().astype(int)
    np.testing.assert_array_equal(batch.vectors[SITES[1]].numpy(), np.stack([-numbers, -numbers], 1))
    np.testing.assert_array_equal(batch.is_image.numpy(), numbers % 3 == 0)
    return numbers
