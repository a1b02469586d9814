"""The page: one file that opens with no network and holds its pictures, its drawing library and its images.

Every text that came from data passes Jinja's escaping; the specifications are JSON in which no markup can begin; and a
content security policy names, by digest, the only scripts that may run, and lets nothing be loaded.
"""

import base64
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup, escape

from signbridge.report.charts.style import DARK
from signbridge.report.page_parts import Thumbnail
from signbridge.report.sections import (
    alignment,
    audit,
    confusions,
    erasure,
    feature_steering,
    features,
    ladder,
    layers,
    lenses,
    patching,
    plane,
    positions,
    pretrained,
    published,
    sae,
    settings,
    steering,
    text,
)
from signbridge.report.sentences import QUESTION, answer
from signbridge.report.study import LEAKING, Study
from signbridge.report.wording import count, percent

HERE = Path(__file__).parent
# In the order of the page.
SECTIONS = (
    ladder, published, positions, layers, confusions, plane, text,
    patching, steering, erasure, lenses, alignment, sae, features, feature_steering, pretrained, audit, settings,
)  # fmt: skip


def page(study: Study) -> str:
    """The whole of `report/index.html`: equal studies give equal bytes."""
    scripts = (_drawing_library(), _asset("page.js"), _asset("patch_words.js"), _asset("feature_browser.js"))
    html = _template().render(
        question=QUESTION,
        answer=answer(study),
        facts=_facts(study),
        curve=ladder.curve(study),
        sections=[module.section(study) for module in SECTIONS],
        style=Markup(_asset("page.css")),
        scripts=[Markup(script) for script in scripts],
        policy=_policy(scripts),
        dark=_json(DARK),
    )
    return html.replace("\x00", "\N{REPLACEMENT CHARACTER}")  # the one character that no HTML may hold


@functools.cache
def _drawing_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    return vl_convert.javascript_bundle()


def _facts(study: Study) -> list[tuple[str, str]]:
    """What stands under the answer: what was looked at, and how."""
    splits = "; ".join(study.protocol_name(protocol) for protocol in study.protocols())
    return [
        ("model", str(study.probe["model"])),
        ("sample", f"{count(study.number('images'))} images of {count(study.number('photos'))} photos"),
        (f"{study.kind}s", f"{count(study.number('letters'))}, chance {percent(study.number('chance'))}"),
        ("splits", splits or "none"),
        *_use(study),
    ]


def _use(study: Study) -> list[tuple[str, str]]:
    """Where the answer is carried, beside where the letter can be read."""
    if study.patching.empty:
        return []
    handover = study.causal["patching_handover_site"]
    return [("used", f"the last token carries the answer from {handover} on (patching)")]


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
    """JSON that may stand in a script element: no `<`, so no end of the element and no comment, can occur in it."""
    return Markup(json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))


def _policy(scripts: tuple[str, ...]) -> str:
    """Scripts by their digest, images from the page itself, nothing from anywhere else."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:"
