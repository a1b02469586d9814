"""Lines over the sites in order of depth, each with its interval: the ladder, its controls, any share by layer."""

import json
from collections.abc import Sequence

import altair as alt
import pandas as pd

from signbridge.report.charts.style import (
    HEIGHT,
    Series,
    rows,
    series_scales,
    share_axis,
    site_axis,
    specification,
)
from signbridge.report.wording import share_with_interval, value_with_interval

PLAIN = {"format": "~g"}


def lines_by_site(
    table: pd.DataFrame,
    sites: Sequence[str],
    series: Sequence[Series],
    title: str,
    height: int = HEIGHT,
    in_percent: bool = True,
) -> dict:
    """Draw `table` (series, site, accuracy, low, high; the last two may be NaN), a line for each of `series`.

    A series of one site alone is a point with its interval; a series whose shape is `stroke` is a line without points.
    `title` is that of the vertical axis, which reaches beyond 0 and 1 where values do; `in_percent` where they are
    shares.
    """
    axis = site_axis(sites)
    shown = [one for one in series if one.name in set(table["series"])]
    table = table[table["site"].isin(axis.places)]
    table = table.assign(
        place=table["site"].map(axis.places),
        reads=list(
            map(
                share_with_interval if in_percent else value_with_interval,
                table["accuracy"],
                table["low"],
                table["high"],
            )
        ),
    )
    y = alt.Y(
        "accuracy:Q", scale=alt.Scale(domain=_domain(table)), axis=share_axis(title, **({} if in_percent else PLAIN))
    )
    low = alt.Y("low:Q")
    looks = series_scales(shown)
    colour, shape, dash = looks["color"], looks["shape"], looks["strokeDash"]
    tooltip = [alt.Tooltip("series:N", title="what"), alt.Tooltip("site:N"), alt.Tooltip("reads:N", title="reads")]

    drawn = rows()
    between = drawn.transform_filter("isValid(datum.low)")
    alone = {name for name, rows in table.groupby("series") if len(rows) == 1}
    is_alone = f"indexof({json.dumps(sorted(alone))}, datum.series) >= 0"
    mere_lines = [one.name for one in shown if one.shape == "stroke"]
    layers = [
        between.transform_filter(f"!({is_alone})")
        .mark_area(opacity=0.14)
        .encode(axis.x, low, y2="high:Q", color=colour),
        between.transform_filter(is_alone).mark_rule().encode(axis.x, low, y2="high:Q", color=colour),
        drawn.mark_line(strokeWidth=1.8).encode(axis.x, y, color=colour, strokeDash=dash),
        drawn.transform_filter(f"indexof({json.dumps(mere_lines)}, datum.series) < 0")
        .mark_point(filled=True, size=38, opacity=1)
        .encode(axis.x, y, color=colour, shape=shape, tooltip=tooltip),
    ]  # fmt: skip
    return specification(alt.layer(*layers), height, rows=table)


def _domain(table: pd.DataFrame) -> list[float]:
    """0 to 1, and further where effects overshoot."""
    return [min(0.0, float(table["low"].min())), max(1.0, float(table["high"].max()))]
