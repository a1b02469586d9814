"""Shares by name, one below the other: points with intervals, or bars."""

import altair as alt
import pandas as pd

from signbridge.report.charts.style import (
    BLUE,
    GREY,
    VERMILLION,
    rows,
    share_axis,
    specification,
)

ROW = 34  # pixels a row
MARGIN = 30


def _names(order: pd.Series) -> alt.Y:
    """The axis of names; a line feed in a name starts another line of its label."""
    lines = alt.Axis(
        title=None, labelExpr="split(datum.label, '\\n')", labelLimit=175, labelPadding=9, ticks=False, domain=False
    )
    return alt.Y("name:N", sort=list(order), axis=lines)


def intervals(table: pd.DataFrame, title: str, row: int = ROW) -> dict:
    """Draw `table` (name, accuracy, low, high, chance): a point with its interval a row; chance as a tick."""
    y = _names(table["name"])
    drawn = rows()
    x = alt.X("accuracy:Q", scale=alt.Scale(domain=[0, 1]), axis=share_axis(title))
    tooltip = [alt.Tooltip("name:N", title="what"), alt.Tooltip("accuracy:Q", title="share", format=".1%")]
    chart = alt.layer(
        drawn.mark_tick(color=GREY, thickness=2, size=row * 0.6).encode(alt.X("chance:Q"), y),
        drawn.mark_rule(color=BLUE, strokeWidth=2).encode(alt.X("low:Q"), y, x2="high:Q"),
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
