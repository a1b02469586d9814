"""The notebook's printed figures and this run's, layer by layer."""

import altair as alt
import pandas as pd

from signbridge.report.charts.style import (
    BLUE,
    VERMILLION,
    legend,
    rows,
    share_axis,
    specification,
)


def published_beside_reproduced(table: pd.DataFrame, published: str, reproduced: str) -> dict:
    """Draw `table` (site, series, accuracy, low, high): two points with intervals a layer, one of each series."""
    names = [published, reproduced]
    colour = alt.Color("series:N", scale=alt.Scale(domain=names, range=[VERMILLION, BLUE]), legend=legend())
    shape = alt.Shape("series:N", scale=alt.Scale(domain=names, range=["square", "circle"]), legend=legend())
    drawn = rows()
    x = alt.X("site:N", axis=alt.Axis(title=None, labelAngle=0))
    aside = alt.XOffset("series:N", sort=names)
    y = alt.Y("accuracy:Q", scale=alt.Scale(domain=[0, 1]), axis=share_axis("letters read right"))
    tooltip = [alt.Tooltip("series:N", title="what"), "site:N", alt.Tooltip("accuracy:Q", format=".1%")]
    chart = alt.layer(
        drawn.mark_rule(strokeWidth=1.8).encode(x, alt.Y("low:Q"), y2="high:Q", color=colour, xOffset=aside),
        drawn.mark_point(filled=True, size=65, opacity=1).encode(
            x, y, color=colour, shape=shape, xOffset=aside, tooltip=tooltip
        ),
    )
    return specification(chart, 280, rows=table)
