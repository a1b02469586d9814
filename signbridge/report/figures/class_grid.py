"""The class grid: one example a letter, or one of each signer where signers are known."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from signbridge.report.figures.names import as_drawn
from signbridge.report.page_parts import pixels_of

CELL_INCHES = 0.72  # six columns across the width of a column of text
WIDTH_INCHES = 6.5  # the width of a page
LABEL_INCHES = 0.55  # for the names of signers
MOST_LETTERS, MOST_SIGNERS = 26, 12  # columns and rows
LONGEST_NAME = 12


def grid_of_sample(sample: pd.DataFrame) -> Figure:
    """The first image (PNG) of each label in `sample`, or of each label and signer where signers are known."""
    if "signer" not in sample:
        first = sample.drop_duplicates("label")
        return class_grid(first["label"].tolist(), [pixels_of(png) for png in first["image"]])
    first = sample.drop_duplicates(["label", "signer"])
    letters, signers = sorted(first["label"].unique()), sorted(first["signer"].unique())
    shown = first[first["label"].isin(letters[:MOST_LETTERS]) & first["signer"].isin(signers[:MOST_SIGNERS])]
    images = {(row.label, row.signer): pixels_of(row.image) for row in shown.itertuples(index=False)}
    return class_grid_by_signer(letters, signers, images)


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


def class_grid_by_signer(
    letters: Sequence[str], signers: Sequence[str], images: Mapping[tuple[str, str], np.ndarray]
) -> Figure:
    """A column a letter, a row a signer; `images` (uint8, grey or RGB) by letter and signer, blank where there is none.

    Of more than `MOST_LETTERS` and `MOST_SIGNERS` the first.
    """
    letters, signers = letters[:MOST_LETTERS], signers[:MOST_SIGNERS]
    cell = min(CELL_INCHES, (WIDTH_INCHES - LABEL_INCHES) / len(letters))
    size = (len(letters) * cell + LABEL_INCHES, len(signers) * cell + 0.3)
    figure = Figure(figsize=size, facecolor="white", layout="constrained")
    axes = figure.subplots()
    for (letter, signer), image in images.items():
        if letter not in letters or signer not in signers:
            continue
        column, row = letters.index(letter), signers.index(signer)
        height, width = image.shape[:2]
        across, down = (0.48 * side / max(width, height) for side in (width, height))
        place = (column - across, column + across, row + down, row - down)
        axes.imshow(image, cmap="gray", vmin=0, vmax=255, extent=place)
    axes.set(xlim=(-0.5, len(letters) - 0.5), ylim=(len(signers) - 0.5, -0.5), aspect="equal")
    axes.set_xticks(range(len(letters)), [_name(letter) for letter in letters], fontsize=7, parse_math=False)
    axes.set_yticks(range(len(signers)), [_name(signer) for signer in signers], fontsize=7, parse_math=False)
    axes.tick_params(length=0, pad=2, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    return figure


def _name(text: str) -> str:
    return as_drawn(text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…")


def _columns(cells: int) -> int:
    """Between five and eight, leaving the last row as full as it goes; the wider of equals."""
    return min(range(8, 4, -1), key=lambda columns: -cells % columns) if cells > 8 else cells
