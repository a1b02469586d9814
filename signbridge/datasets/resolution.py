"""The resolution ladder: the same photos made smaller, and the pixels of each size for a probe.

A rung is named by the pixels that the longer side has at most: `56`, or `28-grey` without colour. A larger picture is
averaged over boxes (Pillow's `BOX`, as the site `pixels` is made) and keeps its proportions. A smaller one stays as it
is: nothing is enlarged. Grey is luminance (ITU-R BT.601, Pillow's `L`), taken before averaging.
"""

import io
import re
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float32
from PIL import Image
from pydantic import Field

from signbridge.core.params import Section
from signbridge.datasets.images import encode_png

FULL = "full"  # the pictures as they are: the last rung of every ladder
RUNGS = ["rung", "side", "least_side", "colour", "already", "same_as"]  # columns of the table of `pictures_by_rung`
Side = Annotated[int, Field(ge=1)]
Name = Side | Annotated[str, Field(pattern=r"^[1-9][0-9]*-grey$")]


class ResolutionParams(Section):
    """stages/resolution/params.yaml."""

    rungs: list[Name] = Field(min_length=1)
    repeats: int = Field(ge=1)  # of the study's folds
    pixels: Side  # a side at most of the pictures whose raw pixels are probed


class Rung(NamedTuple):
    """One size of the pictures."""

    name: str
    side: int  # pixels of the longer side at most
    colour: bool


def ladder(names: Sequence[int | str]) -> list[Rung]:
    """The rungs of these names, the smallest first, and of one size grey before colour; each once."""
    rungs = {Rung(str(name), int(re.sub("-grey$", "", str(name))), not str(name).endswith("-grey")) for name in names}
    return sorted(rungs, key=lambda rung: (rung.side, rung.colour))


def at_rung(png: bytes, rung: Rung) -> bytes:
    """The picture as PNG, no larger than the rung; the very bytes where it is so already."""
    image = Image.open(io.BytesIO(png))
    longer = max(image.size)
    if longer <= rung.side and (rung.colour or image.mode == "L"):
        return png
    if not rung.colour:
        image = image.convert("L")
    if longer > rung.side:
        width, height = (max(1, round(side * rung.side / longer)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BOX)
    return encode_png(np.asarray(image))


def pictures_by_rung(pngs: Sequence[bytes], rungs: Sequence[Rung]) -> tuple[dict[str, list[bytes]], pd.DataFrame]:
    """The pictures of each rung that differs from all others, by name and `full` last; and the table of all rungs.

    `rungs` come as `ladder` has them. The table has the columns `RUNGS`, a row a rung: the longer side of its largest
    and of its smallest picture; whether any has colour; how many of the images were `already` no larger; and
    `same_as`, the rung whose very pictures it has, empty for those that differ.
    """
    full = list(pngs)
    sides = [_longer_side(png) for png in full]
    distinct: dict[str, list[bytes]] = {}
    rows = []
    for rung in rungs:
        pictures = [at_rung(png, rung) for png in full]
        same = [name for name, others in {FULL: full, **distinct}.items() if others == pictures]
        already = sum(side <= rung.side for side in sides)
        rows.append((rung.name, *_extent(pictures), already, same[0] if same else ""))
        if not same:
            distinct[rung.name] = pictures
    distinct[FULL] = full
    rows.append((FULL, *_extent(full), len(full), ""))
    return distinct, pd.DataFrame(rows, columns=RUNGS)


def flat_pixels(pngs: Sequence[bytes], most: int) -> Float32[np.ndarray, "images width"]:
    """The pixels of the pictures of one rung, flattened, for a probe: of all on one grid, at most `most` a side.

    The grid is a square as large as the longer side of the largest picture; pictures of another shape are averaged, or
    repeated, onto it. Grey pictures have one number a pixel; where any has colour, all have three.
    """
    images = [Image.open(io.BytesIO(png)) for png in pngs]
    side = min(most, max(max(image.size) for image in images))
    mode = "L" if all(image.mode == "L" for image in images) else "RGB"
    rows = []
    for image in images:
        image = image.convert(mode)
        if image.size != (side, side):
            image = image.resize((side, side), Image.Resampling.BOX)
        rows.append(np.asarray(image, dtype=np.float32).reshape(-1))
    return np.stack(rows)


def _longer_side(png: bytes) -> int:
    return max(Image.open(io.BytesIO(png)).size)


def _extent(pngs: Sequence[bytes]) -> tuple[int, int, bool]:
    images = [Image.open(io.BytesIO(png)) for png in pngs]
    sides = [max(image.size) for image in images]
    return max(sides), min(sides), any(image.mode != "L" for image in images)
