"""How well an autoencoder gives back what it was given."""

from jaxtyping import Float
from torch import Tensor


def variance_explained(given: Float[Tensor, "tokens width"], given_back: Float[Tensor, "tokens width"]) -> float:
    """1 - squared error / squared distance from the mean of `given`, both summed over tokens; NaN without variance."""
    deviation = (given - given.mean(0)).square().sum()
    error = (given - given_back).square().sum()
    return float(1 - error / deviation) if deviation > 0 else float("nan")


def mean_active(features: Float[Tensor, "tokens features"]) -> float:
    """L0: how many features fire for a token, in the mean; NaN without tokens."""
    return float((features > 0).sum(1).float().mean())
