"""What a page is built from: sections of pictures, each with what to see in it and the same as a table; images."""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from PIL import Image

from signbridge.report.wording import number, percent, share_with_interval

SIDE = 56  # pixels of a thumbnail at most, twice the size of Sign Language MNIST's images
LARGE_SIDE = 224  # pixels of an image that the page enlarges

# The parts of a page, in order, below its answer and its picture. Those after the first are folded.
REAL, DETAILS, DATA = "real", "details", "data"
PARTS = {REAL: "Is it real?", DETAILS: "Details", DATA: "Data"}


class Thumbnail(NamedTuple):
    """A small image in a cell."""

    source: str  # data URI
    alt: str


Cell = str | Thumbnail


@dataclass(frozen=True)
class Table:
    """A table of text. The first cell of a row names it; columns of numbers are set to the right."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    searched: str = ""  # id of the table, where a reader searches its rows


@dataclass(frozen=True)
class Picture:
    """A chart or an image, what to see in it, and the same as a table for those who do not see it."""

    name: str  # unique on the page; part of ids
    title: str
    sees: str  # one or two sentences
    twin: Table
    spec: dict[str, Any] | None = None  # Vega-Lite
    image: Thumbnail | None = None


class Example(NamedTuple):
    """An answer to a letter, with an image that got it."""

    answer: str
    share: str
    image: Thumbnail | None


class Card(NamedTuple):
    """The commonest answers to one letter."""

    letter: str
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Gallery:
    """Images with a line below each, in groups."""

    title: str
    sees: str
    groups: tuple[tuple[str, tuple[Example, ...]], ...]  # a name, which may be empty, and its images


@dataclass(frozen=True)
class PatchWords:
    """Images whose patches a reader points at to read their words, and a sample of them in text."""

    name: str  # unique on the page; part of ids
    title: str
    sees: tuple[str, ...]  # paragraphs
    images: tuple[Thumbnail, ...]
    labels: tuple[str, ...]  # of the images
    lenses: tuple[str, ...]
    sites: tuple[str, ...]
    data: dict[str, Any]  # what patch_words.js reads
    twin: Table


@dataclass(frozen=True)
class FeatureBrowser:
    """Features of autoencoders that a reader searches and opens, and the first of each letter in text."""

    name: str  # unique on the page; part of ids
    title: str
    sees: tuple[str, ...]  # paragraphs
    sites: tuple[str, ...]
    data: dict[str, Any]  # what feature_browser.js reads
    twin: Table


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    name: str
    title: str
    lead: tuple[str, ...]  # paragraphs
    pictures: tuple[Picture, ...] = ()
    cards: tuple[Card, ...] = ()
    gallery: Gallery | None = None
    tables: tuple[Table, ...] = ()
    patch_words: PatchWords | None = None
    features: FeatureBrowser | None = None
    part: str = DETAILS  # one of `PARTS`

    @property
    def shows(self) -> bool:
        """Whether there is anything below the heading."""
        parts = (self.lead, self.pictures, self.cards, self.gallery, self.tables, self.patch_words, self.features)
        return any(parts)


# Tables that say the same as a chart ----------------------------------------------------------------------------------


def layer_table(caption: str, rows: pd.DataFrame, written: Callable[[float, float, float], str]) -> Table:
    """A row a layer, a column a series; `rows` (series, site, value, low, high) are each `written` into a cell."""
    names, sites = (list(dict.fromkeys(rows[name])) for name in ("series", "site"))
    cells = {(row["series"], row["site"]): written(row["value"], row["low"], row["high"]) for _, row in rows.iterrows()}
    by_site = tuple((site, *(cells.get((name, site), "–") for name in names)) for site in sites)
    return Table(caption, ("layer", *names), by_site)


def dose_table(caption: str, rows: pd.DataFrame, series: str, probability: str) -> Table:
    """A row a point: `rows` are those of `dose_response`, and `says`; `series` and `probability` name these columns."""
    return Table(
        caption,
        (series, "strength", probability, "text says it", "damage (nats a token)"),
        tuple(
            (row["series"], format(row["strength"], "g"),
             share_with_interval(row["probability"], row["low"], row["high"]), percent(row["says"]),
             number(row["damage"], 2)) for _, row in rows.iterrows()
        ),
    )  # fmt: skip


# Images ---------------------------------------------------------------------------------------------------------------


def data_uri(png: bytes) -> str:
    """A PNG as it is."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def pixels_of(png: bytes) -> UInt8[np.ndarray, "height width *colour"]:
    """The pixels of an image, grey or in colour."""
    return np.asarray(Image.open(io.BytesIO(png)))


def thumbnail(png: bytes) -> str:
    """A PNG of at most `SIDE` pixels a side, as a data URI; a smaller one is passed on as it is."""
    with Image.open(io.BytesIO(png)) as image:
        if max(image.size) <= SIDE:
            return data_uri(png)
        image.thumbnail((SIDE, SIDE))
        small = io.BytesIO()
        image.save(small, format="PNG", optimize=True)
    return data_uri(small.getvalue())


def enlargeable(png: bytes, side: int = LARGE_SIDE) -> str:
    """A PNG of at most `side` pixels a side as it is, a larger one as a JPEG of that size, as a data URI."""
    with Image.open(io.BytesIO(png)) as image:
        if max(image.size) <= side:
            return data_uri(png)
        small = image.convert("RGB")
        small.thumbnail((side, side))
    jpeg = io.BytesIO()
    small.save(jpeg, format="JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}"


def within_budget(images: Sequence[bytes], budget: int) -> dict[int, str]:
    """Thumbnails by their place in `images`: of all, or of as many, evenly, as `budget` characters hold."""
    if not images:
        return {}
    looked_at = np.unique(np.linspace(0, len(images) - 1, 64).astype(int))
    typical = max(float(np.mean([len(thumbnail(images[index])) for index in looked_at])), 1.0)
    allowed = max(int(budget / typical), 1)
    chosen = range(len(images)) if allowed >= len(images) else np.linspace(0, len(images) - 1, allowed).astype(int)
    return {int(index): thumbnail(images[index]) for index in chosen}
