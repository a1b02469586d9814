"""The figure for print of models side by side: accuracy against relative depth."""

import pandas as pd
from matplotlib.figure import Figure

from signbridge.report import palette
from signbridge.report.charts.by_depth import BEFORE, DEPTHS, placed, series_of
from signbridge.report.figures.axes import legend_below, of_shares
from signbridge.report.figures.names import as_drawn
from signbridge.report.wording import GROUPS, Group

WIDTH, HEIGHT = 7.0, 3.8  # inches; the width is that of a paper's text


def accuracy_by_depth(table: pd.DataFrame, chance: float, confidence: float, group: Group = GROUPS["photo"]) -> Figure:
    """Draw `table` (model, site, relative_depth, accuracy, low, high): a line a model, points before the decoder.

    `chance` is the share of the commonest letter, `confidence` that of the intervals, over each `group`.
    """
    table = table.assign(place=placed(table))
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.subplots()
    for series in series_of(list(table["model"].unique())):
        of_model = table[table["model"] == series.name].sort_values("place")
        look, decoder = series.matplotlib(), of_model[of_model["place"] >= 0]
        axes.fill_between(
            decoder["place"], decoder["low"], decoder["high"], color=series.colour, alpha=0.15, linewidth=0
        )
        axes.plot(
            decoder["place"], decoder["accuracy"], **look, markersize=3, linewidth=1.1, label=as_drawn(series.name)
        )
        before = of_model[of_model["place"] < 0]
        bars = [before["accuracy"] - before["low"], before["high"] - before["accuracy"]]
        look = {"color": look["color"], "marker": look["marker"], "linestyle": "none"}
        axes.errorbar(before["place"], before["accuracy"], bars, **look, markersize=3, elinewidth=0.9, capsize=2)
    axes.axhline(chance, color=palette.GREY, linestyle=(0, (6, 2)), linewidth=0.9, label=f"chance, {chance:.1%}")
    axes.set_xticks([*BEFORE.values(), *DEPTHS], [*BEFORE, *(f"{depth:.0%}" for depth in DEPTHS)], fontsize=7)
    for tick in axes.get_xticklabels()[: len(BEFORE)]:
        tick.set(rotation=90)
    axes.set_xlabel("share of decoder blocks passed", fontsize=8)
    axes.set_ylabel("letters read right, held-out images (%)", fontsize=8)
    axes.set_ylim(0, 1.03)
    of_shares(axes)
    legend_below(figure, f"bars and bands: {confidence:.0%} intervals, {group.many} resampled")
    return figure
