"""For print: the letter, which every layer has, beside a planted answer, which layers have from a known depth on."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from signbridge.core.activations import layer_site
from signbridge.report import palette
from signbridge.report.charts.style import site_places
from signbridge.report.curve import at_one_position
from signbridge.report.figures.axes import legend_below, of_shares, of_sites
from signbridge.report.figures.names import as_drawn

WIDTH, HEIGHT = 7.0, 3.6  # inches, the text width of a paper


def planted_curve(
    letter: pd.DataFrame,
    letter_chance: float,
    accuracy: pd.DataFrame,
    curves: pd.DataFrame,
    planted: Sequence[int],
    confidence: float,
    model: str,
) -> Figure:
    """Draw two panels that share the vertical axis, from 0 to 100 %.

    Left the study's probe of the letter (columns site, depth, accuracy, low, high). Right the probes of the planted
    answer (`accuracy`: reader, site, position, value, low, high), and the methods' `curves` (method, site, value, low,
    high), patching and knockout; the `planted` blocks are shaded.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    letter = letter[letter["site"] != "pixels"].rename(columns={"accuracy": "value"})
    _panel(left, list(letter["site"]), letter_chance, "The letter: shown by the tower")
    _line(left, letter, palette.PLANTED["probe"])

    sites = list(accuracy["site"].unique())
    _panel(right, sites, 0.5, "The planted answer: computed on the way")
    places = site_places(sites)
    first, last = (places[layer_site(block)] for block in (min(planted), max(planted)))
    right.axvspan(first - 0.5, last + 0.5, color=palette.FAINT, linewidth=0, zorder=0,
                  label="blocks that were taught the answer")  # fmt: skip
    for reader, method in (("model", "probe"), ("untrained_twin", "untrained_twin")):
        rows = accuracy[accuracy["reader"] == reader]
        _line(right, at_one_position(rows, "prompt_last"), palette.PLANTED[method], places)
    for method in ("patching", "knockout_question"):
        _line(right, curves[curves["method"] == method], palette.PLANTED[method], places)

    figure.suptitle(as_drawn(model), fontsize=8, parse_math=False)
    left.set_ylabel("right, held-out photos; answer moved (%)", fontsize=8)
    left.set_ylim(0, 1.2)
    left.set_yticks(np.linspace(0, 1, 6))
    legend_below(figure, f"bands: {confidence:.0%} intervals", columns=2)
    return figure


def _panel(axes: Axes, sites: Sequence[str], chance: float, title: str) -> None:
    axes.set_title(title, fontsize=8)
    of_sites(axes, site_places(sites))
    look = {"color": palette.CHANCE.colour, "linestyle": (0, (6, 2)), "linewidth": 0.9, "zorder": 1}
    axes.axhline(chance, **look, label="chance")
    of_shares(axes)
    axes.margins(x=0.03)


def _line(axes: Axes, rows: pd.DataFrame, series: palette.Series, places: dict[str, float] | None = None) -> None:
    x = rows["site"].map(places or site_places(list(rows["site"])))
    axes.fill_between(x, rows["low"], rows["high"], color=series.colour, alpha=0.15, linewidth=0)
    axes.plot(x, rows["value"], **series.matplotlib(), markersize=3, linewidth=1.1, label=series.name)
