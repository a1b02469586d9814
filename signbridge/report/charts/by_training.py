"""Accuracy against the number of photos in training."""

import altair as alt
import pandas as pd

from signbridge.report.charts.style import HEIGHT, joined_points, level, series_scales, share_axis, specification
from signbridge.report.palette import GREY, LEARNT
from signbridge.report.wording import Group, share_with_interval

SIDEWAYS = {"layer": 0.004, "vision": -0.004, "beyond": 0.004}  # of the axis, so that no interval hides another


def lines_by_training(table: pd.DataFrame, chance: float, group: Group) -> dict:
    """Draw `table` (series, groups, accuracy, low, high): a line a series of `palette.LEARNT` over training groups."""
    drawn = table.assign(
        name=table["series"].map({key: one.name for key, one in LEARNT.items()}),
        reads=list(map(share_with_interval, table["accuracy"], table["low"], table["high"])),
        trained=table["groups"].round(),
        place=table["groups"] + table["series"].map(SIDEWAYS).fillna(0) * table["groups"].max(),
    )
    drawn = drawn.drop(columns="series").rename(columns={"name": "series"})
    axis = alt.Axis(title=f"{group.many} in training, mean over folds", grid=False, tickCount=8)
    domain = [0, 1.04 * float(table["groups"].max())]
    x = alt.X("place:Q", scale=alt.Scale(domain=domain, nice=False), axis=axis)
    y = alt.Y("accuracy:Q", scale=alt.Scale(domain=[0, 1]), axis=share_axis("read right"))
    looks = series_scales([one for key, one in LEARNT.items() if key in set(table["series"])])
    tooltip = [
        alt.Tooltip("series:N", title="of"), alt.Tooltip("trained:Q", title=f"{group.many} in training"),
        alt.Tooltip("reads:N", title="read right"),
    ]  # fmt: skip
    chart = alt.layer(level(GREY, chance), *joined_points(x, y, looks, tooltip))
    return specification(chart, HEIGHT, rows=drawn)
