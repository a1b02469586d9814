"""Which images of the dataset pages and pictures show: none where its licence does not let them be passed on.

A page is a file that is sent around, so an image in it is passed on. What the project draws itself follows the same
param.
"""

import io
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

import pandas as pd
from PIL import Image, ImageDraw

from signbridge.core import params
from signbridge.report.page_parts import SIDE

ShowImages = Literal["auto", True, False]  # `show_images` of params.yaml
SETTING = "show_images in params.yaml"


def why_hidden(images: Mapping[str, Any]) -> str:
    """Why no image is shown, in one sentence; empty where images are.

    `images` is what made data/images.parquet: `dataset`, its name, and `pass_on`, whether its licence lets images be
    passed on (true, false or unclear; true where nothing is said). Raises `SignBridgeError` if the param is unfit.
    """
    show = params.section("show_images", ShowImages)
    pass_on = images.get("pass_on", True)
    if show is True or (show == "auto" and pass_on is True):
        return ""
    if show is False:
        return f"none is shown ({SETTING})"
    clearly = "clearly " if pass_on == "unclear" else ""
    name = images.get("dataset", "the dataset")
    return f"none is shown: the licence of {name} does not {clearly}let them be passed on ({SETTING})"


def as_shown(table: pd.DataFrame, hidden: str, columns: Sequence[str] = ("image",)) -> pd.DataFrame:
    """The table with its `columns` of PNG images; where images are `hidden`, with a blank in place of each."""
    return table.assign(**{column: [blank()] * len(table) for column in columns}) if hidden else table


@cache
def blank() -> bytes:
    """A PNG that says that an image is not shown: grey, crossed out."""
    image = Image.new("L", (SIDE, SIDE), 225)
    lines = ImageDraw.Draw(image)
    for ends in ((0, 0, SIDE, SIDE), (0, SIDE, SIDE, 0)):
        lines.line(ends, fill=190, width=1)
    written = io.BytesIO()
    image.save(written, format="PNG")
    return written.getvalue()
