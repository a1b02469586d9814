"""The demo as a visitor meets it: upload, webcam, live, layers, bad files, several visitors, in a real browser."""

import base64
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from signbridge.demo import panels, text
from signbridge.demo.analysis import Analysis, Picture
from signbridge.demo.app import KEPT_SECONDS
from signbridge.demo.reading import Reading
from signbridge.demo.study import DemoStudy
from signbridge.demo.uploads import open_upload
from tests.demo import browser as demo_browser
from tests.demo import pictures
from tests.demo.browser import PATIENCE, Server, needs_browser, seen, table, too_pale, upload

pytestmark = needs_browser
DRAWN = "#{}-chart [data-testid=altair] .marks"
WORDS, TRUST, MESSAGE = "#words [data-testid=words]", "[data-testid=trust]", "#words [data-testid=message]"


@pytest.fixture(scope="module")
def server(finished, tmp_path_factory) -> Iterator[Server]:
    with demo_browser.serving(finished, tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture
def page(server, browser) -> Iterator[Page]:
    visitor = browser.new_context(viewport={"width": 1280, "height": 1000})
    yield opened(visitor.new_page(), server)
    visitor.close()


def opened(page: Page, server: Server) -> Page:
    page.set_default_timeout(PATIENCE)
    page.goto(server.url)
    page.wait_for_selector("#examples img")
    page.wait_for_selector(DRAWN.format("heat-map"))  # of the example that the page opens with
    return page


def upload_and_wait(page: Page, server: Server, path: Path) -> None:
    """Until the model has read what was uploaded, and the page shows so: a verdict stands there from the start."""
    before = server.readings()
    upload(page, path)
    start = time.monotonic()
    while server.readings() == before:
        assert time.monotonic() - start < PATIENCE / 1000
        page.wait_for_timeout(100)
    page.wait_for_selector("[data-testid=verdict]")


def pressed(page: Page) -> list[str]:
    """The examples that are marked as shown."""
    return [image.get_attribute("alt") for image in page.locator("#examples [aria-pressed=true] img").all()]


@pytest.fixture
def analysis(in_study, reader) -> Analysis:
    return Analysis(DemoStudy(), lambda: reader)


@pytest.fixture
def hand(in_study, tmp_path) -> Path:
    """An image of the dataset that is not in the sample."""
    images = pd.read_parquet("data/images.parquet")
    sample = pd.read_parquet("data/sample.parquet")
    other = images[~images["image_id"].isin(sample["image_id"]) & images["label"].isin(sample["label"])]
    (tmp_path / "hand.png").write_bytes(other["image"].iloc[7])
    return tmp_path / "hand.png"


def assert_shows(page: Page, analysis: Analysis, path: Path, site: str, position: str, like_dataset: bool = True):
    """What stands on the page is what the library says of this file."""
    reading = analysis.read(Picture(*open_upload(path)), like_dataset)
    assert_shows_reading(page, analysis, reading, site, position)


def assert_shows_reading(page: Page, analysis: Analysis, reading: Reading, site: str, position: str):
    """What stands on the page is what the library says of this reading."""
    study = analysis.study
    place = study.place(site, position)
    expect(page.locator(WORDS)).to_have_text(reading.answer)
    likeliest = panels.likeliest_table(study, reading.probabilities, place)
    expected = [[row.letter, panels.percent(row.probability)] for row in likeliest.itertuples()]
    for cell, its in zip(("th", "td"), expected[0], strict=True):
        expect(page.locator(f"table[data-testid=likeliest] tbody tr {cell}").first).to_have_text(its)
    assert table(page, "likeliest") == expected
    confidence = panels.confidence_table(study, reading.probabilities, position)
    assert [(row[0], row[2], row[3]) for row in table(page, "confidence")] == [
        (row.site, row.letter, panels.percent(row.probability)) for row in confidence.itertuples()
    ]
    heat_map = panels.heat_map_table(study, reading.probabilities, position)
    assert [row[1:] for row in table(page, "heat-map")] == [
        [panels.percent(share) for share in row] for row in heat_map.to_numpy()
    ]
    familiarity = analysis.familiarity(reading)
    expect(page.locator(TRUST)).to_have_attribute("data-level", familiarity.level)
    expect(page.locator("[data-testid=advice]")).to_have_text(text.ADVICE[familiarity.level])
    expect(page.locator("[data-testid=why]")).to_have_text(text.trust(familiarity, reading.photo is not None))
    nearest = [study.sample["image_id"].iloc[row] for row in analysis.nearest(reading, place).rows]
    shown = page.locator("[data-testid=nearest] img").all()
    assert [re.search(r"Image (\S+),", image.get_attribute("alt")).group(1) for image in shown] == nearest


def test_the_page_opens_with_an_example_in_one_view_and_an_upload_takes_its_place(page, server, analysis, hand):
    place = analysis.study.best
    assert_shows_reading(page, analysis, analysis.read_example(0), *place)
    assert pressed(page) == ["Example of the letter A"]
    for chart in ("confidence", "likeliest", "heat-map"):
        box = page.locator(DRAWN.format(chart)).bounding_box()
        assert box["width"] > 250
        assert box["height"] > 100
        assert box["y"] + box["height"] <= 800  # a laptop's screen
    upload_and_wait(page, server, hand)
    assert_shows(page, analysis, hand, *place)
    assert pressed(page) == []


@pytest.mark.slow
def test_words_can_be_read_in_light_and_dark_charts_follow_and_on_a_phone_the_answer_is_first(server, browser):
    for scheme, width in (("light", 1280), ("dark", 390)):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page = opened(context.new_page(), server)
        assert too_pale(page) == [], scheme
        assert page.get_by_role("button", name="Example of the letter C").count() == 1
        in_charts = page.locator("#confidence-chart svg.marks text").first.evaluate(
            "text => getComputedStyle(text).fill"
        )
        of_page = page.evaluate("getComputedStyle(document.querySelector('#words p')).color")
        assert in_charts == of_page
        places = {part: page.locator(part).bounding_box()["y"] for part in ("#words", "#verdict", "#show", "#panels")}
        if width == 390:
            assert sorted(places, key=places.get) == ["#words", "#verdict", "#show", "#panels"]
            assert places["#verdict"] < 400
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        context.close()


def test_another_layer_and_position_follow_without_the_model(page, server, analysis):
    before = server.readings()
    page.click("#position label:has-text('mean over image tokens')")
    expect(page.locator("#verdict")).to_contain_text("mean over image tokens")
    page.click("#site input")
    page.click("ul[role=listbox] [role=option]:has-text('layer_05')")
    expect(page.locator("#verdict")).to_contain_text("layer_05, mean over image tokens")
    assert_shows_reading(page, analysis, analysis.read_example(0), "layer_05", "image_mean")
    assert server.readings() == before


@pytest.mark.slow
def test_the_switch_shows_the_model_the_whole_picture(page, server, analysis, tmp_path):
    wide = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 120, 3), np.uint8))
    wide.save(tmp_path / "wide.png")
    upload_and_wait(page, server, tmp_path / "wide.png")
    assert_shows(page, analysis, tmp_path / "wide.png", *analysis.study.best)
    like_dataset, before = seen(page), page.get_attribute("[data-testid=seen]", "src")
    page.click("#like-dataset input")
    expect(page.locator("[data-testid=seen]")).not_to_have_attribute("src", before)
    assert not np.array_equal(seen(page), like_dataset)
    assert_shows(page, analysis, tmp_path / "wide.png", *analysis.study.best, like_dataset=False)


@pytest.mark.slow
def test_an_example_of_the_sample_is_said_to_be_one(page, analysis):
    page.locator("#examples button:has(img)").nth(2).click()
    assert_shows_reading(page, analysis, analysis.read(analysis.example(2), True), *analysis.study.best)
    expect(page.locator(TRUST)).to_contain_text("no test of anything")


@pytest.mark.slow
def test_an_example_takes_the_place_of_an_upload(page, server, analysis, hand):
    upload_and_wait(page, server, hand)
    page.locator("#examples button:has(img)").nth(1).click()
    expect(page.locator("#picture button[aria-label='Remove Image']")).to_have_count(0)
    page.wait_for_timeout(1000)
    reading = analysis.read(analysis.example(1), True)
    assert_shows_reading(page, analysis, reading, *analysis.study.best)
    assert pressed(page) == ["Example of the letter B"]


@pytest.mark.slow
def test_a_picture_can_be_pasted(server, browser, analysis, hand):
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = opened(context.new_page(), server)
    page.evaluate(
        """async png => {
            const bytes = Uint8Array.from(atob(png), letter => letter.charCodeAt(0));
            const picture = new ClipboardItem({"image/png": new Blob([bytes], {type: "image/png"})});
            await navigator.clipboard.write([picture]);
        }""",
        base64.b64encode(hand.read_bytes()).decode(),
    )
    page.click("#picture button[aria-label='Paste from clipboard']")
    page.wait_for_selector("[data-testid=verdict]")
    assert_shows(page, analysis, hand, *analysis.study.best)
    context.close()


@pytest.mark.slow
def test_a_picture_can_be_dropped(page, analysis, hand):
    files = page.evaluate_handle(
        """png => {
            const bytes = Uint8Array.from(atob(png), letter => letter.charCodeAt(0));
            const dropped = new DataTransfer();
            dropped.items.add(new File([bytes], "hand.png", {type: "image/png"}));
            return dropped;
        }""",
        base64.b64encode(hand.read_bytes()).decode(),
    )
    page.dispatch_event(
        "#picture button[aria-label='Drop an image file here to upload']", "drop", {"dataTransfer": files}
    )
    page.wait_for_selector("[data-testid=verdict]")
    assert_shows(page, analysis, hand, *analysis.study.best)


@pytest.mark.slow
def test_a_webcam_picture_is_not_mirrored_into_the_model(page):
    page.click("#picture button[aria-label='Capture from camera']")
    page.click("#picture button:has-text('Click to Access Webcam')")
    before = page.get_attribute("[data-testid=seen]", "src")
    page.locator("#picture button[aria-label='capture photo']").click()
    expect(page.locator("[data-testid=seen]")).not_to_have_attribute("src", before)
    shades = seen(page)
    assert shades[:, :15].mean() < 80  # dark on the left, as before the camera
    assert shades[:, -15:].mean() > 170
    assert page.locator("#words [data-testid=note]").count() == 0


@pytest.mark.slow
def test_live_a_frame_a_second_is_read(page, server):
    before = server.readings()
    page.click("button[role=tab]:has-text('Live')")
    page.click("#live button:has-text('Click to Access Webcam')")
    unlike = page.get_attribute("[data-testid=seen]", "src")
    page.locator("#live button[aria-label='capture photo']").click()
    expect(page.locator("[data-testid=seen]")).not_to_have_attribute("src", unlike)
    start, first = time.monotonic(), server.readings()
    while server.readings() < first + 3:
        assert time.monotonic() - start < 60
        page.wait_for_timeout(200)
    assert time.monotonic() - start > 1.5  # no more than one a second
    assert server.readings() > before
    shades = seen(page)
    assert shades[:, :15].mean() < shades[:, -15:].mean()


@pytest.mark.slow
def test_live_stops_when_its_tab_is_left(page, server, hand, analysis):
    page.click("button[role=tab]:has-text('Live')")
    page.click("#live button:has-text('Click to Access Webcam')")
    unlike = page.get_attribute("[data-testid=seen]", "src")
    page.locator("#live button[aria-label='capture photo']").click()
    expect(page.locator("[data-testid=seen]")).not_to_have_attribute("src", unlike)
    page.click("button[role=tab]:has-text('Picture')")
    page.wait_for_timeout(1500)  # for the frame on its way
    upload(page, hand)
    assert_shows(page, analysis, hand, *analysis.study.best)
    before = server.readings()
    page.wait_for_timeout(2500)
    assert server.readings() == before
    assert_shows(page, analysis, hand, *analysis.study.best)


@pytest.mark.slow
def test_no_frame_of_a_webcam_lies_on_the_disk_when_live_has_ended(page, server):
    page.click("button[role=tab]:has-text('Live')")
    page.click("#live button:has-text('Click to Access Webcam')")
    before = {file for file in server.uploads.rglob("*") if file.is_file()}
    unlike = page.get_attribute("[data-testid=seen]", "src")
    page.locator("#live button[aria-label='capture photo']").click()
    expect(page.locator("[data-testid=seen]")).not_to_have_attribute("src", unlike)
    page.wait_for_timeout(2500)
    assert {file for file in server.uploads.rglob("*") if file.is_file()} <= before


@pytest.mark.slow
def test_a_copy_of_a_photo_of_the_sample_is_known_again(page, in_study, tmp_path):
    sample = pd.read_parquet("data/sample.parquet")
    (tmp_path / "known.png").write_bytes(sample["image"].iloc[4])
    upload(page, tmp_path / "known.png")
    expect(page.locator(TRUST)).to_contain_text("a copy of one of the sample's photos")


BAD = [
    (pictures.text, "not a picture that can be read"),
    (pictures.svg, "SVG drawing"),
    (pictures.truncated, "damaged or cut short"),
    (pictures.one_pixel, "too few to show a hand"),
    (pictures.gigantic, "at most 50 megapixels"),
]
UNUSUAL = [
    (pictures.animation, "only the first was taken"),
    (pictures.cmyk, "printing colours"),
    (pictures.sixteen_bit, "upper 8 bits"),
    (pictures.lying_on_its_side, "turned upright"),
]


@pytest.mark.slow
def test_bad_files_get_a_sentence_each_and_the_app_goes_on(page, server, tmp_path, hand):
    for make, sentence in BAD:
        upload(page, make(tmp_path))
        expect(page.locator(MESSAGE)).to_contain_text(sentence)
        expect(page.locator("[data-testid=verdict]")).to_have_count(0)
    upload_and_wait(page, server, hand)
    assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
def test_unusual_pictures_are_read_and_the_visitor_is_told(page, server, tmp_path):
    for make, sentence in UNUSUAL:
        upload(page, make(tmp_path))
        expect(page.locator("#words [data-testid=note]")).to_contain_text(sentence)
        page.wait_for_selector("[data-testid=verdict]")
    assert "Traceback" not in server.log.read_text()
    expect(page.locator("#words [data-testid=note]")).to_have_count(1)
    shades = seen(page)  # of the last, which lay on its side: upright, dark is on the left, below the white corner
    assert shades[30:, :10].mean() < shades[30:, -10:].mean() - 50


@pytest.mark.slow
def test_a_text_that_says_what_it_is_is_refused_before_it_is_sent(page, server, tmp_path):
    before = server.readings()
    (tmp_path / "notes.txt").write_text("Not a picture.")
    upload(page, tmp_path / "notes.txt")
    expect(page.get_by_text(re.compile("Invalid file type|not a picture", re.IGNORECASE)).first).to_be_visible()
    assert server.readings() == before


@pytest.mark.slow
def test_two_visitors_at_once_each_get_their_own(browser, server, analysis, hand, tmp_path):
    Image.fromarray(pictures.shades()).save(tmp_path / "other.png")
    visits = []
    for path in (hand, tmp_path / "other.png"):
        context = browser.new_context()
        visits.append((context, opened(context.new_page(), server), path))
    for _, page, path in visits:
        upload(page, path)
    for _, page, path in visits:
        page.wait_for_selector("[data-testid=verdict]")
        assert_shows(page, analysis, path, *analysis.study.best)
    for context, _, _ in visits:
        context.close()


@pytest.mark.slow
def test_the_page_asks_nobody_but_this_machine(server, browser, hand):
    context = browser.new_context()
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    upload_and_wait(opened(page, server), server, hand)
    context.close()
    assert {url.split("/")[2] for url in asked if url.startswith("http")} == {server.url.split("/")[2]}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_runs_over_the_edge(server, browser, scheme):
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = opened(context.new_page(), server)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for chart in ("confidence", "likeliest", "heat-map"):
        assert page.locator(DRAWN.format(chart)).bounding_box()["width"] <= 360
    context.close()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="no /proc/net/tcp here")
def test_only_this_machine_can_open_the_page(server):
    port = int(server.url.rsplit(":", 1)[1])
    listening = [
        line.split()[1]
        for name in ("/proc/net/tcp", "/proc/net/tcp6")
        if Path(name).exists()
        for line in Path(name).read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
    ]
    assert listening == [f"0100007F:{port:04X}"]


@pytest.mark.slow
def test_uploads_are_gone_from_the_disk_soon(page, server, tmp_path):
    unmistakable = np.random.default_rng(5).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(unmistakable).save(tmp_path / "unmistakable.png")
    content = (tmp_path / "unmistakable.png").read_bytes()
    upload_and_wait(page, server, tmp_path / "unmistakable.png")

    def kept() -> bool:
        return any(file.read_bytes() == content for file in server.uploads.rglob("*") if file.is_file())

    start = time.monotonic()
    assert kept()
    while kept():
        assert time.monotonic() - start < KEPT_SECONDS + 15
        time.sleep(1)
    page.click("#position label:has-text('mean over image tokens')")
    expect(page.locator("#verdict")).to_contain_text("mean over image tokens")
