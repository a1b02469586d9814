"""The panels say what the probes say."""

import html
import re

import altair as alt
import numpy as np
import pytest
from PIL import Image

from signbridge.demo import panels, text
from signbridge.demo.familiarity import Familiarity
from signbridge.demo.reading import Reading
from signbridge.demo.study import DemoStudy


@pytest.fixture
def study(in_study) -> DemoStudy:
    return DemoStudy()


@pytest.fixture
def probabilities(study):
    generator = np.random.default_rng(0)
    return {place: generator.dirichlet(np.ones(len(study.letters))) for place in study.places}


def test_every_site_has_its_top_letter_at_the_position_or_at_its_only_one(study, probabilities):
    table = panels.confidence_table(study, probabilities, "answer_last")
    assert table["site"].tolist() == study.sites
    assert table["position"].tolist()[:4] == ["flat", "image_mean", "image_mean", "answer_last"]
    for row in table.itertuples():
        own = probabilities[row.site, row.position]
        assert row.probability == own.max()
        assert row.letter == study.letters[own.argmax()]
        assert row.accuracy == study.accuracy[row.site, row.position]


def test_the_likeliest_letters_come_in_order(study, probabilities):
    table = panels.likeliest_table(study, probabilities, study.best)
    assert table["probability"].tolist() == sorted(probabilities[study.best], reverse=True)[: panels.LIKELIEST]


def test_the_heat_map_has_every_site_and_letter(study, probabilities):
    table = panels.heat_map_table(study, probabilities, "prompt_last")
    assert table.shape == (len(study.sites), len(study.letters))
    np.testing.assert_allclose(table.to_numpy().sum(axis=1), 1)
    assert table.loc["layer_01", "A"] == probabilities["layer_01", "prompt_last"][study.letters.index("A")]


def test_charts_are_valid_and_as_wide_as_their_place(study, probabilities):
    confidence = panels.confidence_table(study, probabilities, "prompt_last")
    charts = [
        panels.confidence_chart(confidence, "layer_01", 0.2),
        panels.likeliest_chart(panels.likeliest_table(study, probabilities, study.best)),
        panels.heat_map_chart(panels.heat_map_table(study, probabilities, "prompt_last"), "layer_01"),
    ]
    for chart in charts:
        assert isinstance(chart, alt.LayerChart)
        assert chart.to_dict()["width"] == "container"


def test_charts_draw_the_tables_numbers(study, probabilities):
    confidence = panels.confidence_table(study, probabilities, "prompt_last")
    drawn = panels.confidence_chart(confidence, "layer_01", 0.2).to_dict()
    rows = {row["site"]: row for row in max(drawn["datasets"].values(), key=len)}
    assert [rows[site]["probability"] for site in study.sites] == confidence["probability"].tolist()
    assert [site for site, row in rows.items() if row["chosen"]] == ["layer_01"]
    assert [{"chance": 0.2}] in list(drawn["datasets"].values())
    heat_map = panels.heat_map_table(study, probabilities, "prompt_last")
    cells = max(panels.heat_map_chart(heat_map, "layer_01").to_dict()["datasets"].values(), key=len)
    assert len(cells) == heat_map.size
    assert all(cell["probability"] == heat_map.loc[cell["site"], cell["letter"]] for cell in cells)


def test_the_layers_verdict_stands_beside_that_of_raw_pixels(study, probabilities):
    blank = Image.new("RGB", (8, 8))
    reading = Reading("Fist", blank, {}, probabilities, None)
    place = ("layer_01", "prompt_last")
    shown = text.verdict(study, reading, place, Familiarity(0.5, place, 300))
    for who, where in (("The probe at layer_01", place), ("Raw pixels alone", ("pixels", "flat"))):
        own = probabilities[where]
        says = f"{study.letters[own.argmax()]} ({panels.percent(own.max())}). Such probes read "
        assert re.search(rf"{who}.* says? {re.escape(says)}{re.escape(panels.percent(study.accuracy[where]))}", shown)


@pytest.mark.parametrize(
    ("share", "expected"), [(0, "0 %"), (0.0004, "< 0.1 %"), (0.004, "0.4 %"), (0.0996, "10 %"), (1, "100 %")]
)
def test_shares_are_read_easily(share, expected):
    assert panels.percent(share) == expected


@pytest.mark.parametrize(
    ("share", "images", "advice", "why"),
    [
        (
            0.97,
            300,
            "do not believe the letter",
            "97 % of the study's own images are less unusual. It stands out most at layer_01, last",
        ),
        (0.9, 300, "do not rely on the letter", "90 % of the study's own"),
        (0.5, 300, "looks like the study's hands", "no letter right"),
        (0.5, 12, "Nobody can tell", "12 images, too few"),
    ],
)
def test_the_visitor_is_told_in_one_verdict_whether_to_believe_it(study, probabilities, share, images, advice, why):
    place = ("layer_01", "prompt_last")
    reading = Reading("Fist", Image.new("RGB", (8, 8)), {}, probabilities, None)
    shown = html.unescape(text.verdict(study, reading, place, Familiarity(share, place, images)))
    assert shown.count("data-level") == 1
    assert advice in shown
    assert why in shown
    assert "no test of anything" not in shown
    copy = text.verdict(study, reading._replace(photo="p"), place, Familiarity(share, place, 300))
    assert "no test of anything" in copy


def test_a_layer_that_sees_nothing_names_no_letter(study, probabilities):
    place = ("layer_01", "prompt_last")
    reading = Reading("Fist", Image.new("RGB", (8, 8)), {}, probabilities, None)
    shown = text.verdict(study, reading, place, Familiarity(0.5, place, 300), blind=True)
    assert text.BLIND in shown
    assert "The probe at" not in shown


def test_examples_say_their_letter_to_a_screen_reader(study):
    shown = text.examples(study, 0)
    for letter in study.letters:
        assert shown.count(f'alt="Example of the letter {letter}"') == 1
    assert shown.count('aria-pressed="true"') == 1


def test_what_the_model_says_is_text_and_no_markup():
    assert "<script>" not in text.words("<script>alert(1)</script>", ["<b>"])
    assert "&lt;script&gt;" in text.words("<script>alert(1)</script>", [])
    assert "(nothing)" in text.words("", [])
