"""The words of one patch of one hand under the three lenses, at five layers: a strip for the README.

Its first part sets words in lines of a given width, single ones bold, which Matplotlib's own text cannot do. Axes are
measured in points, y upwards, as `points_axes` makes them.
"""

import io
import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, ImageOps

from signbridge.core.activations import evenly_spread
from signbridge.core.names import DISPLAYED, LENSES
from signbridge.report.figures.names import FAMILY, font, has_glyph
from signbridge.report.lens_words import excerpt, shown_words

LEADING = 1.25  # of the type size, from line to line
MISSING = "□"  # for a character that the font does not have


class Word(NamedTuple):
    """A word, or part of one, that is never parted."""

    text: str
    marked: bool = False  # bold
    spaced: bool = True  # whether white space parts it from the one before


Line = list[tuple[float, Word]]  # with where each word begins, in points


def points_axes(figure: Figure) -> Axes:
    """Axes over the whole figure, without frame, measured in points."""
    axes = figure.add_axes((0, 0, 1, 1))
    width, height = figure.get_size_inches() * 72
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return axes


def words_of(sentence: str, start: int = 0, end: int = 0) -> list[Word]:
    """The words of a sentence, what stands from `start` to `end` marked."""
    words: list[Word] = []
    for first, last, marked in ((0, start, False), (start, end, True), (end, len(sentence), False)):
        for found in re.finditer(r"\S+", sentence[first:last]):
            place = first + found.start()
            spaced = place == 0 or sentence[place - 1].isspace()
            words.append(Word(found[0], marked, spaced))
    return words


def in_lines(words: Sequence[Word], width: float, size: float) -> list[Line]:
    """The words in lines of at most `width` points; a word that is wider than a line is cut."""
    lines: list[Line] = []
    reached = width  # how far the last line goes
    for word in words:
        word = word._replace(text=cut(drawable(word.text), width, size, word.marked))
        begins = reached + (width_of(" ", size) if word.spaced else 0)
        wide = width_of(word.text, size, word.marked)
        if not lines or begins + wide > width:
            lines.append([])
            begins = 0.0
        lines[-1].append((begins, word))
        reached = begins + wide
    return lines


def set_lines(axes: Axes, lines: Sequence[Line], left: float, top: float, size: float, colour: str = "black") -> float:
    """Draw `lines` from `top` downwards and return where the next one would begin."""
    for place, line in enumerate(lines):
        baseline = top - size - place * LEADING * size
        for begins, word in line:
            look = {"family": FAMILY, "fontsize": size, "weight": "bold" if word.marked else "normal", "color": colour}
            axes.text(left + begins, baseline, word.text, parse_math=False, **look)  # `$` is a dollar
    return top - len(lines) * LEADING * size


def cut(text: str, width: float, size: float, marked: bool = False) -> str:
    """The text, with an ellipsis for what does not fit into `width` points."""
    if width_of(text, size, marked) <= width:
        return text
    while text and width_of(f"{text}…", size, marked) > width:
        text = text[:-1]
    return f"{text}…"


def width_of(text: str, size: float, marked: bool = False) -> float:
    """How wide the text is set, in points, without kerning."""
    return sum(_advance(character, marked) for character in text) * size


def drawable(text: str) -> str:
    """The text, with a box for each character that the font does not have."""
    return "".join(character if has_glyph(character) else MISSING for character in text)


@cache
def _advance(character: str, marked: bool) -> float:
    """How far a character goes, in sizes of type."""
    face = font(marked)
    face.set_size(100, 72)
    return face.load_char(ord(character)).linearHoriAdvance / 65536 / 100


LAYERS, WORDS, SENTENCE_LINES = 5, 5, 4
LONGEST = 160  # characters of a sentence, more than its lines can hold
HOLDS = "✓"
SENTENCES = "Bold in a sentence: the word that LatentLens found."
RED = "#D1242F"
QUIET = "#565D66"
LINE = "#C9CED4"
# All in points.
WIDTH = 518.4  # 7.2 inches, as the other figures
HAND = 112
LABEL = 12  # of a lens, on its side
SIZE, SMALL = 7.5, 6.5  # of type
PAD = 4
MARGIN = 2


def lens_strip(
    words: pd.DataFrame, image: bytes, grid: Sequence[int] | None, true_words: frozenset[str], title: str
) -> Figure:
    """The hand with a red box around the patch, and beside it its words: a row a lens, a column a layer.

    `words` are the rows of `data/lenses.parquet` of one image and patch, of which as many as five layers are drawn,
    evenly spread; `image` is a PNG, of which the middle square is shown, as the model's processor cuts it; `grid` has
    the rows and columns of all image tokens, None for no box. A word that holds for the hand is bold, behind a tick.
    `title` stands below the hand.
    """
    sites = evenly_spread(LAYERS, list(dict.fromkeys(words["site"])))
    words = words.assign(word=shown_words(words)).sort_values("rank", kind="stable")
    heading = LEADING * SIZE + PAD
    said = WORDS * LEADING * SIZE + 2 * PAD
    sentence = SENTENCE_LINES * LEADING * SMALL + PAD
    heights = {"embedding": said, "logit": said, "latent": said + sentence}
    height = heading + sum(heights.values()) + 2 * MARGIN
    figure = Figure(figsize=(WIDTH / 72, height / 72), facecolor="white")
    axes = points_axes(figure)

    top = height - MARGIN
    _hand(axes, image, grid, int(words["patch"].iloc[0]), top)
    _caption(axes, title, true_words, top - HAND - PAD)
    left = MARGIN + HAND + 3 * PAD + LABEL
    column = (WIDTH - MARGIN - left) / LAYERS
    for place, site in enumerate(sites):
        axes.text(left + place * column, top - SIZE, site, fontsize=SIZE, color=QUIET)
    top -= heading
    for lens in LENSES:
        axes.plot([left - LABEL - PAD, WIDTH - MARGIN], [top, top], color=LINE, linewidth=0.6)
        middle = top - heights[lens] / 2
        axes.text(left - PAD, middle, DISPLAYED[lens], rotation=90, fontsize=SMALL, ha="right", va="center")
        for place, site in enumerate(sites):
            here = words[(words["lens"] == lens) & (words["site"] == site)]
            _cell(axes, here, true_words, left + place * column, top - PAD, column - 2 * PAD)
        top -= heights[lens]
    return figure


def example_patch(hands: pd.DataFrame, grid: Sequence[int] | None) -> tuple[str, int]:
    """An image_id and a patch to show, not chosen by what they say: the first by name, and where there is most hand.

    `hands` has image_id, patch and hand, how much of the patch the hand covers. Of several such patches, or where the
    hand is not known, the one nearest to the middle of the `grid`, or of the line where there is no grid.
    """
    of_first = hands[hands["image_id"] == hands["image_id"].min()].fillna({"hand": 0.0})
    most = of_first.loc[of_first["hand"] == of_first["hand"].max(), "patch"]
    if grid is None:
        return of_first["image_id"].iloc[0], int(most.iloc[len(most) // 2])
    row, column = np.divmod(most, grid[1])
    off = np.hypot(row - (grid[0] - 1) / 2, column - (grid[1] - 1) / 2)
    return of_first["image_id"].iloc[0], int(most.loc[off.idxmin()])


def _hand(axes: Axes, image: bytes, grid: Sequence[int] | None, patch: int, top: float) -> None:
    picture = Image.open(io.BytesIO(image)).convert("RGB")
    side = min(picture.size)
    picture = ImageOps.fit(picture, (side, side))
    left, bottom = MARGIN, top - HAND
    extent = (left, left + HAND, bottom, top)
    axes.imshow(picture, extent=extent, aspect="auto", interpolation="nearest" if side < HAND else "antialiased")
    axes.set(xlim=(0, WIDTH), ylim=(0, axes.get_ylim()[1]))
    if grid is None:
        return
    rows, columns = grid
    row, column = divmod(patch, columns)
    corner = (left + column * HAND / columns, top - (row + 1) * HAND / rows)
    for colour, width in (("white", 3.2), (RED, 1.6)):  # white around the red: it shows on every picture
        box = Rectangle(corner, HAND / columns, HAND / rows, fill=False, edgecolor=colour, linewidth=width)
        axes.add_patch(box)


def _caption(axes: Axes, title: str, true_words: frozenset[str], top: float) -> None:
    lines = in_lines(words_of(title), HAND, SIZE)
    top = set_lines(axes, lines, MARGIN, top, SIZE) - PAD
    if true_words:
        holding = ", ".join(sorted(true_words))
        words = words_of(f"{HOLDS} holds for this hand: {holding}.", 0, len(HOLDS))
        top = set_lines(axes, in_lines(words, HAND, SMALL), MARGIN, top, SMALL, QUIET) - PAD
    set_lines(axes, in_lines(words_of(SENTENCES), HAND, SMALL), MARGIN, top, SMALL, QUIET)


def _cell(axes: Axes, rows: pd.DataFrame, true_words: frozenset[str], left: float, top: float, width: float) -> None:
    """The words one below the other, and of LatentLens the sentence of the first."""
    rows = rows.head(WORDS)
    for word in rows["word"]:
        holds = word.lower() in true_words
        text = cut(drawable(f"{HOLDS} {word}" if holds else word), width, SIZE, holds)
        top = set_lines(axes, [[(0.0, Word(text, holds))]], left, top, SIZE)
    sentences = rows[rows["sentence"] != ""]
    if len(sentences):
        first = sentences.iloc[0]
        lines = _sentence(first["sentence"], int(first["start"]), int(first["end"]), width)
        set_lines(axes, lines, left, top - PAD / 2, SMALL, QUIET)


def _sentence(sentence: str, start: int, end: int, width: float) -> list[Line]:
    """As much of the sentence around its word as fits into its lines."""
    longest = min(len(sentence), LONGEST)
    while True:
        lines = in_lines(words_of(*excerpt(sentence, start, end, longest)), width, SMALL)
        if len(lines) <= SENTENCE_LINES or longest <= end - start:
            return lines[:SENTENCE_LINES]
        longest -= 1
