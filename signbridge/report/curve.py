"""The layer curve, the study's headline: accuracy of the probes at each site, beside controls, chance and the text.

`lines_by_site` draws it, and every other measure by layer, for a page (Vega-Lite); `probe_accuracy_curve` draws it for
print (Matplotlib). Both take their looks from `palette`.
"""

import json
from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from signbridge.report import palette
from signbridge.report.charts.style import (
    HEIGHT,
    end_of_shares,
    rows,
    series_scales,
    share_axis,
    site_axis,
    site_places,
    specification,
)
from signbridge.report.figures.axes import legend_below, of_shares, of_sites
from signbridge.report.figures.names import as_drawn
from signbridge.report.palette import LINE_ALONE, Series
from signbridge.report.wording import GROUPS, Group, share_with_interval, value_with_interval


def at_one_position(rows: pd.DataFrame, position: str) -> pd.DataFrame:
    """One row a site: the layers at `position`, the sites before them at `image_mean` (the pixels `flat`), by depth.

    What enters the decoder at a text token is the same vector for every image, so it is left out.
    """
    is_layer = rows["site"].str.startswith("layer_")
    before = ~is_layer & rows["position"].isin(["flat", "image_mean"])
    return rows[before | (is_layer & (rows["position"] == position))].sort_values("depth", kind="stable")


# On a page --------------------------------------------------------------------------------------------------------

NEARLY = 0.01  # below 0, of an axis of shares


def lines_by_site(
    table: pd.DataFrame,
    sites: Sequence[str],
    series: Sequence[Series],
    title: str,
    height: int = HEIGHT,
    in_percent: bool = True,
) -> dict:
    """Draw `table` (series, site, value, low, high; the last two may be NaN): a line for each of `series`.

    A series with one site is a point with its interval. A line never joins two positions: where the table has a column
    `position`, it ends where that changes. `title` is that of the vertical axis, which goes from 0 to 1 and further
    where values do, and less far where all are small. `in_percent`: the values are shares.
    """
    axis = site_axis(sites)
    shown = [one for one in series if one.name in set(table["series"])]
    table = table[table["site"].isin(axis.places)]
    written = share_with_interval if in_percent else value_with_interval
    table = table.assign(
        place=table["site"].map(axis.places),
        position=table["position"].fillna("") if "position" in table else "",
        reads=list(map(written, table["value"], table["low"], table["high"])),
    )
    lowest = float(table["low"].min())  # what lies hardly below 0 would stretch the axis to the next tick
    scale = alt.Scale(domain=[lowest if lowest < -NEARLY else 0.0, end_of_shares(table[["value", "high"]])], clamp=True)
    y = alt.Y("value:Q", scale=scale, axis=share_axis(title, **({} if in_percent else {"format": "~g"})))
    low = alt.Y("low:Q")
    looks = series_scales(shown)
    colour, shape, dash = looks["color"], looks["shape"], looks["strokeDash"]
    tooltip = [alt.Tooltip("series:N", title="what"), alt.Tooltip("site:N"), alt.Tooltip("reads:N", title="value")]

    drawn = rows()
    between = drawn.transform_filter("isValid(datum.low)")
    size = table.groupby(["series", "position"])["site"].transform("size")
    table["alone"] = size == 1
    is_alone, part = "datum.alone", alt.Detail("position:N")
    mere_lines = [one.name for one in shown if one.shape == LINE_ALONE]
    layers = [
        between.transform_filter(f"!({is_alone})")
        .mark_area(opacity=0.14)
        .encode(axis.x, low, y2=alt.Y2("high:Q"), color=colour, detail=part),
        between.transform_filter(is_alone).mark_rule().encode(axis.x, low, y2=alt.Y2("high:Q"), color=colour),
        drawn.mark_line(strokeWidth=1.8).encode(axis.x, y, color=colour, strokeDash=dash, detail=part),
        drawn.transform_filter(f"indexof({json.dumps(mere_lines)}, datum.series) < 0")
        .mark_point(filled=True, size=38, opacity=1)
        .encode(axis.x, y, color=colour, shape=shape, tooltip=tooltip),
    ]
    return specification(alt.layer(*layers), height, rows=table)


# In print ---------------------------------------------------------------------------------------------------------

WIDTH = 7.0  # inches, the text width of a paper
FIGURE_HEIGHT = 4.2  # inches: half for the curves, half for the names of sites and the legend
PREFERRED = ("prompt_last", "answer_last", "image_mean")  # position of the controls in the layers
TITLES = {"signbridge": "Notebook's split", "grouped": "No {group} on both sides"}
CONTROLS = palette.of_kind(palette.CONTROLS, "letter")


def probe_accuracy_curve(
    table: pd.DataFrame,
    controls: pd.DataFrame,
    chance: float,
    copies_in_train: dict[str, float],
    confidence: float,
    model: str,
    group: Group = GROUPS["photo"],
) -> Figure:
    """Draw the study's table of accuracy, a panel a protocol: a line a position, with its interval shaded.

    Chance, the pixels and what the model's answer gives away are lines across; the panel of `grouped` also has the
    controls (their table) at one position. `chance` is the share of the commonest letter. `copies_in_train` is, by
    protocol, the share of the tested images that have a copy in train: the title says so where it is above 0.
    `confidence` is that of the intervals, over each `group`; `model` heads the figure.
    """
    text = table[table["position"] == "text"].set_index("protocol")
    table = table[table["position"] != "text"]
    places = site_places(list(table.sort_values("depth", kind="stable")["site"].unique()))
    table = table.assign(x=table["site"].map(places))
    protocols = list(table["protocol"].unique())
    figure = Figure(figsize=(WIDTH, FIGURE_HEIGHT), layout="constrained")
    panels = figure.subplots(1, len(protocols), sharey=True, squeeze=False)[0]
    for axes, protocol in zip(panels, protocols, strict=True):
        of_protocol = table[table["protocol"] == protocol]
        _draw(axes, of_protocol, chance)
        if protocol in text.index:
            _draw_text(axes, text.loc[protocol])
        if protocol == "grouped":
            _draw_controls(axes, of_protocol, controls)
        title = TITLES.get(protocol, protocol).format(group=group.one)
        if copies_in_train[protocol] > 0:
            share = copies_in_train[protocol]
            title = f"{title}, leaking: a copy of the same photo\nis in train for {share:.0%} of test images"
        axes.set_title(title, fontsize=8)
        _label_sites(axes, of_protocol)
    figure.suptitle(as_drawn(model), fontsize=8, parse_math=False)
    panels[0].set_ylabel("letters read right, held-out images (%)", fontsize=8)
    panels[0].set_ylim(0, 1.03)
    panels[0].set_yticks(np.linspace(0, 1, 6))
    legend_below(figure, f"bars and bands: {confidence:.0%} intervals, {group.many} resampled")
    return figure


def _draw(axes: Axes, of_protocol: pd.DataFrame, chance: float) -> None:
    for position, series in palette.POSITIONS.items():
        line = of_protocol[of_protocol["position"] == position].sort_values("depth")
        if line.empty:
            continue
        if len(line) > 1:
            axes.fill_between(line["x"], line["low"], line["high"], color=series.colour, alpha=0.15, linewidth=0)
        else:
            below, above = line["accuracy"] - line["low"], line["high"] - line["accuracy"]
            axes.errorbar(line["x"], line["accuracy"], [below, above], color=series.colour, elinewidth=1, capsize=2)
        look = series.matplotlib()
        axes.plot(line["x"], line["accuracy"], **look, markersize=3, linewidth=1.1, label=series.name)
        if position == "flat":
            first = line["accuracy"].iloc[0]
            axes.axhline(first, color=series.colour, linewidth=0.7, linestyle=(0, (1, 2)), zorder=1)
    look = {"color": palette.CHANCE.colour, "linestyle": (0, (6, 2))}
    axes.axhline(chance, **look, linewidth=0.9, label=f"chance, {chance:.1%}", zorder=1)
    of_shares(axes)


def _draw_controls(axes: Axes, of_protocol: pd.DataFrame, controls: pd.DataFrame) -> None:
    """Each control as one line, without its interval and thinner than the model's own lines."""
    places = of_protocol.drop_duplicates("site").set_index("site")["x"]
    in_layers = next((name for name in PREFERRED if name in set(of_protocol["position"])), "")
    controls = at_one_position(controls, in_layers)
    for control, series in CONTROLS.items():
        line = controls[controls["control"] == control]
        look = series.matplotlib() | {"markersize": 2.2, "linewidth": 0.7, "alpha": 0.6, "zorder": 1.5}
        for _, part in line.groupby("position", sort=False):  # a line never joins two positions
            axes.plot(part["site"].map(places), part["accuracy"], **look, label=f"control: {series.name}")


def _draw_text(axes: Axes, row: pd.Series) -> None:
    colour = palette.ANSWER.colour
    axes.axhspan(row["low"], row["high"], color=colour, alpha=0.12, linewidth=0, zorder=1)
    axes.axhline(
        row["accuracy"], color=colour, linewidth=1.1, linestyle=(0, (5, 1, 1, 1)), zorder=1,
        label="what the model's answer gives away",
    )  # fmt: skip


def _label_sites(axes: Axes, of_protocol: pd.DataFrame) -> None:
    """Names before the decoder, upright; block numbers within it."""
    places = of_protocol.sort_values("depth").drop_duplicates("site").set_index("site")["x"]
    of_sites(axes, dict(places))
    others = [place for site, place in places.items() if not site.startswith("layer_")]
    blocks = [place for site, place in places.items() if site.startswith("layer_")]
    if others and blocks:
        axes.axvline((min(blocks) + max(others)) / 2, color=palette.RULE, linewidth=0.7)
    axes.margins(x=0.03)
