"""How long a visitor of the demo waits: from the click on a picture to the panels, in a real browser.

    python -m benchmarks.demo [--keep]

Run it where `dvc repro` has been run, with Debian's chromium. The page is opened as a user opens it; each image of the
gallery is clicked in turn, and the time is the page's own, until words, tables and charts of that picture stand there.
Beside it: the model's share of it, as the demo logs it. `--keep` appends the table to benchmarks/results/demo.md.
"""

import argparse
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

from benchmarks.machine import describe, keep

CHART = "#heat-map-chart [data-testid=altair] .marks"


@contextmanager
def serving(log: Path) -> Iterator[str]:
    """The demo of the working folder, until the block ends: its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w") as output:
        command = [sys.executable, "-m", "signbridge.demo", "--port", str(port)]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        while "The model is loaded" not in log.read_text():
            if process.poll() is not None:
                sys.exit(log.read_text())
            time.sleep(0.2)
        urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=60)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def seconds_to_panels(page: Page, example: int) -> float:
    """Click an image of the gallery; how long until the nearest images of the sample, the last part, are others."""
    before = page.locator("[data-testid=nearest]")
    before = before.inner_html() if before.count() else ""
    start = time.perf_counter()
    page.locator("#examples button:has(img)").nth(example).click()
    page.wait_for_function(
        "before => (document.querySelector('[data-testid=nearest]')?.innerHTML ?? before) != before",
        arg=before,
        polling=10,
    )
    page.wait_for_selector(CHART)
    return time.perf_counter() - start


def main() -> None:
    """Print the table; with --keep also keep it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="append the table to benchmarks/results/demo.md")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("error: no chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory() as name, serving(Path(name) / "log") as url, sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page()
        page.goto(url)
        page.wait_for_selector("#examples img")
        first, *warm = [seconds_to_panels(page, example) for example in range(page.locator("#examples img").count())]
        log = (Path(name) / "log").read_text()
        of_model = [float(seconds) for seconds in re.findall(r"Read a picture in (\S+) s", log)]
    lines = [
        describe(),
        "",
        "pictures | first (s) | median of the others (s) | slowest (s) | of them the model's, median (s)",
        f"{len(warm) + 1} | {first:.2f} | {np.median(warm):.2f} | {max(warm):.2f} | {np.median(of_model):.2f}",
    ]
    print("\n".join(lines))
    if arguments.keep:
        keep("demo", lines)


if __name__ == "__main__":
    main()
