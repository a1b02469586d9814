"""The activation tables of one run, from its finished shards."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from signbridge import activations
from signbridge.datasets.images import grey_pixels
from signbridge.shards import names_of, vectors_of


def decoded(pngs: Iterable[bytes]) -> list[Image.Image]:
    """The images as a model takes them in, in colour."""
    return [Image.open(io.BytesIO(png)).convert("RGB") for png in pngs]


def sites_of(shards: list[Path]) -> list[str]:
    """All sites of a run in order of depth, `pixels` first."""
    return ["pixels", *dict.fromkeys(name.split(".")[0] for name in names_of(shards[0]))]


def write_sites(
    folder: Path, shards: list[Path], image_ids: list[str], pngs: Sequence[bytes], made_by: dict[str, Any]
) -> None:
    """Write a table for each site of `shards` to `folder`, and the `pixels` of `pngs`, the images that were read.

    `image_ids` names the rows; `made_by` must hold `sites`.
    """
    pixels = np.stack([grey_pixels(png).reshape(-1) for png in pngs]).astype(np.float32)
    activations.write(folder, "pixels", image_ids, {"flat": pixels}, made_by)
    positions: dict[str, list[str]] = {}
    for name in names_of(shards[0]):
        site, position = name.split(".")
        positions.setdefault(site, []).append(position)
    for site, there in positions.items():
        vectors = {position: vectors_of(shards, f"{site}.{position}") for position in there}
        activations.write(folder, site, image_ids, vectors, made_by)
