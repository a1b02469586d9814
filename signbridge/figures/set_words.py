"""Words in lines of a given width, single ones bold: what Matplotlib's own text cannot do.

Axes are measured in points, y upwards, as `points_axes` makes them.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import FT2Font

LEADING = 1.25  # of the type size, from line to line
FAMILY = "DejaVu Sans"  # comes with Matplotlib, so every machine has it
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
    return "".join(character if _font(False).get_char_index(ord(character)) else MISSING for character in text)


@cache
def _advance(character: str, marked: bool) -> float:
    """How far a character goes, in sizes of type."""
    font = _font(marked)
    font.set_size(100, 72)
    return font.load_char(ord(character)).linearHoriAdvance / 65536 / 100


@cache
def _font(marked: bool) -> FT2Font:
    return get_font(findfont(FontProperties(family=FAMILY, weight="bold" if marked else "normal")))
