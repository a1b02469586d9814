"""What is read at each rung of the resolution ladder, from the smallest pictures to those as they are."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from signbridge.report.charts.style import HEIGHT, joined_points, level, series_scales, share_axis, specification
from signbridge.report.palette import ANSWER, BLUE, GREEN, GREY, INK, SOLID, Series
from signbridge.report.wording import share_with_interval

DRAWN = {
    "best": Series("decoder, the layer that each fold chose", BLUE, "circle", SOLID),
    "vision": Series("vision tower", GREEN, "square", (2, 2)),
    "pixels": Series("pixels at this size", INK, "diamond", (6, 3)),
    "answer": ANSWER._replace(shape="cross"),
}
SIDEWAYS = {"best": -0.09, "vision": -0.03, "pixels": 0.03, "answer": 0.09}  # so that no interval hides another


def drawn_rows(table: pd.DataFrame, rungs: Sequence[str]) -> pd.DataFrame:
    """The rows of `table` (rung, site, accuracy, low, high) that are drawn, with their `series` and `place`."""
    table = table[table["site"].isin(DRAWN)]
    place = table["rung"].map({rung: index for index, rung in enumerate(rungs)}) + table["site"].map(SIDEWAYS)
    return table.assign(series=table["site"].map({site: one.name for site, one in DRAWN.items()}), place=place)


def lines_by_rung(table: pd.DataFrame, rungs: Sequence[str], chance: float) -> dict:
    """Draw `table` (rung, site, accuracy, low, high): a line a site over `rungs`, the smallest first."""
    drawn = drawn_rows(table, rungs)
    drawn["reads"] = list(map(share_with_interval, drawn["accuracy"], drawn["low"], drawn["high"]))
    axis = alt.Axis(
        title="longer side of the pictures at most, in pixels", values=list(range(len(rungs))), grid=False,
        labelExpr=f"{[str(rung) for rung in rungs]}[datum.value]", labelAngle=0, labelOverlap=False,
    )  # fmt: skip
    x = alt.X("place:Q", scale=alt.Scale(domain=[-0.4, len(rungs) - 0.6], nice=False), axis=axis)
    y = alt.Y("accuracy:Q", scale=alt.Scale(domain=[0, 1]), axis=share_axis("read right"))
    looks = series_scales([one for site, one in DRAWN.items() if site in set(drawn["site"])])
    tooltip = [alt.Tooltip("series:N", title="of"), alt.Tooltip("rung:N"), alt.Tooltip("reads:N", title="read right")]
    chart = alt.layer(level(GREY, chance), *joined_points(x, y, looks, tooltip))
    return specification(chart, HEIGHT, rows=drawn)
