import io
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from signbridge.report.figures.lens_strip import (
    HAND,
    MARGIN,
    Word,
    drawable,
    example_patch,
    in_lines,
    lens_strip,
    width_of,
    words_of,
)
from tests.report.made_up import png
from tests.report.made_up_lenses import words_table

IMAGE = png(np.arange(784, dtype=np.uint8).reshape(28, 28))
SENTENCE = "The index finger is up, and the others are bent."


def strip(layers: int = 7, patch: int = 5, grid=(4, 3), true_words=frozenset({"up"}), image: bytes = IMAGE, **changes):
    table = words_table(["A-000-0"], ["embedding", *(f"layer_{block:02}" for block in range(layers))], [patch], k=6)
    return lens_strip(table.assign(**changes), image, grid, true_words, "A (A-000-0), tiny")


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def headings(figure):
    return [text for text in texts(figure) if re.fullmatch(r"embedding|layer_\d\d", text)]


def test_five_layers_are_drawn_from_the_first_to_the_last():
    assert headings(strip(8, sentence="")) == ["embedding", "layer_01", "layer_03", "layer_05", "layer_07"]


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_fewer_layers_are_all_drawn(layers):
    assert len(headings(strip(layers, sentence=""))) == layers + 1


def test_the_red_box_lies_around_the_patch():
    figure = strip(patch=5, grid=(4, 3))
    [white, red] = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    top = figure.get_size_inches()[1] * 72 - MARGIN
    assert red.get_xy() == pytest.approx((MARGIN + 2 * HAND / 3, top - 2 * HAND / 4))
    assert (red.get_width(), red.get_height()) == pytest.approx((HAND / 3, HAND / 4))
    assert white.get_linewidth() > red.get_linewidth()


def test_tokens_without_a_grid_get_no_box():
    assert not strip(grid=None).axes[0].patches


def test_words_that_hold_are_bold_behind_a_tick_and_no_others():
    figure = strip(0)
    held = [text for axes in figure.axes for text in axes.texts if text.get_text() == "✓ Up"]
    assert [text.get_weight() for text in held] == ["bold"]
    assert not [text for text in texts(strip(0, true_words=frozenset())) if "✓" in text]


def test_of_each_cell_five_words_are_drawn_and_of_latentlens_its_first_sentence_with_the_word():
    sentences = ["", "", SENTENCE]  # in the order of the lenses
    figure = strip(0, word="finger", sentence=np.repeat(sentences, 6), start=10, end=16)
    drawn = [text for axes in figure.axes for text in axes.texts]
    # Three lenses with five each, and in the sentence.
    assert [text.get_text() for text in drawn].count("finger") == 16
    [marked] = [text for text in drawn if text.get_text() == "finger" and text.get_weight() == "bold"]
    assert marked.get_fontsize() < 7


def test_words_stay_in_their_cells_however_long_and_odd():
    figure = strip(word="W" * 300, sentence=f"$a_b$ {'W' * 500} \u4f60 \U0001f44b end", start=0, end=5)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert max(box.x1 for box in boxes) <= figure.bbox.width
    assert min(box.y0 for box in boxes) >= 0
    assert any("$a_b$" in text for text in texts(figure))


def test_no_warning_of_a_missing_glyph(recwarn):
    figure = strip(0, word="\u4f60\u597d")
    figure.canvas.draw()
    assert not [str(warning.message) for warning in recwarn if "Glyph" in str(warning.message)]
    assert "□□" in texts(figure)


@pytest.mark.parametrize("shape", [(400, 300, 3), (28, 28), (10, 50)])
def test_images_of_any_size_fill_the_square(shape):
    [shown] = strip(0, image=png(np.full(shape, 90, np.uint8))).axes[0].images
    height, width, _ = shown.get_array().shape
    assert height == width == min(shape[:2])


def test_equal_strips_are_equal_files():
    files = []
    for _ in range(2):
        buffer = io.BytesIO()
        strip().savefig(buffer, dpi=100, metadata={"Software": None})
        files.append(buffer.getvalue())
    assert files[0] == files[1]


def test_the_words_of_a_sentence_are_parted_at_white_space_and_at_the_marked_word():
    start = SENTENCE.index("up")
    words = words_of(SENTENCE, start, start + 2)
    assert [word for word in words if word.marked] == [Word("up", True)]
    assert words[words.index(Word("up", True)) + 1] == Word(",", spaced=False)
    assert "".join(f"{' ' if word.spaced else ''}{word.text}" for word in words).strip() == SENTENCE


def test_lines_are_no_wider_than_told_and_lose_no_word():
    words = words_of(SENTENCE)
    lines = in_lines(words, 60, 8)
    assert len(lines) > 2
    assert [word for line in lines for _, word in line] == words
    for line in lines:
        begins, word = line[-1]
        assert begins + width_of(word.text, 8) <= 60


def test_a_character_that_the_font_lacks_is_a_box():
    assert drawable("a\u4f60b") == "a□b"


@pytest.mark.parametrize(
    ("covered", "grid", "patch"),
    [
        ([0, 0.2, 0.9, 0, 0, 0, 0, 0, 0], [3, 3], 2),  # where there is most hand
        ([1, 0, 0, 0, 0, 1, 0, 0, 0], [3, 3], 5),  # of several the one nearest to the middle
        ([float("nan")] * 9, [3, 3], 4),  # where the hand is not known
        ([float("nan")] * 9, None, 4),
    ],
)
def test_the_patch_that_is_shown_is_not_chosen_by_its_words(covered, grid, patch):
    hands = pd.DataFrame({"image_id": "a", "patch": range(9), "hand": covered})
    later = hands.assign(image_id="b", hand=[1.0] + [0.0] * 8)
    assert example_patch(pd.concat([later, hands], ignore_index=True), grid) == ("a", patch)
