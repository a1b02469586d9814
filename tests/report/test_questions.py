"""The index of the pages says which questions were run, for which model and when, without a date in any output."""

import os
from datetime import datetime

import pytest

from signbridge.report import questions
from signbridge.report.page import PAGES
from tests.report import made_up
from tests.report.reading import Page


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Page:
    tmp_path = tmp_path_factory.mktemp("report")
    (tmp_path / "causal.html").write_text(made_up.page(made_up.causal()), encoding="utf-8")
    os.utime(tmp_path / "causal.html", (0, datetime(2026, 5, 4, 3, 2).timestamp()))
    return Page(questions.write(tmp_path).read_text(encoding="utf-8"))


def test_every_question_is_listed_and_only_those_that_were_run_are_linked(index):
    [table] = index.all("table")
    rows = table.all("tbody")[0].all("tr")
    assert [row.all("th")[0].text for row in rows] == [link.asks for link in PAGES.values()]
    assert index.all("div", class_="box whole"), "no script says here that a table scrolls"
    assert [link.attributes["href"] for link in index.all("a")] == ["causal.html"]
    assert index.answer == [f"1 of {len(PAGES)} questions have been run here."]


def test_the_model_and_the_time_of_a_run_are_named_and_the_command_of_what_was_not_run(index):
    [causal] = [row.text for row in index.all("tr") if "Is it used?" in row.text]
    assert "tiny (a test bed)" in causal
    assert "2026-05-04 03:02" in causal
    [sae] = [row.text for row in index.all("tr") if PAGES["sae.html"].asks in row.text]
    assert "not run: make sae" in sae


def test_no_page_holds_a_date():
    assert "2026" not in made_up.page(made_up.causal()).split("vegaEmbed")[0].split("<style>")[0]
