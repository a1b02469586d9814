"""Efficacy against damage as the dose rises: a line a direction, a point a strength."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from signbridge.report.charts.style import (
    HEIGHT,
    Series,
    rows,
    series_scales,
    share_axis,
    specification,
)
from signbridge.report.wording import number, share_with_interval


def dose_response(table: pd.DataFrame, series: Sequence[Series], title: str) -> dict:
    """Draw `table` (series, strength, damage, probability, low, high), a line for each of `series`.

    Damage is in nats a token; `title` is that of the axis of probabilities.
    """
    table = table.assign(
        reads=list(map(share_with_interval, table["probability"], table["low"], table["high"])),
        costs=[f"{number(damage, 2)} nats a token" for damage in table["damage"]],
        damage=table["damage"].clip(lower=0),
    ).sort_values(["series", "strength"])
    ticks = [0, 0.05, 0.1, 0.3, 1, 3, 10]
    x = alt.X(
        "damage:Q",
        scale=alt.Scale(type="symlog", constant=0.05),
        axis=alt.Axis(title="damage to other descriptions (nats a token)", values=ticks, format="~g"),
    )
    y = alt.Y("probability:Q", scale=alt.Scale(domain=[0, 1]), axis=share_axis(title))
    looks = series_scales([one for one in series if one.name in set(table["series"])])
    tooltip = [
        alt.Tooltip("series:N", title="direction"),
        alt.Tooltip("strength:Q"),
        alt.Tooltip("reads:N", title="probability"),
        alt.Tooltip("costs:N", title="damage"),
    ]
    order = alt.Order("strength:Q")
    drawn = rows()
    chart = alt.layer(
        drawn.mark_rule(opacity=0.5).encode(x, alt.Y("low:Q"), y2="high:Q", color=looks["color"]),
        drawn.mark_line(strokeWidth=1.8).encode(
            x, y, order=order, color=looks["color"], strokeDash=looks["strokeDash"]
        ),
        drawn.mark_point(filled=True, size=52, opacity=1).encode(
            x, y, color=looks["color"], shape=looks["shape"], tooltip=tooltip
        ),
    )
    return specification(chart, HEIGHT, rows=table)
