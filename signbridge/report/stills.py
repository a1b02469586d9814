"""Charts as pictures that no script draws: for print, for readers that run no scripts, and while a page loads."""

import base64
import json
import re
from typing import Any

import vl_convert

WIDTH = 640  # pixels
MOST_ROWS = 1500  # of data; the file of a chart of more would weigh as much as the page
_PLACE = "containerSize()[0]"  # what a legend asks for the width of its place
_LONG = re.compile(r"(\d\.\d\d)\d+")
_SHAPE = re.compile(r' (?:d|transform|x1|x2|y1|y2|x|y)="[^"]*"')
CONFIG = {
    "background": "#ffffff",
    "aria": False,  # the page itself says what the picture shows
    "axis": {"labelFontSize": 11, "titleFontSize": 11.5, "titleFontWeight": "normal", "gridColor": "#e2e5e9"},
    "legend": {"labelFontSize": 11},
    "view": {"stroke": None},
}

_COUNTED = re.compile(r"\b(gradient_|clip)\d+\b")


def still(spec: dict[str, Any]) -> str | None:
    """The chart of a Vega-Lite specification as an SVG in a data URI, `WIDTH` wide; None of more than `MOST_ROWS`."""
    if sum(map(len, spec["datasets"].values())) > MOST_ROWS:
        return None
    return f"data:image/svg+xml;base64,{base64.b64encode(svg(spec).encode()).decode()}"


def svg(spec: dict[str, Any]) -> str:
    """The chart of a Vega-Lite specification as an SVG, with hundredths of a pixel."""
    rows = {name: [_without_images(row) for row in table] for name, table in spec["datasets"].items()}
    wide = json.loads(
        json.dumps({key: value for key, value in spec.items() if key != "datasets"}).replace(_PLACE, str(WIDTH))
    )
    drawn = vl_convert.vegalite_to_svg({**wide, "datasets": rows, "width": WIDTH - 60, "config": CONFIG})
    drawn = _SHAPE.sub(lambda found: _LONG.sub(r"\1", found[0]), drawn)
    # Vega counts what has a name of its own over all charts of a process: here it is counted in each.
    number: dict[str, int] = {}
    return _COUNTED.sub(lambda found: f"{found[1]}{number.setdefault(found[0], len(number))}", drawn)


def _without_images(row: dict[str, Any]) -> dict[str, Any]:
    """The row without the images of the hover, which no still shows."""
    return {key: value for key, value in row.items() if not str(value).startswith("data:")}
