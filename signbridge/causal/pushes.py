"""Pushes of the residual stream: what is added to a token, and a feature that is held at a value."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Encoder(Protocol):
    """A sparse autoencoder: features of a token, and a token from its features."""

    W_dec: Tensor  # features x width

    def encode(self, x: Tensor) -> Tensor:
        """The features of each of the vectors `x`."""

    def decode(self, feature_acts: Tensor) -> Tensor:
        """The vectors that have these features: `feature_acts @ W_dec`, and a bias."""


class Clamped(NamedTuple):
    """Features that pushes take out of each token before they add what is held in their place (-1: none)."""

    encoder: Encoder
    features: Int[Tensor, " pushes"]
    decoded: Bool[Tensor, " pushes"]  # whether the other features, decoded, take the place of the token

    def __getitem__(self, which: slice) -> "Clamped":
        """Those of these pushes."""
        return Clamped(self.encoder, self.features[which], self.decoded[which])


class Pushes(NamedTuple):
    """Several pushes of the stream at one site, each a vector that is added to a token.

    A feature f of an autoencoder is clamped to a value v in one of two ways. With d its decoder direction, either is v
    d plus what `clamped` makes of the token h:
    h - f(h) d: what the autoencoder does not explain stays, as in Templeton et al. (2024), "Scaling Monosemanticity";
    the decoding of all features but f: what it does not explain is lost, as in multimodal-sae (Zhang et al. 2024,
    "Large Multi-modal Models Can Interpret Features in Large Multi-modal Models"). That sets f before the strongest k
    features are taken, so that f displaces the weakest of them; here it comes beside them.
    """

    added: Float[Tensor, "pushes width"]
    clamped: Clamped | None = None

    def split(self, size: int) -> list["Pushes"]:
        """The same pushes, `size` at a time."""
        starts = range(0, len(self.added), size)
        return [self._some(slice(start, start + size)) for start in starts]

    def for_each_of(self, prompts: int) -> "Pushes":
        """One push a row: push after push, all prompts."""
        clamped = self.clamped
        if clamped is not None:
            features, decoded = (of_each.repeat_interleave(prompts) for of_each in (clamped.features, clamped.decoded))
            clamped = Clamped(clamped.encoder, features, decoded)
        return Pushes(self.added.repeat_interleave(prompts, dim=0), clamped)

    def onto(self, stream: Float[Tensor, "pushes tokens width"]) -> Float[Tensor, "pushes tokens width"]:
        """The stream of every row with its push at every token."""
        pushed = stream + self.added[:, None].to(stream.dtype)
        if self.clamped is None:
            return pushed
        encoder, features, decoded = self.clamped
        for row, feature in enumerate(features.tolist()):  # one at a time: the features of many tokens take much memory
            if feature < 0:
                continue
            active = encoder.encode(stream[row].float())
            if decoded[row]:
                active[:, feature] = 0
                pushed[row] = (encoder.decode(active) + self.added[row].float()).to(stream.dtype)
            else:
                pushed[row] -= (active[:, feature, None] * encoder.W_dec[feature].float()).to(stream.dtype)
        return pushed

    def _some(self, which: slice) -> "Pushes":
        return Pushes(self.added[which], None if self.clamped is None else self.clamped[which])


def joined(parts: Sequence[Pushes]) -> Pushes:
    """The pushes of all `parts`, which clamp by one encoder or not at all."""
    clamped = parts[0].clamped
    if clamped is not None:
        every = [part.clamped for part in parts if part.clamped]
        features, decoded = (torch.cat([getattr(one, name) for one in every]) for name in ("features", "decoded"))
        clamped = Clamped(clamped.encoder, features, decoded)
    return Pushes(torch.cat([part.added for part in parts]), clamped)


def with_pushes(
    stream: Float[Tensor, "prompts tail width"], pushes: Pushes, where: Bool[Tensor, " tail"]
) -> Float[Tensor, "rows tail width"]:
    """The stream of every prompt with each of `pushes` at the tokens `where`: push after push, all prompts."""
    rows = stream.repeat(len(pushes.added), 1, 1)
    rows[:, where] = pushes.for_each_of(len(stream)).onto(rows[:, where])
    return rows
