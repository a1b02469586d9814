import io

import numpy as np
import pytest

from signbridge.report.figures.class_grid import class_grid


def shown(figure):
    """The axes that hold a picture."""
    return [axis for axis in figure.axes if axis.images]


def test_every_letter_has_its_own_picture_under_its_name():
    images = [np.full((28, 28), 10 * i, np.uint8) for i in range(24)]
    letters = list("ABCDEFGHIKLMNOPQRSTUVWXY")
    axes = shown(class_grid(letters, images))
    assert [axis.get_title() for axis in axes] == letters
    assert [int(axis.images[0].get_array()[0, 0]) for axis in axes] == [10 * i for i in range(24)]


def test_grey_is_shown_from_black_to_white_whatever_its_range():
    [axis] = shown(class_grid(["A"], [np.full((28, 28), 7, np.uint8)]))
    assert axis.images[0].get_clim() == (0, 255)


@pytest.mark.parametrize("letters", [1, 2, 7, 13, 24, 60])
def test_any_number_of_letters_fits_a_page_at_300_dpi(letters):
    figure = class_grid(["L"] * letters, [np.zeros((28, 28), np.uint8)] * letters)
    assert len(shown(figure)) == letters
    width, height = figure.get_size_inches()
    assert width <= 6.5
    assert height <= 11


def test_colour_and_grey_of_different_sizes_stand_side_by_side():
    assert len(shown(class_grid(["A", "B"], [np.zeros((40, 30, 3), np.uint8), np.zeros((28, 28), np.uint8)]))) == 2


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("$x_1$", "$x_1$"),
        (r"$\frac$ \undefined{", r"$\frac$ \undefined{"),
        ("été привет Ελλ", "été привет Ελλ"),
        ("手A", r"\u624bA"),
        ("👍", r"\U0001f44d"),
        ("a\nb\t\ud83d", r"a\u000ab\u0009\ud83d"),
    ],
)
@pytest.mark.filterwarnings("error")  # Matplotlib warns of a glyph that is missing
def test_names_of_any_script_are_glyphs_or_escapes_and_never_maths(name, drawn):
    figure = class_grid([name], [np.zeros((28, 28), np.uint8)])
    figure.savefig(io.BytesIO(), dpi=50)
    [axis] = shown(figure)
    assert axis.get_title() == drawn
    assert not axis.title.get_parse_math()


def test_equal_pictures_are_equal_files():
    files = []
    for _ in range(2):
        buffer = io.BytesIO()
        class_grid(["A"], [np.zeros((28, 28), np.uint8)]).savefig(buffer, dpi=100, metadata={"Software": None})
        files.append(buffer.getvalue())
    assert files[0] == files[1]


def test_images_in_colour_are_shown_in_colour():
    red = np.zeros((28, 28, 3), np.uint8)
    red[..., 0] = 200
    [axis] = shown(class_grid(["A"], [red]))
    np.testing.assert_array_equal(axis.get_images()[0].get_array(), red)
