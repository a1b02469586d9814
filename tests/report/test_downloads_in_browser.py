"""What a reader takes away: a chart as SVG, PNG and CSV, a table as LaTeX; folds open where a link leads."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.demo.browser import needs_browser
from tests.report import made_up

pytestmark = needs_browser


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "index.html"
    path.write_text(made_up.page(made_up.study()), encoding="utf-8")
    return path


def taken(page, button) -> bytes:
    with page.expect_download() as download:
        button.click()
    return Path(download.value.path()).read_bytes()


def test_a_chart_is_taken_as_svg_png_and_csv_and_a_table_as_latex(study, opened):
    page = opened(study, color_scheme="dark")
    files = {
        kind: taken(page, page.locator("#curve .take button", has_text=kind).first) for kind in ("SVG", "PNG", "CSV")
    }
    assert files["SVG"].startswith(b"<svg")
    assert b"#0072B2" in files["SVG"], "in the colours of paper, whatever the page's scheme"
    assert files["PNG"].startswith(b"\x89PNG")
    head, *rows = files["CSV"].decode().split("\r\n")
    assert head.split(",")[:3] == ["series", "site", "position"]
    assert any(row.startswith("the model,pixels,flat,") for row in rows)
    latex = taken(page, page.locator("#real .take button", has_text="LaTeX")).decode()
    assert "\\toprule" in latex
    assert "\\usepackage{booktabs}" in latex
    assert latex.count("\\begin{tabular}{l") == 1


def test_a_link_opens_the_fold_it_leads_to_and_the_chart_in_it_is_drawn(study, opened):
    page = opened(study)
    expect(page.locator("#umap details.fold")).not_to_have_attribute("open", "")
    page.locator(".contents a", has_text="plane").click()
    expect(page.locator("#umap details.fold")).to_have_attribute("open", "")
    expect(page.locator("#plane-chart svg").first).to_be_visible()


LAID = """() => [...document.querySelectorAll(".pictures.pair > figure")].flatMap((figure) => {
  const box = figure.getBoundingClientRect();
  const parts = [...figure.children].map((one) => one.getBoundingClientRect()).filter((one) => one.height);
  const upon = parts.some((one, place) => place && one.top < parts[place - 1].bottom - 1);
  return upon || parts.some((one) => one.right > box.right + 1) ? [figure.id] : [];
})"""


def test_of_charts_side_by_side_no_part_lies_on_another_even_with_their_tables_open(study, opened):
    page = opened(study)
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    assert page.locator(".pictures.pair > figure").count() > 3
    assert page.evaluate(LAID) == []


def test_settings_are_searched(study, opened):
    page = opened(study)
    page.locator("#settings summary").first.click()
    page.locator("#settings-table-search").fill("everything")
    expect(page.locator("#settings-table tbody tr:visible")).to_have_count(1)
