"""How sure it is which layer is best: the probability of each to be the peak, and its distance to the best."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from signbridge.report.charts.style import (
    BLUE,
    GREY,
    INK,
    VERMILLION,
    legend,
    rows,
    share_axis,
    site_axis,
    specification,
)

TIED, WORSE = "not told apart from the best", "worse than the best"


def peak_probabilities(table: pd.DataFrame, sites: Sequence[str]) -> dict:
    """Draw `table` (site, peak_probability, share_chosen, tied_with_best): a bar a layer, a mark the folds."""
    axis = site_axis(sites)
    table = table.assign(
        place=table["site"].map(axis.places),
        verdict=table["tied_with_best"].map({True: TIED, False: WORSE}),
        chosen="share of folds that chose it",
    )
    scale = alt.Scale(domain=[TIED, WORSE], range=[BLUE, GREY])
    drawn = rows()
    tooltip = [
        "site:N", alt.Tooltip("peak_probability:Q", title="probability to be the peak", format=".1%"),
        alt.Tooltip("share_chosen:Q", title="chosen by folds", format=".1%"), alt.Tooltip("verdict:N", title="is"),
    ]  # fmt: skip
    y = alt.Y("peak_probability:Q", scale=alt.Scale(domainMin=0), axis=share_axis("probability, share of folds"))
    bars = drawn.mark_bar(width={"expr": f"max(3, min(24, width / {2 * len(sites) + 2}))"}).encode(
        axis.x, y, color=alt.Color("verdict:N", scale=scale, legend=legend()), tooltip=tooltip
    )
    ticks = drawn.mark_point(shape="diamond", filled=True, color=VERMILLION, stroke=INK, size=50, opacity=1).encode(
        axis.x,
        alt.Y("share_chosen:Q"),
        shape=alt.Shape("chosen:N", scale=alt.Scale(range=["diamond"]), legend=legend("top")),
        tooltip=tooltip,
    )
    return specification(
        alt.layer(bars, ticks).resolve_scale(color="independent", shape="independent"), 240, rows=table
    )


def distances_to_best(table: pd.DataFrame, sites: Sequence[str]) -> dict:
    """Draw `table` (site, difference, low, high, in points; tied): how far each layer lies below the best."""
    axis = site_axis(sites)
    table = table.assign(place=table["site"].map(axis.places), verdict=table["tied"].map({True: TIED, False: WORSE}))
    names = [TIED, WORSE]
    colour = alt.Color("verdict:N", scale=alt.Scale(domain=names, range=[BLUE, GREY]), legend=legend())
    shape = alt.Shape("verdict:N", scale=alt.Scale(domain=names, range=["circle", "cross"]), legend=legend())
    drawn = rows()
    y = alt.Y("difference:Q", axis=alt.Axis(title="points from the best layer"))
    tooltip = ["site:N", alt.Tooltip("reads:N", title="difference"), alt.Tooltip("verdict:N", title="is")]
    zero = alt.Chart(alt.InlineData(values=[{}])).mark_rule(color=GREY, strokeDash=[8, 4]).encode(y=alt.datum(0))
    chart = alt.layer(
        zero,
        drawn.mark_rule(strokeWidth=1.6).encode(axis.x, alt.Y("low:Q"), y2="high:Q", color=colour),
        drawn.mark_point(filled=True, size=45, opacity=1).encode(axis.x, y, color=colour, shape=shape, tooltip=tooltip),
    )
    return specification(chart, 240, rows=table)
