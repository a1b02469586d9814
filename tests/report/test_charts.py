"""What the charts share: an axis that can be read, colours for both schemes, and specifications that are valid."""

import math
from itertools import pairwise

import altair as alt
import pandas as pd
import pytest
import vl_convert

from signbridge.core.activations import SITES_BEFORE_LAYERS, layer_site
from signbridge.report import palette
from signbridge.report.charts import style
from tests.report import made_up
from tests.report.reading import Page


@pytest.mark.parametrize("layers", [0, 1, 4, 12, 32, 80])
def test_the_axis_names_the_sites_before_the_decoder_and_its_ends_and_not_too_many(layers):
    sites = [*SITES_BEFORE_LAYERS, *(layer_site(block) for block in range(layers))]
    places, x = style.site_axis(sites)
    assert list(places) == sites
    assert all(left < right for left, right in pairwise(places.values()))
    ticks = x.to_dict()["axis"]["values"]
    assert set(ticks) <= set(places.values())
    assert ticks[:4] == [places[site] for site in SITES_BEFORE_LAYERS]
    assert ticks[-1] == places[sites[-1]]
    assert len(ticks) <= 4 + 10
    span = max(places.values()) or 1
    assert all((right - left) / span > 1 / 28 for left, right in pairwise(ticks))  # 280 pixels hold labels of ten


def test_each_colour_stands_out_from_its_page():
    def luminance(colour: str) -> float:
        parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        light, dark = sorted([luminance(one), luminance(other)], reverse=True)
        return (light + 0.05) / (dark + 0.05)

    for on_light, on_dark in palette.DARK.items():
        assert contrast(on_light, "#FFFFFF") >= 3  # WCAG 1.4.11
        assert contrast(on_dark, "#14171B") >= 3


def test_no_two_series_of_a_chart_differ_by_colour_alone():
    series = [*palette.POSITIONS.values(), palette.CHANCE, palette.ANSWER]
    assert len({(one.shape, one.dash) for one in series}) == len(series)


@pytest.mark.parametrize("names", [("A", "B", "C"), ("hello", "thank_you", "A")])
@pytest.mark.parametrize("run", [made_up.study, made_up.causal, made_up.lenses, made_up.sae])
def test_every_specification_is_valid_and_can_be_drawn(run, names):
    found = Page(made_up.page(run(names)))
    assert found.specs
    for name, spec in found.specs.items():
        kind = alt.LayerChart if "layer" in spec else alt.Chart
        kind.from_dict(spec)  # checks it against Vega-Lite's schema
        drawn = vl_convert.vegalite_to_svg({**spec, "width": 320})
        assert "<svg" in drawn, name
        assert "NaN" not in drawn, name


def test_a_missing_number_is_left_out_of_the_data():
    spec = style.specification(style.rows().mark_point(), rows=pd.DataFrame({"a": [1.0, float("nan")]}))
    assert spec["datasets"] == {"rows": [{"a": 1.0}, {}]}


@pytest.mark.parametrize(("longest", "width", "columns"), [(5, 760, 4), (52, 760, 2), (52, 340, 1), (24, 390, 2)])
def test_a_legend_has_as_many_columns_as_its_names_have_room_in(longest, width, columns):
    """Four columns of long names were cut at the right edge. A character takes some six pixels, a symbol forty."""
    expression = style.legend(longest=longest).to_dict()["columns"]["expr"]
    found = evaluated(expression, width)
    assert found == columns
    assert found == 1 or found * (6 * min(longest, 53) + 30) <= width + 80


def evaluated(expression: str, width: int) -> int:
    """What Vega makes of the expression in a place so many pixels wide."""
    said = expression.replace("containerSize()[0]", str(width))
    for name in ("max", "min", "floor"):
        assert name in said
    return int(eval(said, {"max": max, "min": min, "floor": math.floor}))
