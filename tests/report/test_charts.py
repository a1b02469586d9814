"""What the charts share: an axis that can be read, colours for both schemes, and specifications that are valid."""

import base64
import math
from itertools import pairwise

import altair as alt
import numpy as np
import pandas as pd
import pytest
import vl_convert
from altair.utils.schemapi import validate_jsonschema

from signbridge.core.activations import SITES_BEFORE_LAYERS, layer_site
from signbridge.report import palette, stills
from signbridge.report.charts import style
from signbridge.report.charts.by_depth import lines_by_depth, series_of
from signbridge.report.charts.planes import dose_response
from signbridge.report.curve import lines_by_site
from signbridge.report.sections import feature_steering
from signbridge.report.spacing import have_room
from tests.report import made_up
from tests.report.reading import Page, rows_of, usual_page


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
        validate_jsonschema(spec, kind._schema, kind._rootschema)
        drawn = vl_convert.vegalite_to_svg({**spec, "width": 320})
        assert "<svg" in drawn, name
        assert "NaN" not in drawn, name


def test_a_missing_number_is_left_out_of_the_data():
    spec = style.specification(style.rows().mark_point(), rows=pd.DataFrame({"a": [1.0, float("nan")]}))
    assert spec["datasets"] == {"rows": [{"a": 1.0}, {}]}


@pytest.mark.parametrize(("longest", "width", "columns"), [(5, 760, 4), (52, 760, 2), (52, 340, 1), (24, 390, 1)])
def test_a_legend_has_as_many_columns_as_its_names_have_room_in(longest, width, columns):
    """Four columns of long names were cut at the right edge. A character takes some six pixels, a line sixty."""
    expression = style.legend(longest=longest).to_dict()["columns"]["expr"]
    found = evaluated(expression, width)
    assert found == columns
    assert found == 1 or found * (6 * min(longest, 53) + 50) <= width + 80


def evaluated(expression: str, width: int) -> int:
    """What Vega makes of the expression in a place so many pixels wide."""
    said = expression.replace("containerSize()[0]", str(width))
    for name in ("max", "min", "floor"):
        assert name in said
    return int(eval(said, {"max": max, "min": min, "floor": math.floor}))


def _legends(spec: dict) -> list[dict]:
    return [one["encoding"]["shape"] for one in spec["layer"] if one["encoding"].get("shape", {}).get("legend")]


def test_the_legend_shows_the_dashes_of_each_line_and_its_mark():
    spec = usual_page(made_up.study).specs["curve"]
    [key] = _legends(spec)
    lines = dict(zip(key["scale"]["domain"], key["scale"]["range"], strict=True))
    assert lines["the model"].count("M-2.70") == 1  # one box: a line without gaps
    dashed = {name for name, path in lines.items() if path.count("v0.3h") > 1}
    assert dashed == set(lines) - {"the model"}
    assert len(set(lines.values())) == len(lines)


def test_a_line_never_joins_two_positions():
    """The model's line went from the raw pixels over the mean of image tokens to the last token of the prompt."""
    spec = usual_page(made_up.study).specs["curve"]
    places = {(row["series"], row["position"]) for row in rows_of(spec) if row["series"] == "the model"}
    assert {position for _, position in places} == {"flat", "image_mean", "prompt_last"}
    lines = [one for one in spec["layer"] if one["mark"]["type"] in ("line", "area")]
    assert lines
    assert all(one["encoding"]["detail"]["field"] == "position" for one in lines)


@pytest.mark.parametrize(
    ("highest", "top"), [(0.01, 0.02), (0.17, 0.2), (0.22, 0.3), (0.4, 0.5), (0.6, 1.0), (0.99, 1.0), (1.3, 1.3)]
)
def test_an_axis_of_shares_ends_where_the_data_do(highest, top):
    table = pd.DataFrame({"series": "a", "site": ["layer_00", "layer_01"], "value": [0.0, highest]})
    table = table.assign(low=math.nan, high=math.nan)
    spec = lines_by_site(table, ["layer_00", "layer_01"], [palette.MODEL._replace(name="a")], "share")
    [end] = {
        one["encoding"]["y"]["scale"]["domain"][1] for one in spec["layer"] if "scale" in one["encoding"].get("y", {})
    }
    assert end == pytest.approx(top)


@pytest.mark.parametrize(("highest", "top"), [(0.003, 0.02), (0.04, 0.05), (0.7, 1.0)])
def test_the_axis_of_doses_ends_where_the_data_do(highest, top):
    table = pd.DataFrame({"series": "a", "strength": [0, 1], "damage": [0, 0.1], "probability": [0, highest]})
    spec = dose_response(table.assign(low=0.0, high=highest), [palette.MODEL._replace(name="a")], "probability")
    [end] = {
        one["encoding"]["y"]["scale"]["domain"][1] for one in spec["layer"] if "scale" in one["encoding"].get("y", {})
    }
    assert end == top


def test_of_nine_lines_four_colours_are_used_and_each_has_its_name_at_its_end():
    rows = [
        {"model": f"model-{number}", "site": f"layer_{block:02d}", "relative_depth": block / 2, "accuracy": 0.9,
         "low": 0.8, "high": 1}
        for number in range(9)
        for block in (0, 1, 2)
    ]  # fmt: skip
    spec = lines_by_depth(pd.DataFrame(rows), "accuracy", [f"model-{number}" for number in range(9)], "read right")
    series = series_of([f"model-{number}" for number in range(9)])
    assert len({one.colour for one in series}) == 4
    assert len({(one.shape, one.dash) for one in series}) == 9
    ends = spec["datasets"]["ends"]
    assert {row["series"] for row in ends} == {one.name for one in series}
    heights = sorted(row["label_at"] for row in ends)
    assert all(above - below > 0.03 for below, above in pairwise(heights))
    assert heights[-1] <= 1


def test_letters_of_a_plane_do_not_lie_upon_one_another():
    points = np.random.default_rng(0).normal(size=(2000, 2))
    chosen = points[have_room(points, 560, 520, 14)]
    low, high = points.min(axis=0), points.max(axis=0)
    places = (chosen - low) / (high - low) * [560, 520]
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + 1e9 * np.eye(len(places))
    assert apart.min() >= 14
    assert 100 < len(chosen) < 1600


@pytest.mark.parametrize(
    "series",
    [
        palette.POSITIONS, palette.CONTROLS, palette.PATCHED, palette.KNOCKED_OUT, palette.FINGER_READ,
        palette.DIRECTIONS, palette.ERASERS, palette.PLANTED, palette.TUNED, palette.TRANSFERRED, palette.READINGS,
        palette.SIGNERS, palette.LEARNT, {"probe": palette.PROBED, **palette.PATCHED}, feature_steering.LOOKS,
    ],
)  # fmt: skip
def test_no_two_series_are_told_apart_by_colour_alone_and_a_phone_has_room_for_each_name(series):
    assert max(len(one.name.format(kind="letter")) for one in series.values()) <= 46
    looks = [(one.shape, one.dash) for one in series.values()]
    assert len(set(looks)) == len(looks)


def test_one_thing_has_one_colour_on_all_pages():
    twin = [of_kind["untrained_twin"] for of_kind in (palette.CONTROLS, palette.PLANTED, palette.TUNED)]
    twin.append(palette.READINGS["twin_in_order"])
    shuffled = [palette.CONTROLS["shuffled_labels"], palette.TUNED["shuffled_labels"]]
    shuffled += [palette.ERASERS["shuffled_labels"], palette.DIRECTIONS["shuffled_means"], palette.CHANCE]
    answer = [palette.ANSWER, palette.TUNED["answer_before"], palette.TUNED["answer_after"]]
    image = [palette.POSITIONS["image_mean"], palette.PATCHED["image"], palette.FINGER_READ["image_mean"]]
    pixels = [palette.POSITIONS["flat"], palette.FINGER_READ["flat"]]
    colours = [{one.colour for one in things} for things in (twin, shuffled, answer, image, pixels)]
    assert all(len(of_thing) == 1 for of_thing in colours)
    assert len(set.union(*colours)) == len(colours)


def test_a_chart_is_drawn_where_no_script_runs_and_a_huge_one_is_not():
    page = Page(made_up.page(made_up.study(), stills=True))
    for name in page.specs:
        [still] = page.figure(name).all("img", class_="still")
        drawn = base64.b64decode(still.attributes["src"].removeprefix("data:image/svg+xml;base64,")).decode()
        assert drawn.startswith("<svg"), name
        assert "NaN" not in drawn, name
        assert "<script" not in drawn, name
    spec = page.specs["curve"]
    assert stills.still({**spec, "datasets": {"rows": spec["datasets"]["rows"] * 100}}) is None
