"""Shares by name: points with intervals, bars, published beside reproduced figures, the confusion matrix."""

import altair as alt
import pandas as pd

from signbridge.report.charts.style import (
    legend,
    rows,
    share_axis,
    specification,
)
from signbridge.report.palette import BLUE, GREY, VERMILLION

ROW = 34  # pixels a row
MARGIN = 30


def _names(order: pd.Series) -> alt.Y:
    """The axis of names; a line feed in a name starts another line of its label."""
    lines = alt.Axis(
        title=None, labelExpr="split(datum.label, '\\n')", labelLimit=175, labelPadding=9, ticks=False, domain=False
    )
    return alt.Y("name:N", sort=list(order), axis=lines)


def intervals(table: pd.DataFrame, title: str, row: int = ROW) -> dict:
    """Draw `table` (name, value, low, high, chance): a point with its interval a row; chance as a tick."""
    y = _names(table["name"])
    drawn = rows()
    x = alt.X("value:Q", scale=alt.Scale(domain=[0, 1]), axis=share_axis(title))
    tooltip = [alt.Tooltip("name:N", title="what"), alt.Tooltip("value:Q", title="share", format=".1%")]
    chart = alt.layer(
        drawn.mark_tick(color=GREY, thickness=2, size=row * 0.6).encode(alt.X("chance:Q"), y),
        drawn.mark_rule(color=BLUE, strokeWidth=2).encode(alt.X("low:Q"), y, x2=alt.X2("high:Q")),
        drawn.mark_point(color=BLUE, filled=True, size=60, opacity=1).encode(x, y, tooltip=tooltip),
    )
    return specification(chart, row * len(table) + MARGIN, rows=table)


def bars(table: pd.DataFrame, title: str) -> dict:
    """Draw `table` (name, share, leaking): a bar a row, in another colour where the share leaks."""
    y = _names(table["name"])
    room = alt.Scale(domain=[0, 1.15])  # for the figure behind a whole bar
    x = alt.X("share:Q", scale=room, axis=share_axis(title, values=[0, 0.2, 0.4, 0.6, 0.8, 1]))
    tooltip = [alt.Tooltip("name:N", title="what"), alt.Tooltip("share:Q", format=".1%")]
    drawn = rows().encode(y=y)
    bar = drawn.mark_bar(height={"band": 0.6}).encode(
        x,
        color=alt.condition("datum.leaking", alt.value(VERMILLION), alt.value(BLUE)),
        tooltip=tooltip,
    )
    text = drawn.mark_text(align="left", dx=5, color=GREY, fontWeight="bold").encode(
        alt.X("share:Q"), text=alt.Text("share:Q", format=".1%")
    )
    return specification(alt.layer(bar, text), 44 * len(table) + MARGIN, rows=table)


def published_beside_reproduced(table: pd.DataFrame, published: str, reproduced: str) -> dict:
    """Draw `table` (site, series, value, low, high): two points with intervals a layer, one of each series."""
    names = [published, reproduced]
    colour = alt.Color("series:N", scale=alt.Scale(domain=names, range=[VERMILLION, BLUE]), legend=legend())
    shape = alt.Shape("series:N", scale=alt.Scale(domain=names, range=["square", "circle"]), legend=legend())
    drawn = rows()
    x = alt.X("site:N", axis=alt.Axis(title=None, labelAngle=0))
    aside = alt.XOffset("series:N", sort=names)
    y = alt.Y("value:Q", scale=alt.Scale(domain=[0, 1]), axis=share_axis("letters read right"))
    tooltip = [
        alt.Tooltip("series:N", title="what"),
        alt.Tooltip("site:N"),
        alt.Tooltip("value:Q", title="share", format=".1%"),
    ]
    chart = alt.layer(
        drawn.mark_rule(strokeWidth=1.8).encode(x, alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=colour, xOffset=aside),
        drawn.mark_point(filled=True, size=65, opacity=1).encode(
            x, y, color=colour, shape=shape, xOffset=aside, tooltip=tooltip
        ),
    )
    return specification(chart, 280, rows=table)


def confusion_matrix(table: pd.DataFrame, kind: str) -> dict:
    """Draw `table` (actual, predicted, count, share of the tests of `actual`): a row for each sign shown."""
    order = sorted({*table["actual"], *table["predicted"]})
    # At 0 a cell has the colour of the page, light or dark. The square root lets rare confusions show.
    key = alt.Legend(title=f"of the tests of the {kind} shown", orient="top", format="~%", values=[0.01, 0.1, 0.5, 1])
    strength = alt.Opacity("share:Q", scale=alt.Scale(type="sqrt", domain=[0, 1], range=[0, 1]), legend=key)
    angle = 0 if kind == "letter" else -60
    chart = rows().mark_rect(color=BLUE).encode(
        alt.X("predicted:N", sort=order, scale=alt.Scale(domain=order),
              axis=alt.Axis(title=f"{kind} that the probe read", labelAngle=angle, labelLimit=90)),
        alt.Y("actual:N", sort=order, scale=alt.Scale(domain=order),
              axis=alt.Axis(title=f"{kind} shown", labelLimit=90)),
        opacity=strength,
        tooltip=[alt.Tooltip("actual:N", title="shown"), alt.Tooltip("predicted:N", title="read as"),
                 alt.Tooltip("count:Q", title="tests"), alt.Tooltip("share:Q", format=".1%")],
    )  # fmt: skip
    return specification(chart, min(max(17 * len(order), 120), 700), rows=table)
