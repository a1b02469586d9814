"""The static site and the files of a Space: whole, self-contained, and what the demo says."""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError
from signbridge.demo import site, space, text
from signbridge.demo.analysis import Analysis
from signbridge.demo.study import DemoStudy
from tests.conftest import ROOT


class Links(HTMLParser):
    """Everything that a page fetches or leads to."""

    def __init__(self, page: Path):
        super().__init__()
        self.found: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found |= {value for name, value in attrs if name in {"href", "src"} and not value.startswith("data:")}


@pytest.fixture(scope="module")
def with_pages(finished, tmp_path_factory) -> Path:
    """The finished study with a page and a figure, as `report` writes them, and the model's path as in models.yaml."""
    folder = tmp_path_factory.mktemp("site") / "study"
    shutil.copytree(finished, folder)
    (folder / "report").mkdir()
    (folder / "report/index.html").write_text('<p>The study, and <a href="causal.html">Is it used?</a></p>')
    (folder / "plots/causal").mkdir(parents=True)
    Image.new("L", (8, 8)).save(folder / "plots/causal/effects.png")
    pixels = folder / "data/activations/pixels.parquet"
    made_by = tables.made_by(pixels)
    made_by["model"]["path"] = "models/miniature"
    tables.write(tables.read_arrow(pixels), pixels, made_by)
    (folder / "models").mkdir(exist_ok=True)
    shutil.copytree(ROOT / "models/miniature", folder / "models/miniature", dirs_exist_ok=True)
    return folder


@pytest.fixture
def in_pages(with_pages, monkeypatch) -> Path:
    monkeypatch.chdir(with_pages)
    return with_pages


def test_every_link_of_the_site_leads_to_a_file_of_it_and_none_to_the_network(in_pages, tmp_path, reader):
    study = DemoStudy()
    site.write(tmp_path / "site", study)
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) == 3 + len(study.letters)
    reached = set()
    for page in pages:
        for link in Links(page).found:
            target = (page.parent / link.partition("#")[0]).resolve() if link[0] != "#" else page.resolve()
            assert target.is_file(), (page, link)
            reached.add(target)
        assert "<script" not in page.read_text() or page.parent.name == "report"
    every = {path.resolve() for path in (tmp_path / "site").rglob("*") if path.is_file()}
    assert every - reached == {(tmp_path / "site/.nojekyll").resolve()}
    example = (tmp_path / "site/gallery/B.html").read_text()
    assert example.count("<svg") == 3
    assert '"sb-chart"' in example
    assert_says_what_the_demo_says(study, reader, example)


def assert_says_what_the_demo_says(study: DemoStudy, reader, example: str) -> None:
    """Letters, shares and the verdict: from stored vectors as from the model."""
    analysis = Analysis(study, lambda: reader)
    reading = analysis.read_example(study.letters.index("B"))
    said = text.verdict(study, reading, study.best, analysis.familiarity(reading))
    level = re.search(r'data-level="(\w+)"', said).group(1)
    assert f'data-level="{level}"' in example
    letter = re.search(r"The probe at \S+, [a-z ]+ says (\w+)", said).group(0)
    assert letter in example
    assert f">{reading.answer}<" in example


def test_images_that_may_not_be_passed_on_are_on_no_site_and_no_space(in_pages, tmp_path, monkeypatch):
    noted = tables.made_by("data/images.parquet") | {"dataset": "theirs", "pass_on": False}
    as_it_is = tables.made_by
    monkeypatch.setattr(tables, "made_by", lambda path: noted if Path(path) == space.IMAGES else as_it_is(path))
    site.write(tmp_path / "site", DemoStudy())
    assert not (tmp_path / "site/gallery").exists()
    assert "the licence of theirs does not let them be passed on" in (tmp_path / "site/index.html").read_text()
    with pytest.raises(SignBridgeError, match="the licence of theirs"):
        space.write(tmp_path / "space")
    assert not (tmp_path / "space").exists()


def test_a_site_before_there_is_a_page_is_one_message(workspace, finished, monkeypatch):
    shutil.copytree(finished / "data", "data")
    monkeypatch.setattr(sys, "argv", ["site"])
    assert "report/index.html: no page here yet" in workspace.message_of_failure(site.main)


def test_a_space_holds_what_it_needs_and_pins_what_the_project_pins(in_pages, tmp_path):
    space.write(tmp_path / "space")
    there = {path.relative_to(tmp_path / "space").as_posix() for path in (tmp_path / "space").iterdir()}
    assert {"app.py", "requirements.txt", "README.md", "signbridge", "params.yaml", "data"} <= there
    assert not list((tmp_path / "space").rglob("__pycache__"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    pins = dict(re.split(r"(?:\[.*\])?==", pin) for group in groups for pin in group)
    lines = [line for line in (ROOT / "space/requirements.txt").read_text().splitlines() if "==" in line]
    assert len(lines) > 15
    assert dict(line.split("==") for line in lines).items() <= pins.items()
    card = (ROOT / "space/README.md").read_text().split("---")[1]
    assert f"sdk_version: {pins['gradio']}\n" in card
    assert "app_file: app.py\n" in card


def test_the_app_of_a_space_serves_to_all_and_says_where_pictures_go(in_study, tmp_path, monkeypatch, reader):
    import gradio

    asked, loaded = [], []
    monkeypatch.setattr(
        gradio.Blocks, "launch", lambda self, **options: asked.append((self, options)) or (None, "", None)
    )
    monkeypatch.setattr(gradio.Blocks, "block_thread", lambda self: loaded.append(True))
    monkeypatch.setattr("signbridge.demo.__main__.open_reader", lambda study: reader)
    monkeypatch.setenv("SIGNBRIDGE_DEVICE", "cpu")
    shutil.copy(ROOT / "space/app.py", in_study / "app.py")
    spec = importlib.util.spec_from_file_location("space_app", in_study / "app.py")
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    app.main()
    (page, options) = asked[0]
    assert (options["server_name"], options["share"]) == ("0.0.0.0", False)
    assert any(
        "this Space of Hugging Face" in str(block.value) for block in page.blocks.values() if hasattr(block, "value")
    )
    assert loaded == [True]


@pytest.mark.slow
def test_a_space_starts_by_itself(in_pages, tmp_path):
    """Its own copy of the code, in a folder that knows nothing of the project."""
    space.write(tmp_path / "space")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1"}
    with (tmp_path / "log").open("w") as log:
        started = subprocess.Popen(
            [sys.executable, str(tmp_path / "space/app.py")], cwd=tmp_path, env=environment, stdout=log, stderr=log
        )
    try:
        for _ in range(900):
            said = (tmp_path / "log").read_text()
            if "Ready." in said or started.poll() is not None:
                break
            time.sleep(0.2)
        assert "Ready." in said, said
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=30).read().decode()
        assert "Space of Hugging Face" in page
    finally:
        started.terminate()
        started.wait(timeout=30)


@pytest.mark.parametrize("command", [site, space])
@pytest.mark.parametrize("there", ["notes.txt", "mine/index.html"])
def test_what_another_has_written_is_not_lost(in_pages, tmp_path, monkeypatch, command, there):
    kept = tmp_path / there
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine", encoding="utf-8")
    named = kept if kept.parent == tmp_path else kept.parent
    monkeypatch.setattr(sys, "argv", ["site", str(named)])
    with pytest.raises(SignBridgeError, match="something else is there, and would be lost"):
        command.main()
    assert kept.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("command", [site, space])
def test_where_nothing_can_be_written_is_said_before_anything_is_read(in_pages, tmp_path, monkeypatch, command):
    monkeypatch.setattr(os, "access", lambda path, how: (Path(path), how) != (tmp_path, os.W_OK))
    monkeypatch.setattr(command, "write", lambda folder: pytest.fail("began to write"))
    monkeypatch.setattr(sys, "argv", ["site", str(tmp_path / "new/site")])
    with pytest.raises(SignBridgeError, match=f"nothing can be written in {tmp_path}. Name a folder elsewhere"):
        command.main()
