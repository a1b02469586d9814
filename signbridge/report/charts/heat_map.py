"""Two kinds of map: accuracy by position and site, and which sign was taken for which."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from signbridge.report.charts.style import (
    BLUE,
    SEQUENTIAL,
    rows,
    site_axis,
    specification,
)


def position_by_site(table: pd.DataFrame, sites: Sequence[str], title: str = "read right", row: int = 56) -> dict:
    """Draw `table` (site, position, accuracy): a cell a site and position; where nothing was read there is none.

    `position` holds the names to be shown, in the order of the rows, each `row` pixels high; `title` says what the
    shares are.
    """
    axis = site_axis(sites)
    ends = pd.Series(axis.places).sort_values()
    half = (ends.diff().shift(-1).fillna(1) / 2).round(3)
    before = (ends.diff().fillna(ends.diff().iloc[1] if len(ends) > 1 else 1) / 2).round(3)
    table = table.assign(
        left=table["site"].map(ends - before), right=table["site"].map(ends + half), place=table["site"].map(ends)
    )
    lines = alt.Axis(title=None, labelExpr="split(datum.label, '\\n')", labelPadding=6, ticks=False, domain=False)
    legend = alt.Legend(title=title, orient="top", format="~%", gradientLength=200, tickCount=4)
    x = axis.x.copy()
    x.shorthand = "left:Q"
    chart = rows().mark_rect().encode(
        x, x2="right:Q", y=alt.Y("position:N", sort=list(table["position"].unique()), axis=lines),
        color=alt.Color("accuracy:Q", scale=alt.Scale(scheme=SEQUENTIAL, domainMin=0), legend=legend),
        tooltip=["position:N", "site:N", alt.Tooltip("accuracy:Q", title=title, format=".1%")],
    )  # fmt: skip
    return specification(chart, row * table["position"].nunique() + 20, rows=table)


def confusion_matrix(table: pd.DataFrame, kind: str) -> dict:
    """Draw `table` (actual, predicted, share of the tests of `actual`): a row a sign that was shown."""
    order = sorted({*table["actual"], *table["predicted"]})
    # Of the page's own colour at zero, dark page or light; the root makes rare confusions show beside the diagonal.
    legend = alt.Legend(
        title=f"of the tests of the {kind} shown", orient="top", format="~%", values=[0.01, 0.1, 0.5, 1]
    )
    strength = alt.Opacity("share:Q", scale=alt.Scale(type="sqrt", domain=[0, 1], range=[0, 1]), legend=legend)
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
