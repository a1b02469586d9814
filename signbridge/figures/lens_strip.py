"""What one patch of one hand says under the three lenses, at five layers: a strip for the README."""

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, ImageOps

from signbridge.figures.set_words import LEADING, Line, Word, cut, drawable, in_lines, points_axes, set_lines, words_of
from signbridge.layer_choice import evenly_spread
from signbridge.lenses.names import DISPLAYED, LENSES
from signbridge.lenses.shown_words import excerpt, shown_words

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
