"""Searching and opening features as a reader does it: mouse, keyboard, finger, in a real browser."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from tests.demo.browser import needs_browser
from tests.report import made_up
from tests.report.contrast import CONTRAST
from tests.report.made_up_features import activations_of

pytestmark = needs_browser
SEARCH, CHOSEN, HEADING = "#features-browser-search", ".lists [aria-selected=true]", ".feature h4"
HITS, OPTIONS = "#features-browser .hits", ".lists [role=option]"
PIXELS = "canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def usual(folder) -> Path:
    """Two layers of seven features each."""
    return written(folder / "usual.html")


def written(path: Path, **changes) -> Path:
    path.write_text(made_up.page(made_up.sae(**changes)), encoding="utf-8")
    return path


def shown(page: Page) -> list[str]:
    return page.locator(OPTIONS).all_inner_texts()


def test_the_first_feature_of_the_first_letter_is_open_and_a_click_opens_another(usual, opened):
    page = opened(usual)
    expect(page.locator(HEADING)).to_have_text("Feature 10, layer_00")
    assert shown(page) == ["10", "20", "30", "40", "1", "2", "3"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator(".feature .part").first.evaluate("part => getComputedStyle(part).display") == "block"
    page.get_by_role("option", name=re.compile("^30, ")).click()
    expect(page.locator(HEADING)).to_have_text("Feature 30, layer_00")
    card = page.locator(".feature")
    expect(card).to_contain_text("(image only, modality score 0.95)")
    expect(card).to_contain_text("on 25.0\u202f% of image tokens and 2.0\u202f% of text tokens")
    expect(card).to_contain_text("In the list of C (no. 1, AUC 0.920)")
    assert page.locator(".figures figcaption").all_inner_texts() == ["C\n2.00", "C\n1.00", "C\n0.67"]
    page.get_by_role("option", name=re.compile("^2, text only")).click()
    expect(card).to_contain_text("It fires in none of the images read.")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator(".feature .part").first.evaluate("(one) => getComputedStyle(one).display") == "block"


@pytest.mark.slow
def test_patches_are_lit_where_the_feature_fires(usual, opened):
    page = opened(usual)
    for number in (10, 20, 40):
        page.get_by_role("option", name=re.compile(f"^{number}, ")).click()
        alphas = np.array(page.locator(".veil").first.evaluate(PIXELS)).reshape(3, 3, 4)[..., 3].ravel()
        activations = activations_of(number)
        order = np.argsort(-activations, kind="stable")
        assert order[0] == alphas.argmin() == number % 9
        assert alphas[order[0]] == 0
        assert alphas[order[0]] < alphas[order[1]] < alphas[order[2]] < alphas[order[3]]
        assert (alphas[activations == 0] == alphas.max()).all()
        framed = page.locator(".lit").first.locator(".frame")
        places = [int(one.get_attribute("data-patch")) for one in framed.all()]
        assert sorted(places) == sorted([number % 9, (number + 1) % 9])
        whole = page.locator(".lit").first.bounding_box()
        for place, frame in zip(places, framed.all(), strict=True):
            box = frame.bounding_box()
            assert box["x"] - whole["x"] == pytest.approx(whole["width"] * (place % 3) / 3, abs=1)
            assert box["y"] - whole["y"] == pytest.approx(whole["height"] * (place // 3) / 3, abs=1)
        alt = page.locator(".lit img").first.get_attribute("alt")
        assert f"strongest at row {number % 9 // 3 + 1}, column {number % 3 + 1}; fires on 3 of 9 patches" in alt


@pytest.mark.slow
def test_sentences_have_their_tokens_marked_by_strength(usual, opened):
    page = opened(usual)
    first, second = page.locator(".feature ol li").all()
    expect(first.locator(".text")).to_have_text("\N{WAVING HAND SIGN} In layer_00 w10 is bent.")
    assert first.locator("mark").all_inner_texts() == ["w10"]
    assert second.locator("mark").all_inner_texts() == ["w10", "nt"]
    widths = [
        float(mark.evaluate("mark => getComputedStyle(mark).borderBottomWidth").removesuffix("px"))
        for mark in (first.locator("mark"), *second.locator("mark").all())
    ]
    assert widths[0] > widths[1] > widths[2] >= 1
    expect(first.locator(".score")).to_have_text("3.00")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("20", ["20"]), ("#3", ["30", "3"]), ("b", ["20"]), ("C", ["30"]), ("W40", ["40"]), ("index", ["10"]),
        ("bent", ["10", "20", "30", "40", "2", "3"]), ("image only", ["10", "20", "30", "40", "1"]),
        ("shared", ["3"]), ("text only w2", ["2"]), ("w2 shared", []), ("silver", []), ("  ", 7),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_a_search_finds_numbers_letters_words_joints_and_kinds(usual, opened, text, found):
    page = opened(usual)
    page.locator(SEARCH).fill(text)
    if found == 7:
        assert len(shown(page)) == 7
        return
    assert shown(page) == found
    counted = "1 feature" if len(found) == 1 else f"{len(found) or 'No'} features"
    expect(page.locator(HITS)).to_contain_text(f"{counted} at layer_00")
    if found:
        expect(page.locator(HEADING)).to_have_text(f"Feature {found[0]}, layer_00")
    else:
        expect(page.locator(".feature")).to_have_text("No feature is like that at this layer.")


@pytest.mark.slow
def test_a_search_stays_while_the_layer_changes_and_counts_the_other_layers(usual, opened):
    page = opened(usual)
    page.locator(SEARCH).fill("index")
    page.get_by_role("radio", name="layer_03").check()
    expect(page.locator(HITS)).to_have_text("No features at layer_03 (1 at layer_00).")
    page.locator(SEARCH).fill("")
    expect(page.locator(HEADING)).to_have_text("Feature 10, layer_03")
    expect(page.locator(".feature ol li").first).to_contain_text("In layer_03 w10")
    expect(page.locator(".feature")).not_to_contain_text("Tracks")
    page.get_by_role("radio", name="layer_00").last.check()
    expect(page.locator(".feature")).to_contain_text(
        "Tracks index_pip (r\u202f=\u202f0.62 over photos at the mean over image tokens, p\u202f=\u202f0.004, "
        "within letters 0.41 (p\u202f=\u202f0.030))."
    )


@pytest.mark.slow
def test_arrow_keys_go_through_the_list_and_one_stop_of_the_tab_key_is_enough(usual, opened):
    page = opened(usual)
    page.locator(SEARCH).focus()
    page.keyboard.press("Tab")
    focused = page.locator(".lists :focus")
    expect(focused).to_have_text("10")
    keys = [("ArrowRight", "20"), ("ArrowDown", "30"), ("ArrowUp", "20"), ("ArrowLeft", "10"), ("ArrowLeft", "10"),
            ("End", "3"), ("ArrowRight", "3"), ("ArrowUp", "40"), ("ArrowDown", "1"), ("Home", "10")]  # fmt: skip
    for key, number in keys:
        page.keyboard.press(key)
        expect(focused).to_have_text(number)
        expect(page.locator(CHOSEN)).to_have_text(number)
        expect(page.locator(HEADING)).to_have_text(f"Feature {number}, layer_00")


@pytest.mark.slow
def test_a_feature_of_two_letters_is_known_again_in_the_other_list(folder, opened):
    letters = made_up.sae().letters
    other = letters[(letters["letter"] == "A") & (letters["reads"] == "sae")].assign(letter="B", rank=2)
    page = opened(written(folder / "two.html", letters=pd.concat([letters, other], ignore_index=True)))
    assert shown(page)[:3] == ["10", "20", "10"]
    expect(page.locator(".lists .same")).to_have_count(1)
    page.locator(OPTIONS).nth(2).click()
    expect(page.locator(CHOSEN)).to_have_count(1)
    assert page.locator(OPTIONS).nth(2).get_attribute("aria-selected") == "true"
    expect(page.locator(".feature")).to_contain_text("In the list of A (no. 1, AUC 0.900) and B (no. 2, AUC 0.900)")


@pytest.mark.slow
def test_bars_say_the_mean_on_each_letter(usual, opened):
    page = opened(usual)
    bars = page.locator(".bars li")
    assert bars.all_text_contents() == ["A 0.40", "B 0.10", "C 0.10", "D 0.10"]
    heights = [bar.bounding_box()["height"] for bar in page.locator(".bars .column > span").all()]
    assert heights[0] == pytest.approx(4 * heights[1], rel=0.1)
    assert [bar.get_attribute("class") for bar in bars.all()] == ["own", "", "", ""]


@pytest.mark.slow
def test_a_finger_taps_and_the_page_fits_a_phone(usual, opened):
    page = opened(usual, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.get_by_role("option", name=re.compile("^20, ")).tap()
    expect(page.locator(HEADING)).to_have_text("Feature 20, layer_00")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert all(one.bounding_box()["width"] >= 44 for one in page.locator(OPTIONS).all())
    assert all(one.bounding_box()["height"] >= 36 for one in page.locator(f"{OPTIONS}, .sites label").all())
    assert page.locator(SEARCH).bounding_box()["height"] >= 44


@pytest.mark.slow
def test_what_a_screen_reader_hears_has_the_feature_and_its_images(usual, opened):
    page = opened(usual)
    page.get_by_role("option", name=re.compile("^20, B")).click()
    expect(page.locator("#features-browser .said-of")).to_have_text(
        re.compile(r"^Feature 20, layer_00\. Fires for image.* Strongest images: B, B, B\. Strongest sentence: .*w20")
    )
    listbox = page.get_by_role("listbox", name="Features")
    assert listbox.get_by_role("group").count() == 5
    assert listbox.get_by_role("group", name="letter A").get_by_role("option").count() == 1
    expect(page.locator(SEARCH)).to_have_accessible_name("Search features")


@pytest.mark.slow
def test_tokens_without_a_grid_are_a_strip_below_the_image(folder, opened):
    images = made_up.sae().images
    line = images.assign(activations=[activations_of(number, tokens=7) for number in images["feature"]])
    page = opened(written(folder / "line.html", images=line))
    lit = page.locator(".lit").first
    image, strip = lit.locator("img").bounding_box(), lit.locator(".veil").bounding_box()
    assert strip["y"] >= image["y"] + image["height"]
    assert lit.locator(".frame").count() == 0
    alphas = np.array(lit.locator(".veil").evaluate(PIXELS)).reshape(7, 4)[:, 3]
    assert alphas.argmin() == 10 % 7
    assert "strongest at token 4 of 7" in lit.locator("img").get_attribute("alt")


@pytest.mark.slow
def test_text_stands_out_from_its_ground_in_both_schemes(usual, opened):
    texts = "#features-browser :is(p, legend, label, h4, h5, [role=option], .of, .score, .text, figcaption, .name)"
    for scheme in ("light", "dark"):
        found = opened(usual, color_scheme=scheme).evaluate(CONTRAST, texts)
        assert len(found) > 30
        assert min(found) >= 4.5


@pytest.mark.slow
def test_markup_in_sentences_and_labels_is_shown_as_text(folder, opened):
    hostile = "<img src=x onerror=document.title='hacked'></script>"
    run = made_up.sae(names=(hostile, "B"))
    phrases = run.phrases.assign(phrase=hostile)
    page = opened(written(folder / "hostile.html", names=(hostile, "B"), phrases=phrases))
    expect(page.locator(".lists .of").first).to_have_text(hostile)
    expect(page.locator(".feature ol .text").first).to_have_text(hostile)
    assert page.title() == "SignBridge: Which sparse features hold it?"
    assert page.locator(".lists img, .feature ol img").count() == 0


@pytest.mark.slow
def test_without_a_script_there_is_the_table_and_a_line_on_what_is_missing(usual, opened):
    page = opened(usual, java_script_enabled=False)
    expect(page.locator("#features-browser noscript")).to_be_visible()
    expect(page.locator("#features-browser-explorer")).to_be_hidden()
    page.locator("#features-browser summary").click()
    expect(page.locator("#features-browser table")).to_be_visible()
