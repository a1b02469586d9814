"""The five pages: the question and the answer of each, what was looked at, and its sections in order."""

from collections.abc import Sequence

from signbridge.report import settings
from signbridge.report.inputs import Inputs, Study
from signbridge.report.page import Page
from signbridge.report.page_parts import Section
from signbridge.report.sections import (
    audit,
    confusions,
    ladder,
    layers,
    plane,
    positions,
    published,
    text,
)
from signbridge.report.sentences import QUESTION, answer
from signbridge.report.wording import count, percent

NO_CURVE = "There is no curve here: the protocol that keeps all copies of a photo on one side of the split was not run."


def study_page(study: Study) -> Page:
    """`report/index.html`: is the letter there, at which depth, and is it real?"""
    sections = [module.section(study) for module in (ladder, published, positions, layers, confusions, plane, text)]
    sections += [audit.section(study), settings.section(study.settings)]
    splits = "; ".join(study.protocol_name(protocol) for protocol in study.protocols())
    facts = (
        ("model", str(study.found["model"])),
        ("sample", f"{count(study.found.number('images'))} images of {count(study.found.number('photos'))} photos"),
        (f"{study.kind}s", f"{count(study.found.number('letters'))}, chance {percent(study.found.number('chance'))}"),
        ("splits", splits or "none"),
    )
    return Page("index.html", QUESTION, answer(study), facts, _shown(sections), ladder.curve(study), NO_CURVE)


def _shown(sections: Sequence[Section | None]) -> tuple[Section, ...]:
    """The sections of what was run."""
    return tuple(section for section in sections if section is not None)


def _facts(inputs: Inputs) -> tuple[tuple[str, str], ...]:
    """What stands under the answer of a further question."""
    photos = inputs.sample["photo"].nunique()
    return (
        ("model", str(inputs.found["model"])),
        ("sample", f"{count(len(inputs.sample))} images of {count(photos)} photos"),
        (f"{inputs.kind}s", f"{count(inputs.sample['label'].nunique())}, chance {percent(inputs.chance)}"),
    )
