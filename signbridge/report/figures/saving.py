"""Figures as files for a paper, equal pictures as equal bytes: PNG, and PDF and SVG for one column and for two."""

import logging
from pathlib import Path
from textwrap import fill

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.legend import Legend

from signbridge.core.tables import whole_file

DPI = 300
PRINT = "print"  # the folder of PDF and SVG, beside the PNG
WIDTHS = {"one-column": 3.4, "two-columns": 7.0}  # inches
logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells every glyph that it keeps in a PDF
NO_DATE = {"pdf": {"CreationDate": None, "Creator": None, "Producer": None}, "svg": {"Date": None, "Creator": None}}


def save_figure(figure: Figure, path: Path | str, *, columns: bool = True) -> None:
    """Write `figure` to `path` as PNG, and as PDF and SVG into the folder `print` beside it; each whole or not at all.

    The vector files are laid out for one column of a paper and for two. `columns=False`, for grids of images: at the
    figure's own size alone. No date and no version of Matplotlib goes into any of them. The figure itself may change.
    """
    path = Path(path)
    with whole_file(path) as unfinished:
        figure.savefig(unfinished, dpi=DPI, format="png", metadata={"Software": None})
    if not columns:
        _save_vector(figure, path, path.stem)
        return
    own = float(figure.get_figwidth())
    for name, width in sorted(WIDTHS.items(), key=lambda item: abs(item[1] - own)):  # its own first
        if abs(width - own) > 0.5:
            _lay_out(figure, width)
        _save_vector(figure, path, f"{path.stem}-{name}")


def _save_vector(figure: Figure, path: Path, stem: str) -> None:
    # Ids of an SVG are drawn at random but for the salt. Text stays text in both.
    with mpl.rc_context({"svg.hashsalt": "signbridge", "pdf.fonttype": 42, "svg.fonttype": "none"}):
        for kind, metadata in NO_DATE.items():
            with whole_file(path.parent / PRINT / f"{stem}.{kind}") as unfinished:
                figure.savefig(unfinished, format=kind, metadata=metadata)


def _lay_out(figure: Figure, width: float) -> None:
    """Make `figure` `width` inches wide: panels side by side go below one another where it gets narrower."""
    own_width, height = figure.get_size_inches()
    panels = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    narrower = width < own_width
    taller = 0
    for legend in list(figure.legends) if narrower else ():
        taller += _in_one_column(figure, legend)
    heading = figure.get_suptitle()
    if narrower and heading:
        figure.suptitle(fill(heading, 55), fontsize=7, parse_math=False)
    if narrower and len(panels) > 1:
        grid = GridSpec(len(panels), 1, figure=figure)
        for panel, place in zip(panels, grid, strict=True):
            panel.set_subplotspec(place)
            panel.tick_params(labelleft=True)
        height *= 0.9 * len(panels)
    elif not narrower:
        height *= min(width / own_width, 1.5)
    figure.set_size_inches(width, height + 0.14 * taller)


def _in_one_column(figure: Figure, legend: Legend) -> int:
    """Draw the legend again with a name a line; returns how many lines that adds."""
    names = [text.get_text() for text in legend.get_texts()]
    # A legend's own copy of a line with bars has lost its mark.
    whole = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    handles = [whole.get(name, copy) for name, copy in zip(names, legend.legend_handles, strict=True)]
    title = legend.get_title().get_text()
    drawn = figure.legend(
        handles, names, loc="outside lower center", ncols=1, fontsize=7, frameon=False,
        title=fill(title, 60) or None, title_fontsize=7,
    )  # fmt: skip
    drawn.set_in_layout(True)
    legend.remove()
    return len(names) - -(-len(names) // 3)
