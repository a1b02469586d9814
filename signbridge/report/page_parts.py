"""What a page is built from: sections of pictures, each with what to see in it and its twin in text."""

from dataclasses import dataclass
from typing import Any, NamedTuple


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


@dataclass(frozen=True)
class Picture:
    """A chart or an image, what to see in it, and the same in text for those who do not see it."""

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
    """A part of the page. Without anything to show, `lead` says why."""

    name: str
    title: str
    lead: tuple[str, ...]  # paragraphs
    pictures: tuple[Picture, ...] = ()
    cards: tuple[Card, ...] = ()
    tables: tuple[Table, ...] = ()
    patch_words: PatchWords | None = None
    features: FeatureBrowser | None = None
    listing: str = ""  # shown as it is, in a fixed pitch
