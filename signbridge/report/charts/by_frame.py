"""How far each frame of a clip moves the answer, a line a site."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from signbridge.core.names import ALL_FRAMES
from signbridge.report.charts.by_depth import series_of
from signbridge.report.charts.style import level, rows, series_scales, share_axis, specification
from signbridge.report.palette import GREY
from signbridge.report.wording import share_with_interval

HEIGHT = 260  # pixels
ALL = "all"  # on the axis, right of the last frame


def lines_by_frame(table: pd.DataFrame, sites: Sequence[str]) -> dict:
    """Draw `table` (site, frame, moved, low, high): a line a site over the frames, all of them at once right of it."""
    frames = sorted(set(table["frame"]) - {ALL_FRAMES})
    place = {frame: number for number, frame in enumerate(frames)} | {ALL_FRAMES: len(frames) + 0.4}
    drawn = table.assign(series=table["site"], place=table["frame"].map(place), alone=table["frame"] == ALL_FRAMES)
    drawn["reads"] = list(map(share_with_interval, drawn["moved"], drawn["low"], drawn["high"]))
    names = [*(str(frame + 1) for frame in frames), ALL]
    axis = alt.Axis(
        title="frame that is put in, by time", values=list(place.values()), grid=False, labelAngle=0,
        labelExpr=f"{names}[indexof({list(place.values())}, datum.value)]", labelOverlap=False,
    )  # fmt: skip
    x = alt.X("place:Q", scale=alt.Scale(domain=[-0.4, len(frames) + 0.8], nice=False), axis=axis)
    most = max(1.0, float(drawn["high"].max()))
    least = min(0.0, float(drawn["low"].min()))
    y = alt.Y("moved:Q", scale=alt.Scale(domain=[least, most]), axis=share_axis("of the gap moved"))
    looks = series_scales(series_of(sites))
    tooltip = [alt.Tooltip("series:N", title="site"), alt.Tooltip("frame:Q"), alt.Tooltip("reads:N", title="moved")]
    lines = rows().transform_filter("!datum.alone").mark_line(strokeWidth=1.8)
    chart = alt.layer(
        level(GREY, 0),
        rows()
        .mark_rule(strokeWidth=1.2, opacity=0.7)
        .encode(x, alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=looks["color"]),
        lines.encode(x, y, color=looks["color"], strokeDash=looks["strokeDash"]),
        rows()
        .mark_point(filled=True, size=45, opacity=1)
        .encode(x, y, color=looks["color"], shape=looks["shape"], tooltip=tooltip),
    )
    return specification(chart, HEIGHT, rows=drawn)
