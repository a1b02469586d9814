"""Marks in a plane: the UMAP of the images, and efficacy against damage of an edit."""

import math
from collections.abc import Sequence

import altair as alt
import pandas as pd

from signbridge.report.charts.by_depth import labels_at_ends
from signbridge.report.charts.style import (
    HEIGHT,
    end_of_shares,
    rows,
    series_scales,
    share_axis,
    specification,
)
from signbridge.report.palette import CYCLE, GREY, LINE_ALONE, Series
from signbridge.report.spacing import have_room
from signbridge.report.wording import number, share_with_interval

UMAP_HEIGHT, UMAP_WIDTH = 520, 560  # pixels; a page makes it wider, which leaves letters more room
DAMAGES = [0, 0.05, 0.1, 0.3, 1, 3, 10]  # nats a token: the ticks
LINEAR = 0.05  # nats a token, up to which the axis of damage is about linear
LABEL = 30  # pixels: the height of a name of two lines
NARROW = "width < 480"  # pixels of the chart, as Vega sees it: too few for names beside the lines
SHARE_OF_LINES = 0.74  # of the width, where names stand at the ends of lines
NULLS = Series("nulls, median and range", GREY, LINE_ALONE, (8, 4))
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


def dose_response(table: pd.DataFrame, series: Sequence[Series], title: str, nulls: pd.DataFrame | None = None) -> dict:
    """Draw `table` (series, strength, damage, probability, low, high), a line for each of `series`.

    Damage is in nats a token; `title` is that of the axis of probabilities. `nulls`, of the same columns without
    intervals, become one band with a line for their median, and each line has its name at its end.
    """
    table = _with_words(table).sort_values(["series", "strength"])
    drawn, tables = rows(), {"rows": table}
    everything = table if nulls is None else pd.concat([table, _with_words(nulls)])
    most, end = float(everything["damage"].max()), end_of_shares(everything[["probability", "high"]])
    x = alt.X(
        "damage:Q",
        scale=alt.Scale(type="symlog", constant=LINEAR),
        axis=alt.Axis(title="damage to other descriptions (nats a token)", values=DAMAGES, format="~g"),
    )
    y = alt.Y("probability:Q", scale=alt.Scale(domain=[0, end]), axis=share_axis(title))
    looks = series_scales([one for one in series if one.name in {*table["series"], NULLS.name}])
    tooltip = [
        alt.Tooltip("series:N", title="direction"),
        alt.Tooltip("strength:Q"),
        alt.Tooltip("reads:N", title="probability"),
        alt.Tooltip("costs:N", title="damage"),
    ]
    layers = [
        drawn.mark_rule(opacity=0.5).encode(x, alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=looks["color"]),
        drawn.mark_line(strokeWidth=1.8).encode(
            x, y, order=alt.Order("strength:Q"), color=looks["color"], strokeDash=looks["strokeDash"]
        ),
        drawn.mark_point(filled=True, size=52, opacity=1).encode(
            x, y, color=looks["color"], shape=looks["shape"], tooltip=tooltip
        ),
    ]
    if nulls is not None:
        nulls, right = _with_words(nulls), _part_of(most, 1 / SHARE_OF_LINES)
        x["scale"]["domain"] = [0, alt.ExprRef(f"{NARROW} ? {most:g} : {right:g}")]
        tables |= {"nulls": nulls, "band": reached_by_nulls(nulls, most).assign(series=NULLS.name)}
        tables["ends"] = _names_at_ends(table, tables["band"], most, end)
        points = rows("nulls").mark_point(size=16, color=NULLS.colour, opacity=0.8).encode(x, y, tooltip=tooltip)
        layers = [*_band(), *layers, points, *_named(looks["color"]["scale"])]
    return specification(alt.layer(*layers), HEIGHT, **tables)


def _part_of(most: float, share: float) -> float:
    """The damage that stands at this share of the way to `most` on the axis, or further than it."""
    return LINEAR * math.expm1(share * math.log1p(most / LINEAR))


def _names_at_ends(table: pd.DataFrame, band: pd.DataFrame, most: float, end: float) -> pd.DataFrame:
    """Where the name of each line stands, and where that line ends."""
    ends = table.loc[table.groupby("series")["strength"].idxmax()].rename(columns={"probability": "value"})
    ends = pd.concat([ends, band.tail(1).rename(columns={"median": "value"})])
    ends = ends.rename(columns={"damage": "place"})[["series", "place", "value"]]
    above = ends.assign(value=ends["value"].clip(lower=end * LABEL / 2 / HEIGHT))  # names stand on no axis
    ends = ends.merge(labels_at_ends(above, end, LABEL)[["series", "label_at"]], on="series")
    return ends.assign(beside=_part_of(most, 1.03), text=ends["series"].str.replace(", ", ",\n"))


def _band() -> list[alt.Chart]:
    x, step = alt.X("damage:Q"), {"interpolate": "step-after", "color": NULLS.colour}
    return [
        rows("band").mark_area(opacity=0.18, **step).encode(x, alt.Y("low:Q"), y2=alt.Y2("high:Q")),
        rows("band").mark_line(strokeWidth=1.8, strokeDash=list(NULLS.dash), **step).encode(x, alt.Y("median:Q")),
    ]


def _named(colours: alt.Scale) -> list[alt.Chart]:
    """The names, each at a dotted line from where its own ends. Cut off, they take no room where they are not shown."""
    y, shown = alt.Y("label_at:Q"), alt.ExprRef(f"{NARROW} ? 0 : 1")
    dots = rows("ends").mark_rule(color=NULLS.colour, strokeWidth=0.8, strokeDash=[1, 3], opacity=shown, clip=True)
    names = rows("ends").mark_text(align="left", dx=3, fontSize=11, lineBreak="\n", opacity=shown, clip=True)
    colour = alt.Color("series:N", scale=colours, legend=None)
    return [
        dots.encode(alt.X("place:Q"), alt.Y("value:Q"), x2=alt.X2("beside:Q"), y2=alt.Y2("label_at:Q")),
        names.encode(alt.X("beside:Q"), y, color=colour, text=alt.Text("text:N")),
    ]


def reached_by_nulls(nulls: pd.DataFrame, most: float) -> pd.DataFrame:
    """The most that each null reaches with no more than some damage: damage, low, median, high over the nulls.

    `nulls` has series, damage and probability. A row a damage that one of them does, and one for `most`.
    """
    points = nulls.assign(damage=nulls["damage"].clip(lower=0)).sort_values("damage", kind="stable")
    reached = points.pivot_table("probability", "damage", "series", aggfunc="max").cummax().ffill()
    reached = reached.reindex(sorted({*reached.index, most}), method="ffill")
    return pd.DataFrame(
        {"damage": reached.index, "low": reached.min(axis=1).to_numpy(), "median": reached.median(axis=1).to_numpy(),
         "high": reached.max(axis=1).to_numpy()}
    )  # fmt: skip


def _with_words(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(
        reads=list(map(share_with_interval, table["probability"], table["low"], table["high"])),
        costs=[f"{number(damage, 2)} nats a token" for damage in table["damage"]],
        damage=table["damage"].clip(lower=0),
    )
