"""What is said of neighbours in the UMAP plane leaves copies of the same photo out."""

import pandas as pd

from signbridge.report.sections.plane import same_letter_nearby


def test_a_copy_of_the_same_photo_is_no_neighbour():
    plane = pd.DataFrame(
        {"label": ["A", "A", "B", "B"], "photo": ["a", "a", "b", "c"], "x": [0.0, 0.1, 0.3, 5.0], "y": [0.0] * 4}
    )
    assert same_letter_nearby(plane).tolist() == [False, False, False, True]


def test_one_photo_alone_has_no_neighbour():
    plane = pd.DataFrame({"label": ["A", "A"], "photo": ["a", "a"], "x": [0.0, 0.1], "y": [0.0, 0.0]})
    assert same_letter_nearby(plane).tolist() == [False, False]
