"""A real browser, headless, in front of the demo: Debian's chromium, driven by Playwright."""

import base64
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import ROOT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_BROWSER = "no Chromium here: apt-get install chromium"
CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
PATIENCE = 60_000  # milliseconds: the machine may have other work

expect.set_options(timeout=PATIENCE / 2)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)


class Server(NamedTuple):
    """A demo that runs as a user runs it."""

    url: str
    log: Path
    uploads: Path  # where its files would lie

    def readings(self) -> int:
        """How many pictures the model has read."""
        return self.log.read_text().count("Read a picture")


@contextmanager
def serving(folder: Path, scratch: Path, *arguments: str) -> Iterator[Server]:
    """`python -m signbridge.demo` in `folder`, until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (scratch / "tmp").mkdir(exist_ok=True)
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "SIGNBRIDGE_DEVICE": "cpu",
        "TMPDIR": str(scratch / "tmp"),
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, "-m", "signbridge.demo", "--port", str(port), *arguments]
    with (scratch / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    server = Server(f"http://127.0.0.1:{port}", scratch / "log", scratch / "tmp")
    try:
        _wait_until_it_answers(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_until_it_answers(server: Server, process: subprocess.Popen) -> None:
    for _ in range(600):
        assert process.poll() is None, server.log.read_text()
        try:
            urllib.request.urlopen(server.url, timeout=5)
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(server.log.read_text())


@contextmanager
def chromium(scratch: Path) -> Iterator[Browser]:
    """Chromium, headless, until the block ends. Its camera films a wall, dark on the left and bright on the right."""
    half = np.zeros((480, 640, 3), np.uint8) + 30
    half[:, 320:] = 220
    film = fake_camera(scratch, Image.fromarray(half))
    options = [*CAMERA, f"--use-file-for-fake-video-capture={film}", "--no-sandbox"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield running
        running.close()


def fake_camera(folder: Path, picture: Image.Image) -> Path:
    """A film for Chromium's fake camera that shows `picture` for ever."""
    frame = io.BytesIO()
    picture.convert("RGB").save(frame, format="JPEG", quality=95)
    (folder / "camera.mjpeg").write_bytes(frame.getvalue() * 20)
    return folder / "camera.mjpeg"


def upload(page: Page, path: Path) -> None:
    """Choose a file, as in the file dialogue; a picture that is there is cleared first."""
    clear = page.locator("#picture button[aria-label='Remove Image']")
    if clear.count():
        clear.click()
        page.locator("#picture input[type=file]").wait_for(state="attached")
    page.set_input_files("#picture input[type=file]", path)


def table(page: Page, name: str) -> list[list[str]]:
    """The rows of a panel's table."""
    rows = page.locator(f"table[data-testid={name}] tbody tr").all()
    return [[cell.text_content().strip() for cell in row.locator("th, td").all()] for row in rows]


def seen(page: Page) -> np.ndarray:
    """What the page says the model saw, in grey."""
    uri = page.get_attribute("[data-testid=seen]", "src")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(re.sub("^.*,", "", uri)))).convert("L")).astype(int)


# The words of the page whose contrast with what lies behind them is below 4.5 (3 for large ones): WCAG 2.2, 1.4.3.
# Colours are what `getComputedStyle` says of the words and of everything around them, mixed by their opacity.
TOO_PALE = """() => {
    const parsed = colour => {
        const numbers = colour.match(/[\\d.]+/g).map(Number);
        const scale = colour.startsWith("color(") ? 255 : 1;
        return [...numbers.slice(0, 3).map(shade => scale * shade), numbers[3] ?? 1];
    };
    const over = (top, share, below) => below.map((shade, i) => share * top[i] + (1 - share) * shade);
    const linear = s => s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
    const luminance = shades => shades.map(s => linear(s / 255))
        .reduce((sum, s, i) => sum + s * [0.2126, 0.7152, 0.0722][i], 0);
    const found = [];
    const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (words.nextNode()) {
        const text = words.currentNode.textContent.trim(), element = words.currentNode.parentElement;
        if (!text || !element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
        if (element.closest("style, script, noscript, svg")) continue;
        const around = [];
        for (let one = element; one; one = one.parentElement) around.unshift(getComputedStyle(one));
        let behind = [255, 255, 255], opacity = 1;
        for (const style of around) {
            opacity *= Number(style.opacity);
            const [red, green, blue, alpha] = parsed(style.backgroundColor);
            behind = over([red, green, blue], alpha, behind);
        }
        const style = around.at(-1), [red, green, blue, alpha] = parsed(style.color);
        const front = over([red, green, blue], alpha * opacity, behind);
        const [light, dark] = [luminance(front), luminance(behind)].sort((a, b) => b - a);
        const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
        const large = size >= (bold ? 18.66 : 24);
        const contrast = (light + 0.05) / (dark + 0.05);
        if (contrast < (large ? 3 : 4.5)) found.push(`${text.slice(0, 40)}: ${contrast.toFixed(2)}`);
    }
    return found;
}"""


def too_pale(page: Page) -> list[str]:
    """The words that are hard to read, each with its contrast."""
    return page.evaluate(TOO_PALE)
