"""The figure for print of the question about clips: what is told of the movement by layer, in order and otherwise."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from signbridge.report import palette
from signbridge.report.charts.style import site_places
from signbridge.report.figures.axes import legend_below, of_shares, of_sites

WIDTH, HEIGHT = 7.0, 3.6  # inches; the width is that of a paper's text
BANDS = ("in_order", "shuffled")  # readings whose interval is drawn: more would hide one another


def order_by_layer(
    table: pd.DataFrame, sites: Sequence[str], chance: float, confidence: float, target: str, taught: Sequence[str] = ()
) -> Figure:
    """Draw `table` (series, site, accuracy, low, high), a line a reading over `sites`.

    `chance` is the share of the commonest label, `confidence` that of the intervals over signers; the layers that are
    known to have been `taught` to tell the `target` are shaded.
    """
    places = site_places(sites)
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.subplots()
    if taught:
        ends = [places[site] for site in (taught[0], taught[-1])]
        axes.axvspan(ends[0] - 0.5, ends[1] + 0.5, color=palette.FAINT, linewidth=0, zorder=0,
                     label="blocks that were taught it")  # fmt: skip
    for reading, series in palette.READINGS.items():
        rows = table[(table["series"] == reading) & table["site"].isin(places)]
        if rows.empty:
            continue
        rows = rows.assign(place=rows["site"].map(places)).sort_values("place")
        if reading in BANDS:
            axes.fill_between(rows["place"], rows["low"], rows["high"], color=series.colour, alpha=0.15, linewidth=0)
        look = series.matplotlib()
        axes.plot(rows["place"], rows["accuracy"], **look, markersize=3.5, linewidth=1.1, label=series.name)
    look = {"color": palette.CHANCE.colour, "linestyle": (0, (6, 2)), "linewidth": 0.9}
    axes.axhline(chance, **look, label=f"chance, {chance:.1%}", zorder=1)
    of_sites(axes, places)
    axes.set_ylabel(f"{target} told (%)", fontsize=8)
    axes.set_ylim(0, 1.03)
    of_shares(axes)
    legend_below(figure, f"on signers held out; bands: {confidence:.0%} intervals, signers resampled")
    return figure
