"""What differs from site to site: values by position and site, how sure the best layer is, description length."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from signbridge.report.charts.style import (
    legend,
    level,
    rows,
    series_scales,
    share_axis,
    site_axis,
    specification,
)
from signbridge.report.palette import (
    BLUE,
    GREY,
    INK,
    POSITIONS,
    SEQUENTIAL,
    VERMILLION,
)

TIED, WORSE = "not told apart from the best", "worse than the best"


def map_by_site(table: pd.DataFrame, sites: Sequence[str], title: str = "read right", row: int = 56) -> dict:
    """Draw `table` (site, name, value): a cell a site and name; none where nothing was measured.

    The rows are in the order of the names, each `row` pixels high; a line feed in a name starts another line. `title`
    says what the values, which are shares, are.
    """
    axis = site_axis(sites)
    ends = pd.Series(axis.places).sort_values()
    half = (ends.diff().shift(-1).fillna(1) / 2).round(3)
    before = (ends.diff().fillna(ends.diff().iloc[1] if len(ends) > 1 else 1) / 2).round(3)
    table = table.assign(
        left=table["site"].map(ends - before), right=table["site"].map(ends + half), place=table["site"].map(ends)
    )
    lines = alt.Axis(title=None, labelExpr="split(datum.label, '\\n')", labelPadding=6, ticks=False, domain=False)
    key = alt.Legend(title=title, orient="top", format="~%", gradientLength=200, tickCount=4)
    x = axis.x.copy()
    x.shorthand = "left:Q"
    x["axis"]["titleAnchor"] = "end"  # beside long names of rows it would be cut
    chart = rows().mark_rect().encode(
        x, x2=alt.X2("right:Q"), y=alt.Y("name:N", sort=list(table["name"].unique()), axis=lines),
        color=alt.Color("value:Q", scale=alt.Scale(scheme=SEQUENTIAL, domainMin=0), legend=key),
        tooltip=[alt.Tooltip("name:N"), alt.Tooltip("site:N"), alt.Tooltip("value:Q", title=title, format=".1%")],
    )  # fmt: skip
    return specification(chart, row * table["name"].nunique() + 20, rows=table)


def peak_probabilities(table: pd.DataFrame, sites: Sequence[str]) -> dict:
    """Draw `table` (site, peak_probability, share_chosen, tied_with_best): a bar a layer, a mark for the folds."""
    axis = site_axis(sites)
    table = table.assign(
        place=table["site"].map(axis.places),
        verdict=table["tied_with_best"].map({True: TIED, False: WORSE}),
        chosen="share of folds that chose it",
    )
    scale = alt.Scale(domain=[TIED, WORSE], range=[BLUE, GREY])
    drawn = rows()
    tooltip = [
        alt.Tooltip("site:N"), alt.Tooltip("peak_probability:Q", title="probability to be the peak", format=".1%"),
        alt.Tooltip("share_chosen:Q", title="chosen by folds", format=".1%"), alt.Tooltip("verdict:N", title="is"),
    ]  # fmt: skip
    y = alt.Y("peak_probability:Q", scale=alt.Scale(domainMin=0), axis=share_axis("probability, share of folds"))
    # Hollow beside filled: grey and blue are equally dark.
    filled = alt.condition(f"datum.verdict === '{TIED}'", alt.value(1), alt.value(0.12))
    looks = alt.Color("verdict:N", scale=scale, legend=legend())
    bars = drawn.mark_bar(width={"expr": f"max(3, min(24, width / {2 * len(sites) + 2}))"}, strokeWidth=1.4).encode(
        axis.x, y, color=looks, stroke=alt.Stroke("verdict:N", scale=scale, legend=None), fillOpacity=filled,
        tooltip=tooltip,
    )  # fmt: skip
    ticks = drawn.mark_point(shape="diamond", filled=True, color=VERMILLION, stroke=INK, size=50, opacity=1).encode(
        axis.x,
        alt.Y("share_chosen:Q"),
        shape=alt.Shape("chosen:N", scale=alt.Scale(range=["diamond"]), legend=legend("top")),
        tooltip=tooltip,
    )
    chart = alt.layer(bars, ticks).resolve_scale(color="independent", shape="independent")
    return specification(chart, 240, rows=table)


def distances_to_best(table: pd.DataFrame, sites: Sequence[str]) -> dict:
    """Draw `table` (site, difference, low, high, in points; reads, tied): how far each layer lies below the best."""
    axis = site_axis(sites)
    table = table.assign(place=table["site"].map(axis.places), verdict=table["tied"].map({True: TIED, False: WORSE}))
    names = [TIED, WORSE]
    colour = alt.Color("verdict:N", scale=alt.Scale(domain=names, range=[BLUE, GREY]), legend=legend())
    shape = alt.Shape("verdict:N", scale=alt.Scale(domain=names, range=["circle", "cross"]), legend=legend())
    drawn = rows()
    y = alt.Y("difference:Q", axis=alt.Axis(title="points from the best layer"))
    tooltip = [alt.Tooltip("site:N"), alt.Tooltip("reads:N", title="difference"), alt.Tooltip("verdict:N", title="is")]
    chart = alt.layer(
        level(GREY, 0),
        drawn.mark_rule(strokeWidth=1.6).encode(axis.x, alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=colour),
        drawn.mark_point(filled=True, size=45, opacity=1).encode(axis.x, y, color=colour, shape=shape, tooltip=tooltip),
    )
    return specification(chart, 240, rows=table)


def compression_by_site(table: pd.DataFrame, sites: Sequence[str]) -> dict:
    """Draw `table` (site, position, compression, bits): a line a position; at 1 the probe has learnt nothing."""
    axis = site_axis(sites)
    table = table[table["site"].isin(axis.places)]
    table = table.assign(
        place=table["site"].map(axis.places), series=table["position"].map(lambda p: POSITIONS[p].name)
    )
    looks = series_scales([one for position, one in POSITIONS.items() if position in set(table["position"])])
    drawn = rows()
    y = alt.Y("compression:Q", scale=alt.Scale(domainMin=0), axis=alt.Axis(title="compression (times)"))
    tooltip = [
        alt.Tooltip("series:N", title="position"), alt.Tooltip("site:N"), alt.Tooltip("compression:Q", format=".2f"),
        alt.Tooltip("bits:Q", format=",.0f"),
    ]  # fmt: skip
    chart = alt.layer(
        level(GREY, 1),
        drawn.mark_line(strokeWidth=1.8).encode(axis.x, y, color=looks["color"], strokeDash=looks["strokeDash"]),
        drawn.mark_point(filled=True, size=38, opacity=1).encode(
            axis.x, y, color=looks["color"], shape=looks["shape"], tooltip=tooltip
        ),
    )
    return specification(chart, 260, rows=table)
