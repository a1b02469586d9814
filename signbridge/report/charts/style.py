"""What all charts share: marks, legends, the axis of sites, and the way from a table to a specification."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pandas as pd

from signbridge.core.activations import block_of
from signbridge.report.palette import Series

HEIGHT = 320  # pixels


def rows(name: str = "rows") -> alt.Chart:
    """An empty chart over the table that `specification` is given under this name."""
    return alt.Chart(alt.NamedData(name))


def specification(chart: alt.Chart | alt.LayerChart, height: int = HEIGHT, **tables: pd.DataFrame) -> dict[str, Any]:
    """The Vega-Lite specification of `chart` over `tables`, as wide as the page allows and `height` pixels high.

    The page sets the colours of axes and text, so the specification has no config of its own. A value that is missing
    is left out of its row.
    """
    # The tests check it against the schema. The rows are added last: Altair would copy and check them many times over.
    spec = chart.properties(width="container", height=height).to_dict(validate=False)
    del spec["$schema"], spec["config"]
    if "layer" in spec:
        _dashes_in_the_legend(spec, next(iter(tables)))
    return spec | {"datasets": spec.get("datasets", {}) | {name: _records(table) for name, table in tables.items()}}


def _dashes_in_the_legend(spec: dict[str, Any], name: str) -> None:
    """Put a line with its dashes and its mark beside each name of the legend, where series have both.

    Vega draws the marks alone. So the legend becomes that of a layer that draws nothing, over the table `name`, whose
    shapes are such lines.
    """
    channels = ("color", "shape", "strokeDash")
    encodings = [layer["encoding"] for layer in spec["layer"] if "encoding" in layer]
    found = [[one[channel] for one in encodings if "legend" in one.get(channel, {})] for channel in channels]
    if not all(found):
        return
    colour, shape, dash = (of_channel[0] for of_channel in found)
    lines = list(map(_line_with_mark, dash["scale"]["range"], shape["scale"]["range"]))
    key = {**shape["legend"], "symbolSize": 120, "symbolOffset": 10, "labelOffset": 14, "symbolStrokeWidth": 0}
    drawn = {
        "color": {**colour, "legend": key},
        "shape": {**shape, "scale": {**shape["scale"], "range": lines}, "legend": key},
    }
    for one in (one for of_channel in found for one in of_channel):
        one["legend"] = None
    nothing = {"type": "point", "filled": True}
    spec["layer"].append(
        {"data": {"name": name}, "transform": [{"filter": "false"}], "mark": nothing, "encoding": drawn}
    )
    spec["resolve"] = {"scale": dict.fromkeys(channels, "independent")}


def _line_with_mark(dash: Sequence[float], mark: str, half: float = 2.7, thin: float = 0.15) -> str:
    """A piece of a line with its dashes, as an SVG path of thin boxes, and the mark in its middle."""
    on, *others = [length / 6 for length in (dash if len(dash) > 1 and dash[1] else (100, 0))]
    lengths, boxes, place = [on, *others], [], -half
    while place < half:
        for at, length in enumerate(lengths):
            length = min(length, half - place)
            if at % 2 == 0 and length > 0:
                boxes.append(f"M{place:.2f},{-thin}h{length:.2f}v{2 * thin}h{-length:.2f}Z")
            place += length
    return "".join(boxes) + _MARKS[mark]


_MARKS = {
    "stroke": "",
    "circle": "M.75,0A.75,.75,0,1,1,-.75,0A.75,.75,0,1,1,.75,0Z",
    "square": "M-.7,-.7h1.4v1.4h-1.4Z",
    "diamond": "M0,-.95L.95,0L0,.95L-.95,0Z",
    "triangle-up": "M0,-.9L.9,.7H-.9Z",
    "triangle-down": "M0,.9L.9,-.7H-.9Z",
    "triangle-right": "M.9,0L-.7,.9V-.9Z",
    "cross": "M-.9,-.32h.58v-.58h.64v.58h.58v.64h-.58v.58h-.64v-.58h-.58Z",
}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if value == value} for row in table.to_dict("records")]


def share_axis(title: str, **changes: Any) -> alt.Axis:
    """An axis of shares, labelled in per cent unless `changes` say otherwise."""
    return alt.Axis(title=title, **{"format": "~%", "tickCount": 5, **changes})


def legend(orient: str = "bottom", longest: int = 24) -> alt.Legend:
    """A legend below the chart, or above it, in as many columns as fit names of `longest` characters; four at most."""
    # The width of the page's place: the chart's own width changes while its legend is laid out.
    column = min(6.3 * longest, 320) + 60  # pixels: the symbol, the name, and what is between columns
    columns = alt.ExprRef(f"max(1, min(4, floor(containerSize()[0] / {column:g})))")
    return alt.Legend(
        title=None,
        orient=orient,
        columns=columns,
        labelLimit=320,
        symbolSize=70,
        symbolStrokeWidth=1.2,
        symbolOpacity=1,
    )


def level(colour: str, value: float) -> alt.Chart:
    """A dashed line across the chart at `value`."""
    rule = alt.Chart(alt.InlineData(values=[{}])).mark_rule(color=colour, strokeDash=[8, 4])
    return rule.encode(y=alt.datum(value))


def joined_points(x: alt.X, y: alt.Y, looks: Mapping[str, Any], tooltip: Sequence[Any]) -> tuple[alt.Chart, ...]:
    """The rows as points with the interval of each (low, high), joined by a line a series."""
    colour = looks["color"]
    return (
        rows().mark_rule(strokeWidth=1.4).encode(x, alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=colour),
        rows().mark_line(strokeWidth=1.8).encode(x, y, color=colour, strokeDash=looks["strokeDash"]),
        rows()
        .mark_point(filled=True, size=45, opacity=1)
        .encode(x, y, color=colour, shape=looks["shape"], tooltip=tooltip),
    )


def series_scales(series: Sequence[Series]) -> dict[str, Any]:
    """Colour, marker and dash by the column `series`, under one legend."""
    names = [one.name for one in series]

    def scale(looks: list[Any]) -> alt.Scale:
        return alt.Scale(domain=names, range=looks)

    dashes = [list(one.dash) for one in series]
    below = legend(longest=max(map(len, names), default=1))
    return {
        "color": alt.Color("series:N", scale=scale([one.colour for one in series]), legend=below),
        "shape": alt.Shape("series:N", scale=scale([one.shape for one in series]), legend=below),
        "strokeDash": alt.StrokeDash("series:N", scale=scale(dashes), legend=below),
    }


def end_of_shares(values: pd.DataFrame) -> float:
    """The end of an axis of shares: 1 or more, or the next of a few round shares where all `values` are far below."""
    highest = float(np.nanmax(values.to_numpy(dtype=float), initial=0.0))
    return next((end for end in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0) if highest <= 0.95 * end), max(1.0, highest))


# The axis of sites, which figures in print share ------------------------------------------------------------------


def short_site(site: str) -> str:
    """A site's name on an axis: the block's number, or `pixels`."""
    block = block_of(site)
    return site if block is None else str(block)


def site_places(sites: Sequence[str]) -> dict[str, float]:
    """Where each of `sites`, in order of depth, stands: blocks 1 apart, earlier sites with room for their names."""
    before = [site for site in sites if not site.startswith("layer_")]
    blocks = [site for site in sites if site.startswith("layer_")]
    apart = max(len(sites) / 18, 1)
    places = {site: round(index * apart, 3) for index, site in enumerate(before)}
    return places | {site: round(len(before) * apart + index, 3) for index, site in enumerate(blocks)}


def named_sites(sites: Sequence[str]) -> list[str]:
    """The sites that an axis names: all before the decoder, and at most nine blocks, evenly, with first and last."""
    blocks = [site for site in sites if site.startswith("layer_")]
    step = next(step for step in (1, 2, 4, 8, 16, 32, 64, 128) if len(blocks) / step <= 9 or step == 128)
    named = blocks[::step]
    if blocks and named[-1] != blocks[-1]:
        too_close = len(named) > 1 and (len(blocks) - 1) % step < step / 2
        named = [*(named[:-1] if too_close else named), blocks[-1]]
    return [*(site for site in sites if not site.startswith("layer_")), *named]


class SiteAxis(NamedTuple):
    """Where each site stands, and the axis that names it."""

    places: dict[str, float]
    x: alt.X


def site_axis(sites: Sequence[str]) -> SiteAxis:
    """The axis of `sites`, which are given in order of depth."""
    places, named = site_places(sites), named_sites(sites)
    texts, ticks = [short_site(site) for site in named], [places[site] for site in named]
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
