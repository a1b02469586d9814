"""Affine maps that take out of a vector what a linear probe can read of its class, and the same for nothing of use.

LEACE (Belrose et al. 2023, "LEACE: Perfect linear concept erasure in closed form") by its authors' package: of all maps
after which no linear probe beats a constant, the one that changes the vectors least. Fewer images than features span a
subspace only, and nothing outside it tells the classes apart, so it is fitted in coordinates of that span.
"""

from typing import NamedTuple

import numpy as np
import torch
from concept_erasure import LeaceEraser
from jaxtyping import Float
from torch import Tensor

SMALLEST = 1e-6  # singular value of the whitened cross-covariance that is erased; the package's own is for few digits


class Eraser(NamedTuple):
    """x becomes x - left (right (x - mean))."""

    left: Float[np.ndarray, "width rank"]
    right: Float[np.ndarray, "rank width"]
    mean: Float[np.ndarray, "width"]

    def erase(self, stream: Float[Tensor, "... width"]) -> Float[Tensor, "... width"]:
        """The stream without what is erased, computed in float32."""
        left, right, mean = (
            torch.tensor(array, dtype=torch.float32, device=stream.device)
            for array in (self.left, self.right, self.mean)
        )
        erased = ((stream.float() - mean) @ right.T) @ left.T
        return (stream.float() - erased).to(stream.dtype)


def leace(vectors: Float[np.ndarray, "images width"], labels: np.ndarray) -> Eraser:
    """The least change after which no linear probe, fitted on these vectors, tells the classes apart.

    Their covariance is shrunk (Ledoit and Wolf), since images are few, and the change may not add to its trace. Vectors
    that are all alike are left as they are.
    """
    mean, span, coordinates = _span(vectors)
    if not span.shape[1]:
        return Eraser(span, span.T, mean)
    classes = np.unique(labels, return_inverse=True)[1]
    one_hot = np.eye(classes.max() + 1)[classes]
    found = LeaceEraser.fit(
        torch.from_numpy(coordinates),
        torch.from_numpy(one_hot),
        svd_tol=SMALLEST,
        shrinkage=True,
        constrain_cov_trace=True,
    )
    kept = found.proj_right.abs().sum(dim=1) > 0
    left, right = found.proj_left[:, kept].numpy(), found.proj_right[kept].numpy()
    return Eraser(span @ left, right @ span.T, mean)


def random_subspace(vectors: Float[np.ndarray, "images width"], rank: int, generator: np.random.Generator) -> Eraser:
    """The orthogonal projection off a random subspace of `rank` dimensions, among those in which the vectors lie."""
    mean, span, _ = _span(vectors)
    basis = np.linalg.qr(generator.normal(size=(span.shape[1], min(rank, span.shape[1]))))[0]
    return Eraser(span @ basis, basis.T @ span.T, mean)


def _span(
    vectors: Float[np.ndarray, "images width"],
) -> tuple[Float[np.ndarray, "width"], Float[np.ndarray, "width rank"], Float[np.ndarray, "images rank"]]:
    """The mean, an orthonormal basis of what the vectors span around it, and their coordinates there."""
    rows = vectors.astype(np.float64)
    mean = rows.mean(axis=0)
    left, spread, basis = np.linalg.svd(rows - mean, full_matrices=False)
    rounding = np.linalg.norm(rows) * np.finfo(np.float64).eps  # of the mean, off which lie vectors that are all alike
    there = spread > max(spread[0] * max(rows.shape) * np.finfo(np.float32).eps, max(rows.shape) * rounding)
    return mean, basis[there].T, left[:, there] * spread[there]
