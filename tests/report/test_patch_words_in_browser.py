"""Pointing at patches as a reader does it: mouse, keyboard, finger and slider, in a real browser."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from signbridge.lenses.patches import grid_of
from tests.demo.browser import needs_browser
from tests.report import made_up, made_up_lenses
from tests.report.contrast import CONTRAST

pytestmark = needs_browser
KEPT, POINTED = ".cells [aria-selected=true]", ".cells .pointed"
SLIDER, SAID, COUNT = "#patch-words-layer", "#patch-words .lenses", "#patch-words-count"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def usual(folder) -> Path:
    """Twelve images, 3 x 3 patches, of which LatentLens says `Up`, which holds, on the first row; five layers."""
    return written(folder / "usual.html")


def written(path: Path, **changes) -> Path:
    path.write_text(made_up.page(made_up.lenses(**changes)), encoding="utf-8")
    return path


def cell(page: Page, patch: int):
    return page.locator(f".cells [data-patch='{patch}']")


def words(page: Page, lens: int) -> list[str]:
    return page.locator(f"{SAID} .lens:nth-child({lens + 1}) .word").all_inner_texts()


def pull(page: Page, layer: int) -> None:
    page.locator(SLIDER).fill(str(layer))


def test_hovering_shows_a_patchs_words_as_long_as_the_mouse_is_there(usual, opened):
    page = opened(usual)
    expect(page.locator(KEPT)).to_have_attribute("aria-label", "patch row 2, column 2")
    cell(page, 8).hover()
    expect(page.locator("#patch-words h4")).to_have_text("Patch row 3, column 3, embedding")
    assert words(page, 0) == ["embedding.A-000-0.embedding.8.1", "embedding.A-000-0.embedding.8.2"]
    assert words(page, 1)[0] == "logit.A-000-0.embedding.8.1"
    expect(page.locator(f"{SAID} .score").first).to_have_text("0.49")
    expect(page.locator(POINTED)).to_have_count(1)
    page.locator("#patch-words h3").hover()
    expect(page.locator("#patch-words h4")).to_have_text("Patch row 2, column 2, embedding")
    expect(page.locator(POINTED)).to_have_count(0)


@pytest.mark.slow
def test_latentlens_shows_its_sentence_with_the_word_and_the_text_layer(usual, opened):
    page = opened(usual)
    cell(page, 1).click()
    line = page.locator(f"{SAID} .lens:nth-child(3) li").first
    expect(line.locator(".sentence")).to_have_text(
        "\N{WAVING HAND SIGN} In A-000-0 at embedding Up of 1. — text layer_02"
    )
    expect(line.locator("b")).to_have_text("Up")
    expect(line.locator(".word")).to_have_text("✓\u00a0Up holds for this hand")
    expect(page.locator(".about")).to_have_text(
        "10\u202f% of it lies on the hand. Words that hold for this hand: together, up."
    )
    cell(page, 8).click()
    expect(page.locator(".about")).to_have_text("Words that hold for this hand: together, up.")


@pytest.mark.slow
def test_the_patch_that_was_clicked_stays_while_layer_and_image_change(usual, opened):
    page = opened(usual)
    cell(page, 5).click()
    pull(page, 3)
    expect(page.locator(SLIDER)).to_have_attribute("aria-valuetext", "layer_02")
    expect(page.locator("#patch-words output")).to_have_text("layer_02")
    assert words(page, 1)[0] == "logit.A-000-0.layer_02.5.1"
    page.get_by_role("radio", name="B: B-001-2").check()
    assert words(page, 1)[0] == "logit.B-001-2.layer_02.5.1"
    thumbnail = page.locator(".hands label:has(:checked) img")
    assert page.get_attribute(".enlarged", "src") == thumbnail.get_attribute("src")
    expect(page.locator(".enlarged")).to_have_attribute("alt", "B: B-001-2, enlarged")
    expect(page.locator(KEPT)).to_have_attribute("data-patch", "5")


@pytest.mark.slow
def test_the_slider_goes_by_its_own_keys(usual, opened):
    page = opened(usual)
    page.locator(SLIDER).focus()
    for key, site in (
        ("ArrowRight", "layer_00"),
        ("End", "layer_03"),
        ("ArrowLeft", "layer_02"),
        ("Home", "embedding"),
    ):
        page.keyboard.press(key)
        expect(page.locator(SLIDER)).to_have_attribute("aria-valuetext", site)
        assert words(page, 0)[0] == f"embedding.A-000-0.{site}.4.1"


@pytest.mark.slow
def test_arrow_keys_go_through_the_grid_and_one_stop_of_the_tab_key_is_enough(usual, opened):
    page = opened(usual)
    page.locator(".hands input").first.focus()
    page.keyboard.press("Tab")
    focused = page.locator(".cells :focus")
    keys = [
        ("ArrowRight", 5), ("ArrowRight", 5), ("ArrowDown", 8), ("ArrowDown", 8), ("ArrowLeft", 7), ("ArrowUp", 4),
        ("ArrowUp", 1), ("ArrowUp", 1), ("End", 2), ("Home", 0), ("Control+End", 8), ("Control+Home", 0),
    ]  # fmt: skip
    expect(focused).to_have_attribute("data-patch", "4")
    for key, patch in keys:
        page.keyboard.press(key)
        expect(focused).to_have_attribute("data-patch", str(patch))
        expect(page.locator(KEPT)).to_have_attribute("data-patch", str(patch))
    assert page.locator(".cells [tabindex='0']").count() == 1
    page.keyboard.press("Tab")
    expect(page.locator(SLIDER)).to_be_focused()


@pytest.mark.slow
def test_what_has_the_focus_is_seen_to_have_it(usual, opened):
    page = opened(usual)
    outline = "element => getComputedStyle(element).outlineStyle + getComputedStyle(element).outlineWidth"
    page.locator(".hands input").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".hands label:has(:checked)").evaluate(outline) == "solid3px"
    page.keyboard.press("Tab")
    assert page.locator(".cells :focus .patch").evaluate(outline) == "solid3px"
    for _ in range(2):
        page.keyboard.press("Tab")
        assert page.locator(":focus").evaluate(outline) == "solid3px"


@pytest.mark.slow
def test_patches_that_say_a_word_that_holds_are_marked_and_counted_under_the_chosen_lens(usual, opened):
    page = opened(usual)
    marks = "cell => getComputedStyle(cell.querySelector('.patch'), '::after').content"
    expect(page.locator(COUNT)).to_have_text(
        "LatentLens at embedding: 3 of 9 patches say a word that holds for this hand."
    )
    assert [cell(page, patch).evaluate(marks) for patch in range(9)] == ['"✓"'] * 3 + ["none"] * 6
    expect(cell(page, 0)).to_have_attribute("aria-label", "patch row 1, column 1, a word holds")
    page.get_by_role("radio", name="LogitLens").check()
    expect(page.locator(COUNT)).to_contain_text("LogitLens at embedding: 0 of 9")
    assert {cell(page, patch).evaluate(marks) for patch in range(9)} == {"none"}


@pytest.mark.slow
def test_a_finger_taps_and_the_page_fits_a_phone(usual, opened):
    page = opened(usual, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    cell(page, 6).tap()
    expect(page.locator("#patch-words h4")).to_have_text("Patch row 3, column 1, embedding")
    pull(page, 4)
    expect(page.locator("#patch-words h4")).to_have_text("Patch row 3, column 1, layer_03")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for box in (cell(page, 0).bounding_box(), page.locator(SLIDER).bounding_box()):
        assert box["width"] >= 44
        assert box["height"] >= 44
    assert all(one.bounding_box()["height"] >= 36 for one in page.locator(".under label").all())


@pytest.mark.slow
def test_what_a_screen_reader_hears_has_the_patch_the_layer_and_the_words(usual, opened):
    page = opened(usual)
    live = page.locator("#patch-words [aria-live=polite]")
    cell(page, 2).click()
    expect(live).to_have_text(
        re.compile(r"^patch row 1, column 3, embedding\. EmbeddingLens: .*LatentLens: Up \(holds\), ")
    )
    pull(page, 2)
    expect(live).to_have_text(re.compile(r"^patch row 1, column 3, layer_01\."))
    grid = page.get_by_role("grid", name="Patches of the image")
    assert grid.get_by_role("row").count() == 3
    assert grid.get_by_role("gridcell").count() == 9
    expect(page.get_by_role("slider")).to_have_accessible_name("Visual layer")


@pytest.mark.slow
def test_text_stands_out_from_its_ground_in_both_schemes(usual, opened):
    for scheme in ("light", "dark"):
        page = opened(usual, color_scheme=scheme)
        found = page.evaluate(CONTRAST, "#patch-words :is(p, legend, label, h4, h5, h5 span, .word, .score, .sentence)")
        assert len(found) > 30
        assert min(found) >= 4.5


@pytest.mark.slow
def test_of_a_grid_that_is_looked_at_in_part_pointing_near_a_patch_means_it(folder, opened):
    patches = grid_of(144, 16).tolist()
    lens_words = made_up_lenses.words_table(["A-000-0"], ["embedding"], patches)
    page = opened(written(folder / "part.html", words=lens_words, grid=(12, 12)))
    page.locator(".enlarged").scroll_into_view_if_needed()
    whole = page.locator(".enlarged").bounding_box()
    page.mouse.move(whole["x"] + whole["width"] - 3, whole["y"] + 3)
    expect(page.locator("#patch-words h4")).to_have_text("Patch row 2, column 11, embedding")
    frame = page.locator(POINTED).locator(".patch").bounding_box()
    assert frame["x"] - whole["x"] == pytest.approx(whole["width"] * 10 / 12, abs=1)
    assert frame["y"] - whole["y"] == pytest.approx(whole["height"] * 1 / 12, abs=1)
    assert frame["width"] == pytest.approx(whole["width"] / 12, abs=1)


@pytest.mark.slow
def test_tokens_without_a_grid_are_a_line_of_numbers(folder, opened):
    page = opened(written(folder / "line.html", grid=None))
    assert page.locator(".cells [role=gridcell]").all_inner_texts() == [str(number) for number in range(1, 10)]
    below = page.locator(".enlarged").bounding_box()
    assert cell(page, 0).bounding_box()["y"] >= below["y"] + below["height"]
    cell(page, 7).click()
    for key, patch in (("ArrowDown", 8), ("ArrowRight", 8), ("ArrowUp", 7), ("Home", 0)):
        page.keyboard.press(key)
        expect(page.locator(KEPT)).to_have_attribute("data-patch", str(patch))
    expect(page.locator("#patch-words h4")).to_have_text("Patch 1, embedding")


@pytest.mark.slow
def test_where_no_words_are_known_to_hold_nothing_is_marked_and_it_says_so(folder, opened):
    page = opened(written(folder / "unknown.html", true_words={}))
    expect(page.locator(COUNT)).to_contain_text("is not known")
    expect(page.locator(".cells .holds")).to_have_count(0)


@pytest.mark.slow
def test_markup_in_words_and_sentences_is_shown_as_text(folder, opened):
    hostile = "<img src=x onerror=document.title='hacked'></script>"
    lens_words = made_up.lenses().words.assign(word=hostile, sentence=hostile, start=0, end=len(hostile))
    page = opened(written(folder / "hostile.html", words=lens_words))
    assert words(page, 0) == [hostile] * 2
    expect(page.locator(f"{SAID} b").first).to_have_text(hostile)
    assert page.title() == "SignBridge: What do image tokens say in words?"
    assert page.locator("#patch-words .lenses img").count() == 0


@pytest.mark.slow
def test_without_a_script_there_is_the_sample_and_a_line_on_what_is_missing(usual, opened):
    page = opened(usual, java_script_enabled=False)
    expect(page.locator("#patch-words noscript")).to_be_visible()
    expect(page.locator("#patch-words-explorer")).to_be_hidden()
    page.locator("#patch-words summary").click()
    expect(page.locator("#patch-words table")).to_be_visible()
