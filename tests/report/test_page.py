"""The page opens with no network, says in text what it shows, and whatever data hold, no part of them comes alive."""

import json
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from signbridge.report.inputs import Findings, Study
from signbridge.report.page import INDEX, PAGES
from signbridge.report.sections import published
from signbridge.report.settings import Settings
from tests.report import made_up
from tests.report.reading import Page, rows_of, usual_page

SECTIONS = ["real", "audit", "protocols", "published", "positions", "layers", "confusions", "umap", "text"]
SECTIONS += ["settings"]
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script><!--",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)//'\"\\",
    "{{ 7 * 7 }}{% raw %}",
    "line\nfeed\r\n\u2028\u2029\x00end",
    "A" * 10_000,
]


@pytest.fixture(scope="module")
def usual() -> str:
    return made_up.page(made_up.study())


@pytest.fixture(scope="module")
def parsed() -> Page:
    return usual_page(made_up.study)


def test_nothing_is_loaded_from_outside_the_file(usual, parsed):
    for element in parsed.all("*"):
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            target = element.attributes.get(name, "data:")
            inside = target.startswith(("data:", "#")) or (element.tag == "a" and target in {*PAGES, INDEX})
            assert inside, f"<{element.tag} {name}={target[:80]}>"
    assert not parsed.all("link")
    style = parsed.all("style")[0].raw
    assert "url(" not in style
    assert "@import" not in style
    for spec in parsed.specs.values():
        assert "http" not in json.dumps({key: value for key, value in spec.items() if key != "datasets"})


def test_the_policy_lets_only_the_pages_own_scripts_run_and_loads_nothing(parsed):
    [policy] = (meta for meta in parsed.all("meta") if meta.attributes.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.attributes["content"].split(";"))
    assert rules["default-src"] == "'none'"
    assert re.fullmatch(r"('sha256-[A-Za-z0-9+/=]{44}' ?){2}", rules["script-src"])
    assert rules["img-src"] == "data:"
    assert len([script for script in parsed.all("script") if "type" not in script.attributes]) == 2
    assert not [name for element in parsed.all("*") for name in element.attributes if name.startswith("on")]


def test_every_page_links_to_the_others_and_says_what_makes_each():
    for run, file in zip(
        (
            made_up.study,
            made_up.causal,
            made_up.lenses,
            made_up.sae,
            made_up.planted,
            made_up.pretrained,
            made_up.models,
            made_up.resolution,
            made_up.finetune,
            made_up.motion,
        ),
        PAGES,
        strict=True,
    ):
        [others] = usual_page(run).all("aside", class_="others")
        items = {item.all("a")[0].attributes["href"]: item.text for item in others.all("li")}
        assert list(items) == [other for other in PAGES if other != file]
        assert all(f"report/{other}, made by {PAGES[other].command}" in text for other, text in items.items())
        assert all(f"{PAGES[other].asks} {PAGES[other].shows}:" in text for other, text in items.items())


def test_a_page_has_the_scripts_that_it_needs_and_no_others():
    library, patches, features = "vegaEmbed", "patch-words", "features-browser"
    needs = {
        made_up.study: {library}, made_up.causal: {library}, made_up.lenses: {library, patches},
        made_up.sae: {library, features}, made_up.pretrained: set(), made_up.models: {library},
        made_up.planted: {library}, made_up.resolution: {library}, made_up.finetune: {library},
        made_up.motion: {library},
    }  # fmt: skip
    for run, wanted in needs.items():
        scripts = [script.raw for script in usual_page(run).all("script") if not script.attributes]
        has = {name for name in (patches, features) if any(f'"{name}' in script for script in scripts)}
        has |= {library} if any(len(script) > 500_000 for script in scripts) else set()
        assert has == wanted


def test_equal_studies_give_equal_bytes_whatever_was_drawn_before(usual):
    assert made_up.page(made_up.study()) == usual


def test_every_picture_has_its_words_and_its_twin_in_text(parsed):
    figures = parsed.all("figure")
    assert len(figures) == len(parsed.specs) + 1  # the grid of images is no chart
    for figure in figures:
        name = figure.attributes["id"]
        [twin] = figure.all("details")
        assert twin.all("summary")
        [table] = twin.all("table")
        assert table.all("caption")[0].text
        assert len(table.all("tbody")[0].all("tr")) >= 1, name
        assert len(figure.all("p", id=f"{name}-sees")[0].text) > 20, name
        for row in table.all("tbody")[0].all("tr"):
            assert len(row.all("th", scope="row")) == 1
            assert len(row.all("th") + row.all("td")) == len(table.all("th", scope="col")), name
    for name in parsed.specs:
        [chart] = parsed.all("div", id=f"{name}-chart")
        assert chart.attributes["role"] == "img"
        for named in ("aria-labelledby", "aria-describedby"):
            assert parsed.all("*", id=chart.attributes[named])[0].text


def test_a_charts_twin_holds_what_the_chart_draws(parsed):
    shown = parsed.figure("curve").all("details")[0].text
    rows = rows_of(parsed.specs["curve"])
    assert {row["site"] for row in rows} >= {"pixels", "vision", "projector", "embedding", "layer_00", "layer_03"}
    for row in rows:
        assert f"{row['value']:.1%}".replace("%", " %") in shown
        assert row["site"] in shown


def test_a_screen_reader_and_a_keyboard_find_their_way(parsed):
    assert parsed.all("html")[0].attributes["lang"] == "en"
    assert len(parsed.all("main")) == len(parsed.all("h1")) == 1
    names = [nav.attributes["aria-label"] for nav in parsed.all("nav")]
    assert names == ["On this page", "Pages"]
    levels = [int(element.tag[1]) for element in parsed.all("*") if re.fullmatch("h[1-6]", element.tag)]
    assert all(after <= before + 1 or before == 1 for before, after in pairwise(levels))
    [skip] = parsed.all("a", class_="skip")
    targets = [skip, *parsed.all("nav")[0].all("a")]
    assert all(parsed.all("*", id=target.attributes["href"][1:]) for target in targets)
    assert all(box.attributes["tabindex"] == "0" for box in parsed.all("div", class_="box"))
    assert all(image.attributes["alt"] for image in parsed.all("img"))
    assert not parsed.ids_used_twice()


def test_the_first_screen_holds_question_answer_and_curve_before_anything_else(parsed):
    first, *_ = parsed.all("main")[0].all("section")
    assert "Does an open vision-language model hold the shape of a signing hand" in first.text
    assert len(first.all("p", class_="answer")) == 2
    assert [figure.attributes["id"] for figure in first.all("figure")] == ["curve"]


def test_every_section_is_there_and_linked(parsed):
    sections = [
        section.attributes["id"] for section in parsed.all("main")[0].all("section") if "id" in section.attributes
    ]
    assert sections == SECTIONS
    targets = [link.attributes["href"] for link in parsed.all("nav")[0].all("a")]
    assert targets == ["#main", *(f"#{name}" for name in SECTIONS)]


def test_controls_chance_and_text_stand_in_the_curve(parsed):
    series = {row["series"] for row in rows_of(parsed.specs["curve"])}
    assert series == {
        "the model", "untrained twin", "no image", "another letter's image", "shuffled labels", "chance",
        "the answer's text",
    }  # fmt: skip


def test_published_figures_say_whether_they_can_be_compared():
    usual = made_up.study(layers=33)
    text = said_of_published(usual)
    assert "Not comparable" in text
    assert "Published and reproduced intervals at layer_08" in text
    same = said_of_published(replace(usual, published=usual.published.assign(comparable=True)))
    assert "Not comparable" not in same
    assert "The same model and the same data" in same
    assert "none of the notebook's layers" in said_of_published(made_up.study(layers=2))


def said_of_published(study: Study) -> str:
    part = published.section(study)
    return " ".join([*part.lead, *(picture.sees for picture in part.pictures)])


def test_the_plane_carries_every_image_for_the_hover(parsed):
    rows = [row for row in rows_of(parsed.specs["plane"]) if "photo" in row]
    assert len(rows) == 24
    assert all(len(row["near"].split(", ")) == 5 for row in rows)
    assert all(row["image"].startswith("data:image/png;base64,") for row in rows)


def test_answers_stand_beside_an_image_that_got_them(parsed):
    [cards] = parsed.section("text").all("ul", class_="cards")
    assert len(cards.all("img")) == 8
    assert "Fist 67 %" in cards.text


def test_settings_and_versions_are_shown_as_they_were(parsed):
    settings = parsed.section("settings")
    assert "params.yaml seed 42 of everything" in settings.text
    assert "packages.torch 9.9" in settings.text
    assert "What?\nOne word." in settings.raw


def test_a_figure_under_a_leaking_split_is_marked_wherever_it_stands(parsed):
    [leaking] = [figure for figure in parsed.all("figure") if figure.attributes["id"] == "protocol-signbridge"]
    assert "leaking" in leaking.all("h3")[0].text
    assert "leaking" in leaking.all("caption")[0].text
    assert "leaking" in " ".join(row["series"] for row in rows_of(parsed.specs["published-figures"]))
    assert "leaking" not in parsed.figure("protocol-grouped").text
    [facts] = parsed.all("dl", class_="facts")
    assert "the notebook's split ( leaking )" in facts.text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_labels_answers_and_names_stay_text(hostile, parsed):
    usual = made_up.study()
    letters = (hostile, f"{hostile}2", "C", "D")
    settings = Settings({"data/umap.parquet": {"site": hostile, hostile: hostile}}, {"params.yaml": hostile})
    run = made_up.study(letters, settings=settings, found={**usual.found, "model": hostile})
    run = replace(
        run,
        named_answers=run.named_answers.assign(answer=hostile, named=hostile),
        answers_by_letter=run.answers_by_letter.assign(answer=hostile),
        within_word=run.within_word.assign(letters=hostile),
    )
    found = Page(made_up.page(run))
    assert len(found.all("script")) == len(parsed.all("script"))
    assert not [name for element in found.all("*") for name in element.attributes if name.startswith("on")]
    assert all(image.attributes["src"].startswith("data:image/png;base64,") for image in found.all("img"))
    assert hostile.replace("\x00", "\N{REPLACEMENT CHARACTER}") in found.section("settings").raw


def test_long_text_is_cut_and_says_so():
    long = "A" * 10_000
    text = Page(made_up.page(made_up.study((long, "B", "C", "D")))).section("confusions").text
    assert "… (10,000 characters)" in text
    assert "A" * 200 not in text


def without(*tables: str) -> dict[str, pd.DataFrame]:
    return {table: made_up.empty(table) for table in tables}


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        (without("confusion", "letter_accuracy", "confused_pairs"), ["confusions"]),
        (without("peak_probability", "layer_comparison", "description_length"), ["layers"]),
        (without("published"), ["published"]),
        (without("named_answers", "answers_by_letter"), ["text"]),
        (without("accuracy"), ["protocols", "positions"]),
        ({"umap": made_up.study().umap.iloc[:0]}, ["umap"]),
        (without("controls"), []),
        ({"class_grid": b""}, []),
    ],
)
def test_what_was_not_run_is_not_shown_and_the_rest_stands(changes, gone):
    found = Page(made_up.page(made_up.study(**changes)))
    assert [name for name in SECTIONS if found.all("section", id=name)] == [n for n in SECTIONS if n not in gone]


def test_a_run_without_a_probe_within_one_word_says_so():
    found = Page(made_up.page(made_up.study(**without("within_word"))))
    assert "no probe could be fitted within one word" in found.section("text").text


def test_a_run_without_an_image_of_each_class_keeps_the_audit():
    assert "leaking" in Page(made_up.page(made_up.study(class_grid=b""))).section("audit").text


def test_a_run_without_controls_says_so_under_the_curve():
    assert "No control was run" in Page(made_up.page(made_up.study(**without("controls")))).figure("curve").text


@pytest.mark.parametrize("protocol", ["signbridge", "grouped"])
def test_one_protocol_alone_makes_a_page(protocol):
    usual = made_up.study()
    other = {"signbridge": "grouped", "grouped": "signbridge"}[protocol]
    accuracy = usual.accuracy[usual.accuracy["protocol"] == protocol]
    found = made_up.without(f"{other}_", of=usual.found)
    leakage = made_up.without(f"{other}_", of=usual.leakage)
    read = Page(made_up.page(replace(usual, accuracy=accuracy, found=Findings(found), leakage=Findings(leakage))))
    assert [name for name in read.specs if name.startswith("protocol-")] == [f"protocol-{protocol}"]
    assert ("curve" in read.specs) == (protocol == "grouped")
    if protocol == "signbridge":
        assert "leaking" in read.section("confusions").all("h2")[0].text
        assert "leaking" in read.figure("heat-map").all("h3")[0].text


@pytest.mark.parametrize("layers", [0, 1, 33])
def test_any_number_of_layers_makes_a_page(layers):
    found = Page(made_up.page(made_up.study(layers=layers)))
    assert "curve" in found.specs


def test_classes_that_are_words_are_called_signs_and_named_in_the_plane():
    found = Page(made_up.page(made_up.study(("hello", "thank_you", "A"))))
    assert "letter" not in found.answer[0]
    assert "signs" in found.answer[0]
    assert {row.get("label") for row in rows_of(found.specs["plane"])} == {"hello", "thank_you", "A"}


def test_a_large_study_stays_below_ten_megabytes_and_says_what_it_left_out():
    random = np.random.default_rng(0)
    usual = made_up.study()
    noise = [made_up.png(random.integers(0, 256, (28, 28), dtype=np.uint8)) for _ in range(50)]
    images = 35_000
    places = random.integers(0, 50, images)
    sample = pd.DataFrame({
        "image_id": [f"train-{index:05d}" for index in range(images)],
        "label": random.choice(list("ABCD"), images),
        "photo": [f"train-{index // 21:05d}" for index in range(images)],
        "image": [noise[place] for place in places],
    })  # fmt: skip
    plane = sample[["image_id", "label", "photo"]].assign(x=random.normal(size=images), y=random.normal(size=images))
    html = made_up.page(replace(usual, sample=sample, umap=plane))
    assert len(html.encode()) < 10_000_000
    found = Page(html)
    assert "of them, evenly, carry their image" in found.figure("plane").text
    assert sum("photo" in row for row in rows_of(found.specs["plane"])) == images
