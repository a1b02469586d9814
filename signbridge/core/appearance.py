"""How large and how bright images are, and whether in colour: of one image, and summed up over many."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import UInt8

LUMINANCE = np.array([0.299, 0.587, 0.114])  # of red, green and blue: ITU-R BT.601, as Pillow's mode L
ALL = "all"
BETWEEN = (0.05, 0.5, 0.95)  # quantiles of the brightness


class Look(NamedTuple):
    """What an image looks like."""

    width: int  # pixels
    height: int
    in_colour: bool
    brightness: float  # mean luminance, 0 (black) to 1 (white)


def look_of(pixels: UInt8[np.ndarray, "height width *colour"]) -> Look:
    """The size and brightness of the pixels; grey has two dimensions, colour a third."""
    height, width = pixels.shape[:2]
    in_colour = pixels.ndim == 3
    means = pixels.reshape(height * width, -1).mean(axis=0)
    brightness = float(means @ LUMINANCE) if in_colour else float(means[0])
    return Look(width, height, in_colour, brightness / 255)


def summed_up(looks: Sequence[Look], signers: Sequence[str] | None) -> pd.DataFrame:
    """A row for all of the images, and one for each signer where they are known.

    Columns: who; images; share (of all); in_colour (share); smallest, median and largest (`640 x 480`, by area); dark,
    middle and bright (5, 50 and 95 % of the images are darker).
    """
    table = pd.DataFrame(looks, columns=list(Look._fields))
    parts = [(ALL, table)]
    if signers is not None:
        parts += [(str(name), part) for name, part in table.groupby(np.asarray(signers), sort=True)]
    return pd.DataFrame([{"who": name, "share": len(part) / len(table), **_row(part)} for name, part in parts])


def _row(part: pd.DataFrame) -> dict[str, object]:
    order = (part["width"] * part["height"]).to_numpy().argsort(kind="stable")
    places = {"smallest": order[0], "median": order[len(order) // 2], "largest": order[-1]}
    sizes = {name: f"{part['width'].iloc[place]} x {part['height'].iloc[place]}" for name, place in places.items()}
    brightness = part["brightness"].quantile(BETWEEN).to_numpy()
    return {
        "images": len(part),
        "in_colour": float(part["in_colour"].mean()),
        **sizes,
        **dict(zip(("dark", "middle", "bright"), brightness, strict=True)),
    }
