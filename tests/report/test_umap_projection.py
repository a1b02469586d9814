"""The picture of the UMAP plane."""

import io
import string

import numpy as np
import pandas as pd
import pytest

from signbridge.report.figures.umap_projection import COLUMN_WIDTH, umap_projection


def plane(labels: list[str], images: int = 12) -> pd.DataFrame:
    """A cloud a class."""
    generator = np.random.default_rng(0)
    centres = generator.uniform(0, 20, size=(len(labels), 2))
    points = np.repeat(centres, images, axis=0) + generator.normal(size=(len(labels) * images, 2))
    return pd.DataFrame({"label": np.repeat(labels, images), "x": points[:, 0], "y": points[:, 1]})


def test_every_image_is_drawn_as_its_letter_or_where_there_is_no_room_as_a_dot():
    figure = umap_projection(plane(list("ABCDEFGHIKLMNOPQRSTUVWXY")), "layer_16", "prompt_last", "tiny (a test bed)")
    clouds = figure.axes[0].collections
    assert sum(len(cloud.get_offsets()) for cloud in clouds) == 24 * 12
    shapes = {cloud.get_paths()[0].vertices.round(3).tobytes() for cloud in clouds}
    assert len(shapes) == 24 + 1


def test_long_class_names_are_written_in_the_plane():
    figure = umap_projection(plane(["hello", "thank_you", "A"]), "layer_16", "prompt_last", "tiny (a test bed)")
    assert {text.get_text() for text in figure.axes[0].texts} == {"hello", "thank_you", "A"}


@pytest.mark.parametrize("labels", [["$"], ["_"], ["%", "{"], ["a$b$", r"\alpha"], [""]])
def test_class_names_that_mean_something_to_a_typesetter_are_drawn(labels):
    umap_projection(plane(labels), "layer_16", "prompt_last", "tiny (a test bed)").savefig(io.BytesIO())


@pytest.mark.filterwarnings("error")  # Matplotlib warns of a glyph that is missing
def test_names_of_any_script_are_drawn_in_the_plane():
    figure = umap_projection(plane(["手", "été", "$a$"]), "layer_16", "prompt_last", r"tiny ($\frac$ 模型)")
    figure.savefig(io.BytesIO(), dpi=50)
    assert {text.get_text() for text in figure.axes[0].texts} == {r"\u624b", "été", "$a$"}
    assert figure.get_suptitle() == r"tiny ($\frac$ \u6a21\u578b)"


def test_the_title_says_site_position_and_counts():
    figure = umap_projection(
        plane(list(string.ascii_uppercase[:3]), images=5), "layer_16", "prompt_last", "tiny (a test bed)"
    )
    assert figure.get_suptitle() == "tiny (a test bed)"
    title = figure.axes[0].get_title()
    assert all(part in title for part in ("layer_16", "prompt_last", "15 images", "3 classes"))


def test_the_figure_fits_a_column():
    assert umap_projection(plane(["A"]), "layer_16", "prompt_last", "tiny (a test bed)").get_figwidth() == COLUMN_WIDTH
