"""The index of the pages: which questions were run here, for which model, and when.

No stage writes it. A stage's outputs hold no date, so that equal inputs give equal bytes. This file is made after each
run, of the pages that lie in a folder.
"""

import html
import re
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import jinja2
from markupsafe import Markup

from signbridge.core.tables import whole_file
from signbridge.report.page import HERE, INDEX, PAGES

HEAD = 8000  # characters of a page, in which its model is named
MODEL = re.compile(r'<meta name="signbridge-model" content="([^"]*)">')


class Row(NamedTuple):
    """A question, and the run of it if there is one."""

    file: str
    asks: str
    shows: str
    command: str
    model: str
    when: str  # empty where it was not run


def rows(folder: Path) -> list[Row]:
    """Every question, in order, with what its page in `folder` says of itself and the time of that file."""
    found = []
    for file, link in PAGES.items():
        path = folder / file
        model = when = ""
        if path.exists():
            with path.open(encoding="utf-8") as text:
                named = MODEL.search(text.read(HEAD))
            model = html.unescape(named[1]) if named else "not said"
            when = datetime.fromtimestamp(path.stat().st_mtime).strftime("%Y-%m-%d %H:%M")
        found.append(Row(file, *link, model, when))
    return found


def write(folder: Path) -> Path:
    """Write the index into `folder`, whole or not at all, and say where it lies."""
    found = rows(folder)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    style = Markup((HERE / "page.css").read_text(encoding="utf-8"))
    template = environment.get_template("questions.html.j2")
    text = template.render(rows=found, run=sum(bool(row.when) for row in found), style=style)
    with whole_file(folder / INDEX) as unfinished:
        unfinished.write_text(text, encoding="utf-8", newline="\n")
    return folder / INDEX
