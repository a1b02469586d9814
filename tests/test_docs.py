"""What the README and docs/ say is so: figures are those of the committed metrics, links and names lead somewhere."""

import json
import re
import subprocess
import unicodedata
from pathlib import Path
from typing import NamedTuple

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
# A figure, at most a unit, and directly after it the comment that names its metric.
FIGURE = re.compile(
    r"(?:(?P<number>[-−+]?\d[\d,]*(?:\.\d+)?)(?P<unit> ?(?:%|[a-z]+(?: a token)?))?|`(?P<text>[^`\n]+)`)\**"
    r"<!-- (?P<file>\S+\.json) (?P<key>\S+) -->"
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
DEFAULT_STUDY = ("rendered", "miniature")
EXAMPLES = ("brightness", "light")  # the stage and the question that docs/adding.md adds


class Figure(NamedTuple):
    """One figure of a page, as it is shown, and where it comes from."""

    shown: str
    unit: str
    file: str
    key: str


def figures(text: str) -> list[Figure]:
    """All figures of a page that name their metric."""
    found = FIGURE.finditer(re.sub(r"\s*\n\s*(?=<!--)", "", text))
    return [Figure(it["text"] or it["number"], (it["unit"] or "").strip(), it["file"], it["key"]) for it in found]


def says(figure: Figure, value: float | str) -> bool:
    """Whether the figure is the metric at the digits that are shown; a share may be shown in percent."""
    if isinstance(value, str):
        return figure.shown == value
    shown = figure.shown.replace(",", "").replace("−", "-")
    digits = len(shown.partition(".")[2])
    as_percent = figure.unit in ("%", "points")
    scales = (
        (100,) if as_percent else (1,) if "." in shown and digits > 1 else (1, 100)
    )  # 94 to 99 %: the first has none
    # Metrics keep four digits after the point, so that the last shown may be that of the next.
    return any(abs(scale * value - float(shown)) <= 0.5 * 10**-digits + 1e-9 for scale in scales)


def committed(file: str) -> str | None:
    """The text of a file as it was last committed; of one that git does not hold as it is; None if there is none.

    A run on another processor changes the metrics of the working tree, and not what the pages quote.
    """
    shown = subprocess.run(["git", "show", f"HEAD:{file}"], cwd=ROOT, capture_output=True, text=True, check=False)
    if shown.returncode == 0:
        return shown.stdout
    return (ROOT / file).read_text(encoding="utf-8") if (ROOT / file).exists() else None


def nothing_is(wrong: list[str], name: str) -> None:
    """Fail with all that is wrong on a page, a line each."""
    if wrong:
        pytest.fail("\n  ".join([f"{name}:", *wrong]), pytrace=False)


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_the_committed_metric_at_the_digits_shown(name):
    chosen = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    if (chosen["dataset"], chosen["model"]) != DEFAULT_STUDY:
        pytest.skip("the study in this folder is another")
    wrong = []
    for figure in figures((ROOT / name).read_text(encoding="utf-8")):
        if figure.file.startswith("data/") and not (ROOT / figure.file).exists():
            continue  # not in git: it is there once the pipeline has run
        value = json.loads(committed(figure.file) or "{}").get(figure.key)
        if value is None:
            wrong.append(f"{figure.file} {figure.key}: there is no such metric")
        elif not says(figure, value):
            wrong.append(f"{figure.file} {figure.key}: {figure.shown} {figure.unit} is shown, it is {value}")
    nothing_is(wrong, name)


@pytest.mark.parametrize("name", NAMES)
def test_every_comment_that_names_a_metric_follows_a_figure(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert len(figures(text)) == len(re.findall(r"<!--\s*(?:metrics|data)/", text))


def test_the_readme_shows_figures():
    assert len(figures((ROOT / "README.md").read_text(encoding="utf-8"))) >= 5


@pytest.mark.parametrize(
    ("text", "value", "right"),
    [
        ("96.9 %<!-- metrics/a.json b -->", 0.9693, True),
        ("96.8 %<!-- metrics/a.json b -->", 0.9693, False),
        ("**100 %**<!-- metrics/a.json b -->", 0.9967, True),
        ("from 94<!-- metrics/a.json b -->", 0.9443, True),
        ("0.93<!-- metrics/a.json b -->", 0.931, True),
        ("0.93<!-- metrics/a.json b -->", 0.0093, False),
        ("4.32 bits<!-- metrics/a.json b -->", 4.3219, True),
        ("0.5 points<!-- metrics/a.json b -->", 0.5, False),
        ("−0.6 points\n<!-- metrics/a.json b -->", -0.006, True),
        ("1,500<!-- metrics/a.json b -->", 1500, True),
        ("`layer_11`<!-- metrics/a.json b -->", "layer_11", True),
        ("`layer_10`<!-- metrics/a.json b -->", "layer_11", False),
    ],
)
def test_a_figure_is_held_to_its_metric(text, value, right):
    (figure,) = figures(text)
    assert (figure.file, figure.key) == ("metrics/a.json", "b")
    assert says(figure, value) == right


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page may end with."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = [re.sub(r"[`*]|<!--.*?-->", "", heading).strip().lower() for heading in headings]
    kept = ["".join(c for c in name if c in " -_" or unicodedata.category(c)[0] in "LN") for name in plain]
    return {name.replace(" ", "-") for name in kept}


@pytest.mark.parametrize("name", NAMES)
def test_every_link_within_the_project_leads_somewhere(name):
    page = ROOT / name
    lost = []
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or (anchor and linked.suffix == ".md" and anchor not in anchors(linked)):
            lost.append(target)
    nothing_is(lost, name)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_module_and_make_target_that_is_named_exists(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*)(?= *:(?!=))|(?<=\.PHONY: )(.+)$", makefile(), re.MULTILINE))
    targets = {word for pair in targets for part in pair for word in part.split()} | {"causal", "lenses", "sae"}
    lost = []
    for code in [*CODE.findall(text), *re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)]:
        code = re.sub(rf"\S*\b(?:QUESTION|NAME|{'|'.join(EXAMPLES)})\b\S*", "", code)  # the first two stand for any
        modules = re.findall(r"(?<=python -m )((?:stages|signbridge|benchmarks|models)[\w.]*)", code)
        files = re.findall(r"(?<![\w/.])((?:stages|signbridge|tests|benchmarks|models)/[\w/.-]*[\w/])", code)
        made = re.findall(r"(?:^|(?<=\n))make ([a-z][a-z-]*)", code)
        lost += [module for module in modules if not is_module(module)]
        lost += [file for file in files if not (ROOT / file).exists()]
        lost += [f"make {target}" for target in made if target not in targets]
    nothing_is(lost, name)


def makefile() -> str:
    """The Makefile, with its list of questions in place."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    questions = re.search(r"^QUESTIONS := (.+)$", text, re.MULTILINE)[1]
    return text.replace("$(QUESTIONS)", questions)


def is_module(name: str) -> bool:
    """Whether Python could run it with `-m`."""
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
