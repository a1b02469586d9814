"""A real browser in front of a page that a test wrote."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.demo.browser import PATIENCE


@pytest.fixture
def opened(browser) -> Iterator[Callable[..., Page]]:
    """Opens a page; in the end there must have been no error, and no rule of the page's own broken."""
    contexts, complaints = [], []

    def open_page(path: Path, **context) -> Page:
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 1000}, **context}))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request", lambda asked: None if asked.url.startswith(("file:", "data:")) else complaints.append(asked.url)
        )
        page.goto(path.as_uri())
        if context.get("java_script_enabled", True):
            page.wait_for_selector("html[data-drawn]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints
