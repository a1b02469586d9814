"""Marks in a plane: the UMAP of the images, and efficacy against damage of an edit."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from signbridge.report.charts.style import (
    HEIGHT,
    end_of_shares,
    rows,
    series_scales,
    share_axis,
    specification,
)
from signbridge.report.palette import CYCLE, Series
from signbridge.report.spacing import have_room
from signbridge.report.wording import number, share_with_interval

UMAP_HEIGHT, UMAP_WIDTH = 520, 560  # pixels; a page makes it wider, which leaves letters more room
APART = 14  # pixels between letters
MOST_IN_SVG = 3000  # marks; more are drawn on a canvas, which a browser scrolls faster


def umap_plane(table: pd.DataFrame, kind: str) -> dict:
    """Draw `table` (label, photo, image_id, near, x, y; `image`, a data URI for the hover, where there is one).

    A dot an image, with its letter where there is room for it; classes that are no letters have their name at their
    median. `near` says which images lie nearest.
    """
    order = sorted(table["label"].unique())
    table = table.assign(colour=table["label"].map({label: index % len(CYCLE) for index, label in enumerate(order)}))
    colour = alt.Color("colour:O", scale=alt.Scale(domain=list(range(len(CYCLE))), range=list(CYCLE)), legend=None)
    hidden = alt.Axis(labels=False, ticks=False, grid=False)
    scale = alt.Scale(zero=False, nice=False, padding=12)
    x = alt.X("x:Q", scale=scale, axis=hidden, title="UMAP 1 (no unit)")
    y = alt.Y("y:Q", scale=scale, axis=hidden, title="UMAP 2 (no unit)")
    about = [alt.Tooltip("label:N", title=kind), alt.Tooltip("photo:N"), alt.Tooltip("image_id:N", title="id")]
    about.append(alt.Tooltip("near:N", title=f"nearest {kind}s"))
    has_image = table["image"].notna()
    tables = {"seen": table[has_image], "unseen": table[~has_image]}
    tables = {name: marks for name, marks in tables.items() if len(marks)}
    tooltips = {"seen": [alt.Tooltip("image:N"), *about], "unseen": about}
    layers = [rows(name).mark_point(filled=True, size=26, opacity=0.7).encode(x, y, colour, tooltip=tooltips[name])
              for name in tables]  # fmt: skip
    if kind == "letter":
        roomy = table[have_room(table[["x", "y"]].to_numpy(dtype=float), UMAP_WIDTH, UMAP_HEIGHT, APART)]
        tables["letters"] = roomy[["label", "x", "y", "colour"]]
        letters = rows("letters").mark_text(fontSize=12, fontWeight="bold", dy=-8)
        layers.append(letters.encode(x, y, colour, text=alt.Text("label:N")))
    if kind != "letter":
        tables["names"] = table.groupby("label")[["x", "y", "colour"]].median().reset_index()
        written = rows("names").mark_text(fontSize=12, fontWeight="bold", limit=160)
        layers.append(written.encode(x, y, colour, text=alt.Text("label:N")))
    chart = alt.layer(*layers)
    if len(table) > MOST_IN_SVG:
        chart = chart.properties(usermeta={"embedOptions": {"renderer": "canvas"}})
    return specification(chart, UMAP_HEIGHT, **tables)


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
    y = alt.Y(
        "probability:Q",
        scale=alt.Scale(domain=[0, end_of_shares(table[["probability", "high"]])]),
        axis=share_axis(title),
    )
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
        drawn.mark_rule(opacity=0.5).encode(x, alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=looks["color"]),
        drawn.mark_line(strokeWidth=1.8).encode(
            x, y, order=order, color=looks["color"], strokeDash=looks["strokeDash"]
        ),
        drawn.mark_point(filled=True, size=52, opacity=1).encode(
            x, y, color=looks["color"], shape=looks["shape"], tooltip=tooltip
        ),
    )
    return specification(chart, HEIGHT, rows=table)
