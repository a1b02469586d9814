"""axe-core finds nothing serious on any page, folded out, in both schemes; on paper a page is short."""

import re
from importlib import util
from pathlib import Path

import pytest

from signbridge.report import questions
from tests.demo.browser import needs_browser
from tests.report import made_up

RUNS = ("study", "causal", "lenses", "sae", "planted", "pretrained", "models", "resolution", "finetune", "motion")
SERIOUS = {"serious", "critical", "moderate"}
AXE = util.find_spec("axe_playwright_python")  # brings axe-core as a file
pytestmark = [pytest.mark.slow, needs_browser]


def found_by_axe(page) -> list[str]:
    script = Path(AXE.submodule_search_locations[0]) / "axe.min.js"
    page.evaluate(script.read_text(encoding="utf-8"))
    violations = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in violations if one["impact"] in SERIOUS]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("run", RUNS)
def test_axe_finds_nothing_serious_on_a_page(opened, tmp_path, run, scheme):
    path = tmp_path / f"{run}.html"
    path.write_text(made_up.page(getattr(made_up, run)(), stills=True), encoding="utf-8")
    page = opened(path, color_scheme=scheme, bypass_csp=True)
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    page.wait_for_function(
        "[...document.querySelectorAll('script[data-place]')].every((one) => "
        "'live' in document.getElementById(one.dataset.place).dataset)"
    )
    assert found_by_axe(page) == []


def test_axe_finds_nothing_serious_on_the_index(browser, tmp_path):
    page = browser.new_page(bypass_csp=True)
    page.goto(questions.write(tmp_path).as_uri())
    assert found_by_axe(page) == []
    page.close()


@pytest.mark.parametrize("run", RUNS)
def test_on_paper_a_page_takes_at_most_fifteen_sheets_and_repeats_no_chart_as_a_table(opened, tmp_path, run):
    path = tmp_path / f"{run}.html"
    path.write_text(made_up.page(getattr(made_up, run)(), stills=True), encoding="utf-8")
    page = opened(path)
    sheets = re.findall(rb"/Type\s*/Page[^s]", page.pdf(format="A4", prefer_css_page_size=True))
    assert 1 <= len(sheets) <= 15
    page.emulate_media(media="print")
    assert not [one for one in page.locator("details.twin, #settings, .features").all() if one.is_visible()]
