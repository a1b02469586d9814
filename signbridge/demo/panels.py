"""The three panels of one reading as charts, each with the table that says the same."""

import altair as alt
import numpy as np
import pandas as pd
from jaxtyping import Float

from signbridge.demo.study import DemoStudy, Place
from signbridge.report.charts.style import short_site
from signbridge.report.palette import BLUE, GREY, SEQUENTIAL, VERMILLION

LIKELIEST = 5
CONFIDENCE_HEIGHT, LETTER_HEIGHT = 190, 10  # pixels; of a letter's row in the heat map
MOST_NAMES = 20  # sites that can all be named on an axis
AS_SVG = {"embedOptions": {"renderer": "svg"}}  # which the page's style sheet colours, light or dark
FIT = alt.AutoSizeParams(type="fit-x", contains="padding", resize=True)

Probabilities = dict[Place, Float[np.ndarray, "letters"]]


def confidence_table(study: DemoStudy, probabilities: Probabilities, position: str | None) -> pd.DataFrame:
    """The top letter of every site: site, position, letter, probability, accuracy; in order of depth.

    Sites before the decoder have one position only, which is theirs. `accuracy` is that of the site's probes on photos
    they had not seen; NaN where that was not measured.
    """
    rows = []
    for place in (study.place(site, position) for site in study.sites):
        best = int(probabilities[place].argmax())
        accuracy = study.accuracy.get(place, np.nan)
        rows.append((*place, study.letters[best], float(probabilities[place][best]), accuracy))
    return pd.DataFrame(rows, columns=["site", "position", "letter", "probability", "accuracy"])


def likeliest_table(study: DemoStudy, probabilities: Probabilities, place: Place) -> pd.DataFrame:
    """The likeliest letters at one place: letter, probability; the likeliest first."""
    order = np.argsort(-probabilities[place], kind="stable")[:LIKELIEST]
    return pd.DataFrame(
        {
            "letter": [study.letters[index] for index in order],
            "probability": [float(probabilities[place][index]) for index in order],
        }
    )


def heat_map_table(study: DemoStudy, probabilities: Probabilities, position: str | None) -> pd.DataFrame:
    """Every letter at every site: one row a site, one column a letter."""
    places = [study.place(site, position) for site in study.sites]
    rows = np.stack([probabilities[place] for place in places])
    return pd.DataFrame(rows, index=pd.Index(study.sites, name="site"), columns=study.letters)


def confidence_chart(table: pd.DataFrame, selected: str, chance: float) -> alt.LayerChart:
    """A bar a site, the selected one in another colour, its top letter above, and the line of chance."""
    table = table.assign(short=[short_site(site) for site in table["site"]], chosen=table["site"] == selected)
    base = alt.Chart(table).encode(x=_depth(table["site"]))
    share = alt.Y("probability:Q", scale=alt.Scale(domain=[0, 1.08]), axis=_share_axis())
    colour = alt.condition("datum.chosen", alt.value(VERMILLION), alt.value(BLUE))
    bars = base.mark_bar().encode(y=share, color=colour, tooltip=_tooltip("site", "letter", "probability", "accuracy"))
    letters = base.mark_text(dy=-7, fontWeight="bold").encode(y="probability:Q", text="letter:N")
    line = alt.Chart(pd.DataFrame({"chance": [chance]})).mark_rule(color=GREY, strokeDash=[8, 4], strokeWidth=2)
    return _sized(bars + letters + line.encode(y="chance:Q"), CONFIDENCE_HEIGHT)


def likeliest_chart(table: pd.DataFrame) -> alt.LayerChart:
    """A bar a letter, the likeliest on top, each with its figure."""
    table = table.assign(text=[percent(value) for value in table["probability"]])
    base = alt.Chart(table).encode(
        y=alt.Y("letter:N", sort=None, axis=alt.Axis(title=None, labelFontSize=14)),
        x=alt.X("probability:Q", scale=alt.Scale(domain=[0, 1.15]), axis=_share_axis()),
    )
    bars = base.mark_bar(color=VERMILLION).encode(tooltip=_tooltip("letter", "probability"))
    return _sized(bars + base.mark_text(align="left", dx=4).encode(text="text:N"), 34 * len(table))


def heat_map_chart(table: pd.DataFrame, selected: str) -> alt.LayerChart:
    """Sites by letters; the selected site is framed."""
    long = table.reset_index().melt("site", var_name="letter", value_name="probability")
    long["short"] = [short_site(site) for site in long["site"]]
    x, y = _depth(table.index), alt.Y("letter:N", sort=list(table.columns), axis=alt.Axis(title=None, labelFontSize=9))
    scale = alt.Scale(scheme=SEQUENTIAL, domain=[0, 1])
    key = alt.Legend(title=None, format=".0%", orient="bottom", gradientLength=160, gradientThickness=8, offset=2)
    cells = (
        alt.Chart(long)
        .mark_rect()
        .encode(
            x=x,
            y=y,
            color=alt.Color("probability:Q", scale=scale, legend=key),
            tooltip=_tooltip("site", "letter", "probability"),
        )
    )
    frame = alt.Chart(long[long["site"] == selected]).mark_rect(filled=False, stroke=VERMILLION, strokeWidth=1.5)
    return _sized(cells + frame.encode(x=x, y=y), LETTER_HEIGHT * table.shape[1])


def percent(share: float) -> str:
    """`7 %`, `0.4 %`, `< 0.1 %`."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    text = f"{100 * share:.0f}" if share >= 0.0995 else f"{100 * share:.1f}".removesuffix(".0")
    return f"{text} %"


def _depth(sites: pd.Index | pd.Series) -> alt.X:
    crowded = len(sites) > MOST_NAMES
    axis = alt.Axis(title=None, labelAngle=-45, labelOverlap="greedy" if crowded else False)
    return alt.X("short:N", sort=[short_site(site) for site in sites], axis=axis)


def _share_axis() -> alt.Axis:
    return alt.Axis(title="probability", format="~%", values=[0, 0.25, 0.5, 0.75, 1])


def _tooltip(*columns: str) -> list[alt.Tooltip]:
    shares = ("probability", "accuracy")
    return [alt.Tooltip(f"{name}:Q", format=".1%") if name in shares else alt.Tooltip(f"{name}:N") for name in columns]


def _sized(chart: alt.LayerChart, height: int) -> alt.LayerChart:
    return chart.configure_view(stroke=None).properties(
        width="container", height=height, background="transparent", padding=4, autosize=FIT, usermeta=AS_SVG
    )
