"""The figure for print of the resolution ladder: accuracy against the size of the pictures."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from signbridge.report import palette
from signbridge.report.charts.by_rung import DRAWN, drawn_rows
from signbridge.report.figures.axes import legend_below, of_shares
from signbridge.report.wording import GROUPS, Group

WIDTH, HEIGHT = 5.5, 3.4  # inches


def accuracy_by_size(
    table: pd.DataFrame, rungs: Sequence[str], chance: float, confidence: float, group: Group = GROUPS["photo"]
) -> Figure:
    """Draw `table` (rung, site, accuracy, low, high): a line a site over `rungs`, the smallest first.

    `chance` is the share of the commonest letter, `confidence` that of the intervals, over each `group`.
    """
    drawn = drawn_rows(table, rungs)
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.subplots()
    for site, series in DRAWN.items():
        read = drawn[drawn["site"] == site]
        bars = [read["accuracy"] - read["low"], read["high"] - read["accuracy"]]
        axes.errorbar(
            read["place"], read["accuracy"], bars, **series.matplotlib(), label=series.name,
            markersize=4, linewidth=1.2, elinewidth=0.9, capsize=2,
        )  # fmt: skip
    axes.axhline(chance, color=palette.GREY, linestyle=(0, (6, 2)), linewidth=0.9, label=f"chance, {chance:.1%}")
    axes.set_xticks(range(len(rungs)), rungs, fontsize=7)
    axes.set_xlabel("longer side of the pictures at most, in pixels", fontsize=8)
    axes.set_ylabel("read right, held-out images (%)", fontsize=8)
    axes.set_ylim(0, 1.03)
    of_shares(axes)
    legend_below(figure, f"bars: {confidence:.0%} intervals, {group.many} resampled", columns=2)
    return figure
