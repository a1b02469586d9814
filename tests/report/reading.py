"""A page as a browser takes it apart: what it loads, shows, draws and says."""

import functools
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from signbridge.report.inputs import Inputs
from tests.report import made_up

VOID = {"meta", "img", "br", "link", "input"}
UNSEEN = {"script", "style", "title"}


@dataclass
class Element:
    """One element, with the text directly in it and below it."""

    tag: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    def all(self, tag: str, **attributes: str) -> list["Element"]:
        """The elements below it with that tag (or `*`) and those attributes, in order."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                named = {name.rstrip("_"): value for name, value in attributes.items()}
                if tag in ("*", child.tag) and named.items() <= child.attributes.items():
                    found.append(child)
                found += child.all(tag, **attributes)
        return found

    @property
    def raw(self) -> str:
        """All text in it, as it stands."""
        return "".join(child if isinstance(child, str) else child.raw for child in self.children)

    @property
    def text(self) -> str:
        """The text that is shown, its spaces evened out."""
        parts = [
            child if isinstance(child, str) else child.text
            for child in self.children
            if isinstance(child, str) or child.tag not in UNSEEN
        ]
        return re.sub(r"\s+", " ", " ".join(parts)).strip().replace(" ,", ",").replace(" :", ":").replace(" ;", ";")


class Page(HTMLParser):
    """The tree of a page. Fails on an element that is closed in the wrong place."""

    def __init__(self, html: str):
        """Take `html` apart."""
        super().__init__()
        self.root = Element("document", {})
        self._open = [self.root]
        self.feed(html)
        assert self._open == [self.root], f"never closed: {[element.tag for element in self._open[1:]]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A new element, below the one that is open."""
        element = Element(tag, {name: value or "" for name, value in attrs})
        assert len(element.attributes) == len(attrs), f"an attribute twice in <{tag}>"
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        """The open element ends."""
        assert self._open.pop().tag == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        """Text."""
        self._open[-1].children.append(data)

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """The elements with that tag and those attributes."""
        return self.root.all(tag, **attributes)

    @property
    def text(self) -> str:
        """All text that is shown."""
        return self.root.text

    @property
    def answer(self) -> list[str]:
        """The sentences that head the page."""
        return [element.text for element in self.all("p", class_="answer")]

    @property
    def specs(self) -> dict[str, dict[str, Any]]:
        """The charts' specifications by the id of the figure."""
        scripts = [script for script in self.all("script") if "data-place" in script.attributes]
        return {script.attributes["data-place"].removesuffix("-chart"): json.loads(script.raw) for script in scripts}

    def figure(self, name: str) -> Element:
        """The figure of that id."""
        [figure] = self.all("figure", id=name)
        return figure

    def section(self, name: str) -> Element:
        """The section of that id."""
        [section] = self.all("section", id=name)
        return section

    def ids_used_twice(self) -> list[str]:
        """Ids that name more than one element."""
        ids = Counter(element.attributes["id"] for element in self.all("*") if "id" in element.attributes)
        return [name for name, count in ids.items() if count > 1]


@functools.cache
def usual_page(run: Callable[[], Inputs]) -> Page:
    """The page of a made-up run as it is, made and taken apart once for all tests, which only look at it."""
    return Page(made_up.page(run()))


def rows_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """All data rows of a specification."""
    return [row for rows in spec["datasets"].values() for row in rows]


def places_of(settings: Element) -> list[str]:
    """The files and entries that the table of settings names, in order; the first row has the names of the columns."""
    rows = settings.all("tr")[1:]
    return list(dict.fromkeys((row.all("th") + row.all("td"))[0].text for row in rows))
