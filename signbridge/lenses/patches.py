"""The residual stream of image tokens: the patches of an image, at every layer that the lenses look through."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from transformers import BatchFeature

from signbridge.core.errors import SignBridgeError
from signbridge.core.shards import Shard, vectors_of
from signbridge.vlm.extraction import Reader, Work, in_batches
from signbridge.vlm.families.parts import grid_of_image
from signbridge.vlm.residual import reading_up_to
from signbridge.vlm.store import stored_dtype

DIFFER = (
    "lenses: the images take different numbers of tokens in this model, so their patches do not correspond. "
    "Use images of one size, or another model."
)


def patch_tokens(reader: Reader, sites: Sequence[str], most: int) -> Work:
    """Of images: the vectors of at most `most` patches of each (`grid_of`) by site, images x patches x width.

    `patch` says which image tokens these are, images x patches, `image_tokens` how many each image has, and `grid` the
    rows and columns that all of them make (0 where they make none). Raises `SignBridgeError` if images differ in them.
    """
    model, parts = reader.loaded.model, reader.loaded.parts
    dtype = stored_dtype(model.dtype)

    @torch.inference_mode()
    def read(inputs: BatchFeature, keep: int) -> Shard:
        inputs = reader.to_device(inputs)
        is_image = inputs["input_ids"] == parts.image_token_id
        image_tokens, grid = int(is_image[0].sum()), grid_of_image(parts, inputs)
        if (is_image.sum(1) != image_tokens).any():
            raise SignBridgeError(DIFFER)
        chosen = torch.tensor(grid_of(image_tokens, most))
        where = torch.stack([row.nonzero().flatten()[chosen] for row in is_image.cpu()]).to(model.device)
        rows = torch.arange(len(where), device=model.device)[:, None]
        vectors = {"patch": np.tile(chosen.numpy(), (keep, 1)), "image_tokens": np.full(keep, image_tokens)}
        vectors["grid"] = np.tile(np.array(grid or (0, 0)), (keep, 1))

        def keep_patches(site: str, stream: Tensor) -> None:
            vectors[site] = stream[rows, where][:keep].to(dtype).cpu().numpy()

        with reading_up_to(parts, sites, keep_patches):
            model(**inputs, use_cache=False, logits_to_keep=1)
        return Shard(vectors, [""] * keep)

    return Work(read, reader.prepare, in_batches, fills=True)


def grid_of(patches: int, most: int) -> Int[np.ndarray, "chosen"]:
    """Which patches of an image are read: all, or a square grid of at most `most` of them, evenly spread.

    Of an image whose patches make no square, evenly spread along the sequence of patches.
    """
    if patches <= most:
        return np.arange(patches)
    side, wanted = round(patches**0.5), int(most**0.5)
    if side * side != patches:
        return np.linspace(0, patches - 1, most).round().astype(int)
    lines = ((np.arange(wanted) + 0.5) * side / wanted).astype(int)
    return (lines[:, None] * side + lines).ravel()


def grid_of_all(shards: list[Path]) -> list[int] | None:
    """Rows and columns of the grid that all image tokens of each image of `patch_tokens` make; None if they make none.

    Raises `SignBridgeError` if the images differ in them.
    """
    grids = vectors_of(shards, "grid")
    if len(np.unique(vectors_of(shards, "image_tokens"))) > 1 or len(np.unique(grids, axis=0)) > 1:
        raise SignBridgeError(DIFFER)
    return grids[0].tolist() if grids[0].any() else None
