"""The class grid: one example a letter."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from signbridge.report.figures.names import as_drawn

CELL_INCHES = 0.72  # six columns across the width of a column of text


def class_grid(labels: Sequence[str], images: Sequence[np.ndarray]) -> Figure:
    """A grid of `images` (uint8, grey or RGB, of any sizes), each under its label, row by row in the order given."""
    columns = _columns(len(labels))
    rows = math.ceil(len(labels) / columns)
    figure = Figure(figsize=(columns * CELL_INCHES, rows * (CELL_INCHES + 0.15)), facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.015, h_pad=0.015, wspace=0.02, hspace=0.02)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, label, image in zip(axes, labels, images, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_title(as_drawn(label), fontsize=8, pad=2, parse_math=False)
    return figure


def _columns(cells: int) -> int:
    """Between five and eight, leaving the last row as full as it goes; the wider of equals."""
    return min(range(8, 4, -1), key=lambda columns: -cells % columns) if cells > 8 else cells
