"""Figures as files for a paper, equal pictures as equal bytes."""

from pathlib import Path

from matplotlib.figure import Figure

from signbridge.core.tables import whole_file

DPI = 300


def save_figure(figure: Figure, path: Path | str) -> None:
    """Write `figure` to `path` as PNG, whole or not at all; no version of Matplotlib goes into it."""
    with whole_file(path) as unfinished:
        figure.savefig(unfinished, dpi=DPI, format="png", metadata={"Software": None})
