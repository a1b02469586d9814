"""A dataset at a glance: letters as columns, signers as rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from signbridge.core.tables import whole_file

CELL = 96  # pixels a side
GAP = 4
MOST_COLUMNS, MOST_ROWS = 40, 24
TEXT = 14  # pixels
LONGEST_NAME = 10
INK, PAPER = (0, 0, 0), (255, 255, 255)


def small(pixels: UInt8[np.ndarray, "height width *colour"]) -> Image.Image:
    """The image in colour, within a cell: a larger one is scaled down, a small one up by whole numbers."""
    image = Image.fromarray(pixels).convert("RGB")
    if max(image.size) <= CELL:
        times = CELL // max(image.size)
        return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    image.thumbnail((CELL, CELL))
    return image


def contact_sheet(
    letters: Sequence[str], rows: Sequence[str], images: Mapping[tuple[str, str], Image.Image]
) -> Image.Image:
    """A column a letter, a row a name of `rows`; `images` by letter and row, blank where there is none.

    Of more than `MOST_COLUMNS` letters and `MOST_ROWS` rows the first.
    """
    letters, rows = letters[:MOST_COLUMNS], rows[:MOST_ROWS]
    font = ImageFont.load_default(TEXT)
    left = max((int(font.getlength(_name(row))) for row in rows), default=0) + 2 * GAP
    top = TEXT + 3 * GAP
    sheet = Image.new("RGB", (left + len(letters) * (CELL + GAP), top + len(rows) * (CELL + GAP)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, letter in enumerate(letters):
        draw.text((left + column * (CELL + GAP) + CELL // 2, GAP), _name(letter), INK, font, anchor="ma")
    for place, row in enumerate(rows):
        down = top + place * (CELL + GAP)
        draw.text((GAP, down + CELL // 2), _name(row), INK, font, anchor="lm")
        for column, letter in enumerate(letters):
            image = images.get((letter, row))
            if image is not None:
                across = left + column * (CELL + GAP)
                sheet.paste(image, (across + (CELL - image.width) // 2, down + (CELL - image.height) // 2))
    return sheet


def save(sheet: Image.Image, path: Path) -> None:
    """Write the sheet to `path` as PNG, whole or not at all."""
    with whole_file(path) as unfinished:
        sheet.save(unfinished, format="PNG")


def _name(text: str) -> str:
    """A name in what the font holds, cut where it is long."""
    text = text.encode("ascii", "backslashreplace").decode()
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 2]}.."
