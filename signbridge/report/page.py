"""The skeleton that every page has: one file that opens with no network and holds its pictures, scripts and images.

Every text that came from data passes Jinja's escaping. The specifications are JSON in which no markup can begin. A
content security policy names, by digest, the only scripts that may run, and lets nothing be loaded.
"""

import base64
import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import vl_convert
from markupsafe import Markup, escape

from signbridge.core.tables import whole_file
from signbridge.report.inputs import LEAKING
from signbridge.report.page_parts import PARTS, Picture, Section, Thumbnail
from signbridge.report.palette import DARK
from signbridge.report.stills import still

HERE = Path(__file__).parent
INDEX = "questions.html"  # which pages were made, for which model, when: written after a run, by signbridge.closing


class Link(NamedTuple):
    """A page as the others name it."""

    asks: str
    shows: str  # what stands first on it
    command: str  # that makes it


# All pages, by file name. Each page links to the others, made or not, so the link names the command.
PAGES = {
    "index.html": Link("Is the letter there, and at which depth?", "probes by depth, with controls", "make repro"),
    "causal.html": Link("Is it used?", "where the answer follows which token, block by block", "make causal"),
    "lenses.html": Link("What do image tokens say in words?", "words by depth", "make lenses"),
    "sae.html": Link("Which sparse features hold it?", "features and what they change", "make sae"),
    "planted.html": Link(
        "Which methods find a variable whose depth is known?", "every method against the truth", "make planted"
    ),
    "pretrained.html": Link(
        "What do autoencoders that others trained see?", "their features by class", "make pretrained"
    ),
    "models.html": Link("How do other models compare?", "models side by side", "make models"),
    "resolution.html": Link(
        "How much of the finding is the picture's size?", "the same photos made smaller", "make resolution"
    ),
    "finetune.html": Link(
        "Does fine-tuning close the gap?", "answers and probes before and after tuning", "make finetune"
    ),
    "motion.html": Link(
        "Does the decoder hold movement, or a bag of hand shapes?", "clips in order and shuffled", "make motion"
    ),
}


@dataclass(frozen=True)
class Page:
    """One page: its question and answer, the facts below them, and its sections."""

    file: str  # one of `PAGES`
    question: str
    answer: tuple[str, ...]  # sentences
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    figure: Picture | None = None  # on the first screen
    no_figure: str = ""  # one line in its place

    @property
    def pictures(self) -> list[Picture]:
        """All pictures, that of the first screen first."""
        return ([self.figure] if self.figure else []) + [one for part in self.sections for one in part.pictures]

    @property
    def scripts(self) -> tuple[str, ...]:
        """The scripts that this page needs."""
        scripts = [_drawing_library()] if any(picture.spec for picture in self.pictures) else []
        scripts.append(_asset("page.js"))
        scripts += [_asset("patch_words.js")] if any(section.patch_words for section in self.sections) else []
        scripts += [_asset("feature_browser.js")] if any(section.features for section in self.sections) else []
        return tuple(scripts)


def html(page: Page, stills: bool = True) -> str:
    """The whole file: equal pages give equal bytes. `stills`: with each chart drawn for where no script runs."""
    others = [(file, link) for file, link in PAGES.items() if file != page.file]
    files = list(PAGES)
    place = files.index(page.file)
    drawn = {one.name: still(one.spec) for one in page.pictures if one.spec} if stills else {}
    written = _template().render(
        page=page,
        asks=PAGES[page.file].asks,
        others=others,
        parts={part: [one for one in page.sections if one.part == part] for part in PARTS},
        named=PARTS,
        before=files[place - 1] if place else None,
        after=files[place + 1] if place + 1 < len(files) else None,
        pages=PAGES,
        stills=drawn,
        index=INDEX,
        style=Markup(_asset("page.css")),
        scripts=[Markup(script) for script in page.scripts],
        policy=_policy(page.scripts),
        dark=_json(DARK),
    )
    return written.replace("\x00", "\N{REPLACEMENT CHARACTER}")  # the one character that no HTML may hold


def write(page: Page, path: Path) -> None:
    """Write the file whole or not at all."""
    with whole_file(path) as unfinished:
        unfinished.write_text(html(page), encoding="utf-8", newline="\n")


@functools.cache
def _drawing_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    return vl_convert.javascript_bundle()


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["json"] = _json
    environment.filters["marked"] = _marked
    environment.tests["thumbnail"] = lambda cell: isinstance(cell, Thumbnail)
    return environment.get_template("template.html.j2")


def _asset(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _marked(text: str) -> Markup:
    """The text, escaped, with the word that says that a number leaks set off."""
    return Markup(f"<mark>{LEAKING}</mark>").join(escape(part) for part in text.split(LEAKING))


def _json(value: dict[str, Any]) -> Markup:
    """JSON that may stand in a script element: without `<` no element can end and no comment begin in it."""
    return Markup(json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))


def _policy(scripts: tuple[str, ...]) -> str:
    """Scripts by their digest, images from the page itself, nothing from anywhere else."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:"
