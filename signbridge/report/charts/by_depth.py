"""Values of several models against the share of decoder blocks that a vector has passed."""

import json
from collections.abc import Sequence

import altair as alt
import pandas as pd

from signbridge.report.charts.style import HEIGHT, rows, series_scales, share_axis, specification
from signbridge.report.palette import BLUE, GREEN, PURPLE, SOLID, VERMILLION, Series
from signbridge.report.wording import share_with_interval

# Where sites before the decoder stand, left of its beginning at 0.
BEFORE = {"pixels": -0.33, "vision": -0.22, "projector": -0.11}
NARROW = "width < 450"  # pixels of the chart, as Vega sees it
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE)  # more are not told apart; marks, dashes and labels do it
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
_DASHES = (SOLID, (6, 3), (2, 2), (6, 2, 2, 2), (8, 4))


def series_of(models: Sequence[str]) -> list[Series]:
    """How the line of each model looks: colours, marks and dashes come round one after another."""
    return [
        Series(name, _COLOURS[place % len(_COLOURS)], _SHAPES[place % len(_SHAPES)], _DASHES[place % len(_DASHES)])
        for place, name in enumerate(models)
    ]


def placed(table: pd.DataFrame) -> pd.Series:
    """Where each row of `table` (site, relative_depth) stands on the axis."""
    return table["relative_depth"].fillna(table["site"].map(BEFORE))


def lines_by_depth(table: pd.DataFrame, value: str, models: Sequence[str], title: str) -> dict:
    """Draw the column `value` of `table` (model, site, relative_depth, and low and high where `value` has them).

    Sites before the decoder are points without a line, left of it. `title` is that of the vertical axis, of shares.
    """
    drawn = pd.DataFrame({"series": table["model"], "site": table["site"], "value": table[value]})
    drawn["place"] = placed(table)
    bounds = [table[name] if name in table and value == "accuracy" else float("nan") for name in ("low", "high")]
    drawn["low"], drawn["high"] = bounds
    drawn["reads"] = list(map(share_with_interval, drawn["value"], drawn["low"], drawn["high"]))
    drawn = drawn[drawn["value"].notna() & drawn["place"].notna()]
    places = [*(BEFORE.values() if (drawn["place"] < 0).any() else ()), *DEPTHS]
    names = [*(BEFORE if len(places) > len(DEPTHS) else ()), *(f"{depth:.0%}" for depth in DEPTHS)]
    axis = alt.Axis(
        title="share of decoder blocks passed", values=places, labelAngle=-45, grid=False, labelOverlap=False,
        labelExpr=f"{json.dumps(names)}[indexof({json.dumps(places)}, datum.value)]",
    )  # fmt: skip
    most = 1 if value == "accuracy" else 1.1 * max(float(drawn["value"].max()), 1e-6)
    # Right of the lines there is room for names but on a phone, which has the legend alone.
    end, room, shown = map(alt.ExprRef, (f"{NARROW} ? 1.04 : 1.3", "0.17 * width - 6", f"{NARROW} ? 0 : 1"))
    x = alt.X("place:Q", scale=alt.Scale(domain=[min(places) - 0.04, end], nice=False), axis=axis)
    y = alt.Y("value:Q", scale=alt.Scale(domain=[0, most]), axis=share_axis(title))
    looks = series_scales(series_of(models))
    colour, shape, dash = looks["color"], looks["shape"], looks["strokeDash"]
    tooltip = [alt.Tooltip("series:N", title="model"), alt.Tooltip("site:N"), alt.Tooltip("reads:N", title="value")]
    decoder, before = rows().transform_filter("datum.place >= 0"), rows().transform_filter("datum.place < 0")
    ends = labels_at_ends(drawn, most)
    written = rows("ends").mark_text(align="left", dx=6, fontSize=11, limit=room, opacity=shown, clip=True)
    layers = [
        decoder.transform_filter("isValid(datum.low)")
        .mark_area(opacity=0.14)
        .encode(x, alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=colour),
        before.transform_filter("isValid(datum.low)")
        .mark_rule()
        .encode(x, alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=colour),
        decoder.mark_line(strokeWidth=1.8).encode(x, y, color=colour, strokeDash=dash),
        rows().mark_point(filled=True, size=38, opacity=1).encode(x, y, color=colour, shape=shape, tooltip=tooltip),
        written.encode(x, alt.Y("label_at:Q"), color=colour, text=alt.Text("series:N")),
    ]
    return specification(alt.layer(*layers), HEIGHT, rows=drawn, ends=ends)


def labels_at_ends(drawn: pd.DataFrame, most: float, high: int = 14) -> pd.DataFrame:
    """Where the name of each line stands (series, place, label_at): at its end, apart from the others.

    The axis ends at `most`; a name is `high` pixels high.
    """
    lines = drawn[drawn["place"] >= 0]
    ends = lines.loc[lines.groupby("series", sort=False)["place"].idxmax()].sort_values("value")
    apart, at = most * high / HEIGHT, []
    for value in ends["value"]:
        at.append(max(float(value), at[-1] + apart) if at else float(value))
    over = max(at[-1] - most, 0.0) if at else 0.0  # what stands above the axis pushes all down
    for index in range(len(at) - 1, -1, -1):
        ceiling = most if index == len(at) - 1 else at[index + 1] - apart
        at[index] = min(at[index], ceiling) if over else at[index]
    return ends[["series", "place"]].assign(label_at=at)
