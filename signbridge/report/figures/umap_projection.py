"""The UMAP plane, each image drawn as the letter it shows."""

import re
from textwrap import fill

import matplotlib.patheffects as effects
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from signbridge.report.figures.names import as_drawn
from signbridge.report.palette import CYCLE
from signbridge.report.spacing import have_room

ACROSS = 210  # points, the side of the plane
COLUMN_WIDTH = 3.4  # inches, one column of a two-column paper


def umap_projection(coordinates: pd.DataFrame, site: str, position: str, model: str) -> Figure:
    """Draw the table `data/umap.parquet` (label, x, y): the letters themselves are the marks where they have room.

    Images without room for their letter are dots. Of classes that are no letters or digits all are, and each has its
    name at its median. `model` is the name that the picture is headed with.
    """
    figure = Figure(figsize=(COLUMN_WIDTH, COLUMN_WIDTH), layout="constrained")
    axes = figure.add_subplot()
    labels = sorted(coordinates["label"].unique())
    draw = _draw_glyphs if all(re.fullmatch("[A-Za-z0-9]", label) for label in labels) else _draw_dots
    # 300 marks of 20 square points fill a column; more must be smaller.
    size = float(np.clip(6000 / len(coordinates), 3, 20))
    roomy = have_room(coordinates[["x", "y"]].to_numpy(dtype=float), ACROSS, ACROSS, 1.7 * size**0.5)
    coordinates = coordinates.assign(roomy=roomy)
    for index, label in enumerate(labels):
        draw(axes, coordinates[coordinates["label"] == label], label, size, CYCLE[index % len(CYCLE)])
    axes.set_title(f"UMAP of {site}, {position}\n{len(coordinates)} images, {len(labels)} classes", fontsize=8)
    figure.suptitle(fill(as_drawn(model), 60), fontsize=7, parse_math=False)
    axes.set_xlabel("UMAP 1 (no unit)", fontsize=7)
    axes.set_ylabel("UMAP 2 (no unit)", fontsize=7)
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_glyphs(axes: Axes, images: pd.DataFrame, label: str, size: float, colour: str) -> None:
    bare = images[~images["roomy"]]
    axes.scatter(bare["x"], bare["y"], s=size / 8, color=colour, linewidths=0, alpha=0.6)
    images = images[images["roomy"]]
    marks = axes.scatter(
        images["x"], images["y"], s=size, marker=rf"$\mathbf{{{label}}}$", color=colour, linewidths=0, zorder=3
    )
    marks.set_path_effects([effects.withStroke(linewidth=1.5, foreground="white")])


def _draw_dots(axes: Axes, images: pd.DataFrame, label: str, size: float, colour: str) -> None:
    axes.scatter(images["x"], images["y"], s=size / 2, color=colour, linewidths=0, alpha=0.6)
    at = images[["x", "y"]].median()
    name = axes.annotate(as_drawn(label), at, ha="center", va="center", fontsize=6, color=colour, parse_math=False)
    name.set_path_effects([effects.withStroke(linewidth=1.5, foreground="white")])
