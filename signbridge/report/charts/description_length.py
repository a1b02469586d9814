"""Description length by site: how many times shorter the labels become once the layer is known."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from signbridge.report.charts.style import (
    GREY,
    POSITIONS,
    rows,
    series_scales,
    site_axis,
    specification,
)


def compression_by_site(table: pd.DataFrame, sites: Sequence[str]) -> dict:
    """Draw `table` (site, position, compression, bits): a line a position; 1 is where nothing was learnt."""
    axis = site_axis(sites)
    table = table[table["site"].isin(axis.places)]
    table = table.assign(
        place=table["site"].map(axis.places), series=table["position"].map(lambda p: POSITIONS[p].name)
    )
    looks = series_scales([one for position, one in POSITIONS.items() if position in set(table["position"])])
    drawn = rows()
    y = alt.Y("compression:Q", scale=alt.Scale(domainMin=0), axis=alt.Axis(title="compression (times)"))
    tooltip = [
        alt.Tooltip("series:N", title="position"), "site:N", alt.Tooltip("compression:Q", format=".2f"),
        alt.Tooltip("bits:Q", format=",.0f"),
    ]  # fmt: skip
    one = alt.Chart(alt.InlineData(values=[{}])).mark_rule(color=GREY, strokeDash=[8, 4]).encode(y=alt.datum(1))
    chart = alt.layer(
        one,
        drawn.mark_line(strokeWidth=1.8).encode(axis.x, y, color=looks["color"], strokeDash=looks["strokeDash"]),
        drawn.mark_point(filled=True, size=38, opacity=1).encode(
            axis.x, y, color=looks["color"], shape=looks["shape"], tooltip=tooltip
        ),
    )
    return specification(chart, 260, rows=table)
