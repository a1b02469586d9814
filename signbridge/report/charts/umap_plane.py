"""The UMAP plane: every image a mark, the image itself on hover."""

import altair as alt
import pandas as pd

from signbridge.report.charts.style import (
    BLUE,
    GREEN,
    INK,
    PURPLE,
    VERMILLION,
    rows,
    specification,
)

CYCLE = [BLUE, VERMILLION, GREEN, PURPLE, INK]  # the letter tells classes apart; the colour helps the eye to follow one
MOST_IN_SVG = 3000  # marks; more are drawn on a canvas, which a browser scrolls faster


def umap_plane(table: pd.DataFrame, kind: str) -> dict:
    """Draw `table` (label, photo, image_id, x, y; `image`, a data URI, where there is one for the hover).

    Letters are their own marks; classes that are no letters become dots, each with its name at its median.
    """
    order = sorted(table["label"].unique())
    table = table.assign(colour=table["label"].map({label: index % len(CYCLE) for index, label in enumerate(order)}))
    colour = alt.Color("colour:O", scale=alt.Scale(domain=list(range(len(CYCLE))), range=CYCLE), legend=None)
    hidden = alt.Axis(labels=False, ticks=False, grid=False)
    scale = alt.Scale(zero=False, nice=False, padding=12)
    x = alt.X("x:Q", scale=scale, axis=hidden, title="UMAP 1 (no unit)")
    y = alt.Y("y:Q", scale=scale, axis=hidden, title="UMAP 2 (no unit)")
    about = [alt.Tooltip("label:N", title=kind), "photo:N", alt.Tooltip("image_id:N", title="id")]
    has_image = table["image"].notna()
    tables = {"seen": table[has_image], "unseen": table[~has_image]}
    tables = {name: marks for name, marks in tables.items() if len(marks)}
    tooltips = {"seen": [alt.Tooltip("image:N"), *about], "unseen": about}
    layers = [_marks(rows(name), kind).encode(x, y, colour, tooltip=tooltips[name]) for name in tables]
    if kind != "letter":
        tables["names"] = table.groupby("label")[["x", "y", "colour"]].median().reset_index()
        written = rows("names").mark_text(fontSize=12, fontWeight="bold", limit=160)
        layers.append(written.encode(x, y, colour, text="label:N"))
    chart = alt.layer(*layers)
    if len(table) > MOST_IN_SVG:
        chart = chart.properties(usermeta={"embedOptions": {"renderer": "canvas"}})
    return specification(chart, 520, **tables)


def _marks(chart: alt.Chart, kind: str) -> alt.Chart:
    if kind == "letter":
        return chart.mark_text(fontSize=12, fontWeight="bold").encode(text="label:N")
    return chart.mark_point(filled=True, size=26, opacity=0.7)
