"""What all charts share: colours, marks, the axis of sites, and the way from a table to a specification."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import pandas as pd

# Okabe and Ito's colours, those that stand out from a white page. Where the page is dark, page.js puts DARK in their
# place. Marker and dash tell series apart without colour too.
INK = "#000000"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
GREY = "#6B6B6B"
DARK = {INK: "#FFFFFF", BLUE: "#56B4E9", VERMILLION: "#E8833A", GREEN: "#2DC79A", PURPLE: "#D894BC", GREY: "#A8A8A8"}
SEQUENTIAL = "viridis"
HEIGHT = 320  # pixels


class Series(NamedTuple):
    """How one line of a chart looks, and what the legend calls it."""

    name: str
    colour: str
    shape: str  # of Vega's symbols; `stroke` is a mere line
    dash: tuple[int, ...]  # pixels on and off


POSITIONS = {
    "flat": Series("pixels, flattened", INK, "diamond", (1, 0)),
    "image_mean": Series("mean over image tokens", GREEN, "square", (2, 2)),
    "prompt_last": Series("last token of the prompt", BLUE, "circle", (1, 0)),
    "answer_last": Series("last token of the answer", VERMILLION, "triangle-up", (6, 3)),
}
CHANCE = Series("chance", GREY, "stroke", (8, 4))
ANSWER = Series("the answer's text", PURPLE, "stroke", (8, 2, 2, 2))


def rows(name: str = "rows") -> alt.Chart:
    """A chart to be, of the table that `specification` gets by this name."""
    return alt.Chart(alt.NamedData(name))


def specification(chart: alt.Chart | alt.LayerChart, height: int = HEIGHT, **tables: pd.DataFrame) -> dict[str, Any]:
    """The Vega-Lite specification of `chart` over `tables`, as wide as the page lets it be.

    Colours of axes and page are the page's, so the specification has no config of its own. What is not a number in
    a table is left out of its row.
    """
    # Checked against the schema in the tests; and the rows come last: Altair copies and checks them many times over.
    spec = chart.properties(width="container", height=height).to_dict(validate=False)
    del spec["$schema"], spec["config"]
    return spec | {"datasets": spec.get("datasets", {}) | {name: _records(table) for name, table in tables.items()}}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if value == value} for row in table.to_dict("records")]


def share_axis(title: str, **changes: Any) -> alt.Axis:
    """An axis of shares, labelled in per cent unless `changes` say otherwise."""
    return alt.Axis(title=title, **{"format": "~%", "tickCount": 5, **changes})


def legend(orient: str = "bottom") -> alt.Legend:
    """Below the chart, or above it, in as many columns as fit."""
    # Of the place on the page: the chart's own width changes while its legend is laid out.
    columns = alt.ExprRef("containerSize()[0] < 420 ? 1 : containerSize()[0] < 760 ? 2 : 4")
    return alt.Legend(
        title=None,
        orient=orient,
        columns=columns,
        labelLimit=320,
        symbolSize=70,
        symbolStrokeWidth=1.2,
        symbolOpacity=1,
    )


def series_scales(series: Sequence[Series]) -> dict[str, Any]:
    """Colour, marker and dash by the column `series`, under one legend."""
    names = [one.name for one in series]

    def scale(looks: list[Any]) -> alt.Scale:
        return alt.Scale(domain=names, range=looks)

    dashes = [list(one.dash) for one in series]
    return {
        "color": alt.Color("series:N", scale=scale([one.colour for one in series]), legend=legend()),
        "shape": alt.Shape("series:N", scale=scale([one.shape for one in series]), legend=legend()),
        "strokeDash": alt.StrokeDash("series:N", scale=scale(dashes), legend=legend()),
    }


def short_site(site: str) -> str:
    """A site's name on an axis: the block's number, or `pixels`."""
    return str(int(site.removeprefix("layer_"))) if site.startswith("layer_") else site


class SiteAxis(NamedTuple):
    """Where each site stands, and the axis that says so."""

    places: dict[str, float]
    x: alt.X


def site_axis(sites: Sequence[str]) -> SiteAxis:
    """An axis of `sites`, given in order of depth: blocks one apart, sites before them far enough for their names."""
    before = [site for site in sites if not site.startswith("layer_")]
    blocks = [site for site in sites if site.startswith("layer_")]
    apart = max(len(sites) / 18, 1)
    places = {site: round(index * apart, 3) for index, site in enumerate(before)}
    places |= {site: round(len(before) * apart + index, 3) for index, site in enumerate(blocks)}
    named = [*before, *_thinned(blocks)]
    texts = [short_site(site) for site in named]
    ticks = [places[site] for site in named]
    axis = alt.Axis(
        title="site, by depth (numbers: decoder blocks)",
        values=ticks,
        # Written by this file: the names are the project's own sites.
        labelExpr=f"{json.dumps(texts)}[indexof({json.dumps(ticks)}, datum.value)]",
        labelAngle=-45,
        labelOverlap=False,
        grid=False,
    )
    domain = [-0.6, max(places.values(), default=0) + 0.6]
    return SiteAxis(places, alt.X("place:Q", scale=alt.Scale(domain=domain, nice=False), axis=axis))


def _thinned(blocks: Sequence[str]) -> list[str]:
    """At most nine of `blocks`, evenly, the first and the last among them."""
    step = next(step for step in (1, 2, 4, 8, 16, 32, 64, 128) if len(blocks) / step <= 9 or step == 128)
    named = list(blocks[::step])
    if blocks and named[-1] != blocks[-1]:
        too_close = len(named) > 1 and (len(blocks) - 1) % step < step / 2
        named = [*(named[:-1] if too_close else named), blocks[-1]]
    return named
