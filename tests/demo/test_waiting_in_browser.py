"""A slow model: the page is there before it, visitors wait in line and see their place, and a failure is a sentence."""

import inspect
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, expect

from signbridge.core.errors import SignBridgeError
from signbridge.demo.analysis import Analysis
from signbridge.demo.app import Handlers, build
from signbridge.demo.layout import launch_options
from signbridge.demo.study import DemoStudy
from tests.demo import pictures
from tests.demo.browser import (
    PATIENCE,
    needs_browser,
    upload,
)

pytestmark = [pytest.mark.slow, needs_browser]  # visitors wait for one another


@pytest.fixture(autouse=True)
def as_gradio_sees_them(monkeypatch):
    """Without the tests' type checks, under which a generator does not look like one to Gradio."""
    for name in ("on_open", "on_picture", "on_example", "on_switch"):
        monkeypatch.setattr(Handlers, name, inspect.unwrap(getattr(Handlers, name)))


@contextmanager
def launched(open_reader, page=None) -> Iterator[str]:
    page = page or build(Analysis(DemoStudy(), open_reader))
    _, url, _ = page.launch(server_name="127.0.0.1", **launch_options())
    try:
        yield url
    finally:
        page.close()


def visit(browser: Browser, url: str):
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(url)
    page.wait_for_selector("#examples img")
    return page


def test_the_page_is_there_before_the_model_and_the_picture_is_read_when_it_comes(in_study, reader, browser, tmp_path):
    loaded = threading.Event()

    def slowly():
        loaded.wait(60)
        return reader

    with launched(slowly) as url:
        page = visit(browser, url)
        upload(page, pictures.png(tmp_path))
        expect(page.locator("#words")).to_contain_text("The model is being loaded")
        loaded.set()
        page.wait_for_selector("[data-testid=verdict]")


def test_visitors_wait_in_line_and_see_their_place(in_study, reader, browser, tmp_path, monkeypatch):
    turn, at_once, most = threading.Semaphore(1), [], []  # the example that the first page opens with has its turn
    prepare = reader.prepare

    def when_it_is_time(images):
        at_once.append(1)
        most.append(len(at_once))
        turn.acquire(timeout=60)
        at_once.pop()
        return prepare(images)

    monkeypatch.setattr(reader, "prepare", when_it_is_time)
    with launched(lambda: reader) as url:
        pages = [visit(browser, url) for _ in range(3)]
        for page in pages:
            page.wait_for_selector("[data-testid=verdict]")
        for page in pages:
            upload(page, pictures.png(tmp_path))
            page.wait_for_timeout(700)
        expect(pages[2].locator("#words")).to_contain_text("queue: 2/2")
        expect(pages[1].locator("#words")).to_contain_text("queue: 1/")
        for _ in pages:
            turn.release()
        for page in pages:
            expect(page.locator("#examples [aria-pressed=true]")).to_have_count(0)
            expect(page.locator("#words")).not_to_contain_text(re.compile("queue|processing"))
            page.wait_for_selector("[data-testid=verdict]")
    assert len(most) == 1 + len(pages)
    assert max(most) == 1


def test_a_layer_that_is_chosen_while_a_picture_waits_is_the_one_that_is_shown(
    in_study, reader, browser, tmp_path, monkeypatch
):
    go_on, prepare = threading.Event(), reader.prepare
    monkeypatch.setattr(reader, "prepare", lambda images: go_on.wait(60) and prepare(images))
    with launched(lambda: reader) as url:
        page = visit(browser, url)
        upload(page, pictures.png(tmp_path))
        page.click("#site input")
        page.click("ul[role=listbox] [role=option]:has-text('layer_05')")
        go_on.set()
        expect(page.locator("#verdict")).to_contain_text("The probe at layer_05")


def test_what_was_shown_is_forgotten_when_the_page_is_closed(in_study, reader, browser, tmp_path):
    app = build(Analysis(DemoStudy(), lambda: reader))
    with launched(lambda: reader, app) as url:
        page = visit(browser, url)
        upload(page, pictures.png(tmp_path))
        page.wait_for_selector("[data-testid=verdict]")
        assert len(app.state_holder.session_data) == 1
        page.context.close()
        waited = 0
        while app.state_holder.session_data and waited < 100:
            waited += 1
            time.sleep(0.2)
        assert not app.state_holder.session_data


def test_an_error_nobody_thought_of_is_a_sentence_and_the_next_picture_is_read(
    in_study, reader, browser, tmp_path, monkeypatch
):
    prepare, first = reader.prepare, iter([True])

    def once_broken(images):
        if next(first, False):
            raise RuntimeError("CUDA error: out of memory")
        return prepare(images)

    monkeypatch.setattr(reader, "prepare", once_broken)
    with launched(lambda: reader) as url:
        page = visit(browser, url)
        upload(page, pictures.png(tmp_path))
        expect(page.locator("#words [role=alert]")).to_contain_text("Something went wrong here")
        upload(page, pictures.cmyk(tmp_path))
        page.wait_for_selector("[data-testid=verdict]")


def test_a_model_that_cannot_be_loaded_is_a_sentence_on_the_page(in_study, browser, tmp_path):
    def broken():
        raise SignBridgeError("models/miniature: no weights here.")

    with launched(broken) as url:
        page = visit(browser, url)
        upload(page, pictures.png(tmp_path))
        expect(page.locator("#words [role=alert]")).to_have_text("models/miniature: no weights here.")
