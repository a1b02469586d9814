"""The pages: the question and the answer of each, the facts below them, and the sections in order."""

from collections.abc import Sequence
from dataclasses import replace

from signbridge.report import settings
from signbridge.report.inputs import Causal, Inputs, Lenses, Models, Planted, Pretrained, Resolution, Sae, Study
from signbridge.report.page import Page
from signbridge.report.page_parts import Section
from signbridge.report.sections import (
    alignment,
    audit,
    clips,
    confusions,
    drift,
    erasure,
    feature_steering,
    features,
    finetune,
    is_it_real,
    knockout,
    ladder,
    layers,
    learning_curve,
    lenses,
    minimal_pairs,
    models,
    motion,
    order,
    patching,
    plane,
    planted,
    positions,
    pretrained,
    published,
    resolution,
    sae,
    steering,
    text,
    told_fingers,
    tuned_layers,
)
from signbridge.report.sections.finetune import Finetune
from signbridge.report.sections.motion import Motion
from signbridge.report.sentences import QUESTION, answer, few_groups
from signbridge.report.wording import count, percent

NO_CURVE = "There is no curve here: the protocol that keeps {whole} on one side of the split was not run."


def study_page(study: Study) -> Page:
    """`report/index.html`: is the letter there, at which depth, and is it real?"""
    parts = (ladder, published, positions, layers, learning_curve, confusions, plane, text)
    sections = [is_it_real.of_study(study), audit.section(study), *(module.section(study) for module in parts)]
    sections.append(settings.section(study.settings))
    splits = "; ".join(study.protocol_name(protocol) for protocol in study.protocols())
    facts = (
        ("model", str(study.found["model"])),
        ("sample", f"{count(study.found.number('images'))} images of {count(study.found.number('photos'))} photos"),
        *_said_of_images(study),
        (f"{study.kind}s", f"{count(study.found.number('letters'))}, chance {percent(study.found.number('chance'))}"),
        ("splits", splits or "none"),
    )
    no_curve = NO_CURVE.format(whole=study.group.whole)
    return Page("index.html", QUESTION, answer(study), facts, _shown(sections), ladder.curve(study), no_curve)


def causal_page(inputs: Causal) -> Page:
    """`report/causal.html`: is what the probe reads used?"""
    parts = (patching, knockout, minimal_pairs, steering, erasure)
    sections = [is_it_real.of_causal(inputs), *(module.section(inputs) for module in parts)]
    question = "A probe reads the {kind} from the decoder. Does the model use it for its answer, and where?"
    answer = [sentence for module in parts for sentence in module.answer(inputs)]
    page = _page("causal.html", question, answer, inputs, sections)
    return replace(page, figure=patching.figure(inputs), no_figure=patching.NO_FIGURE)


def lenses_page(inputs: Lenses) -> Page:
    """`report/lenses.html`: what do image tokens say in words?"""
    sections = [is_it_real.of_lenses(inputs), lenses.section(inputs), alignment.section(inputs)]
    question = (
        "Which words lie nearest to the image tokens in the decoder, and do they describe the hand that is shown?"
    )
    return _with_picture(_page("lenses.html", question, lenses.answer(inputs), inputs, sections))


def sae_page(inputs: Sae) -> Page:
    """`report/sae.html`: which sparse features?"""
    sections = [is_it_real.of_sae(inputs)]
    sections += [module.section(inputs) for module in (sae, told_fingers, features, feature_steering)]
    question = (
        "Which features do sparse autoencoders of the decoder learn, do they hold the {kind}, and does steering by one "
        "change the answer?"
    )
    answer = (*sae.answer(inputs), *feature_steering.answer(inputs))
    return _with_picture(_page("sae.html", question, answer, inputs, sections), 1)


def planted_page(inputs: Planted) -> Page:
    """`report/planted.html`: which methods find a variable whose depth is known?"""
    question = (
        "A variable was planted at a known depth. Which methods find it there, which miss it, and which mark others?"
    )
    sections = [is_it_real.of_planted(inputs), planted.section(inputs)]
    return _with_picture(_page("planted.html", question, planted.answer(inputs), inputs, sections), 1)


def pretrained_page(inputs: Pretrained) -> Page:
    """`report/pretrained.html`: what do autoencoders that others trained see?"""
    question = "Does an autoencoder that others trained fit this model, and which of its features fire for each {kind}?"
    sections = [pretrained.section(inputs), feature_steering.section(inputs)]
    return _with_picture(_page("pretrained.html", question, pretrained.answer(inputs), inputs, sections))


def models_page(inputs: Models) -> Page:
    """`report/models.html`: how do other models compare?"""
    question = "Which model's decoder gives the {kind} away, at which relative depth, and does its text say as much?"
    sections = [is_it_real.of_models(inputs), models.section(inputs), drift.section(inputs)]
    return _with_picture(_page("models.html", question, models.answer(inputs), inputs, sections))


def resolution_page(inputs: Resolution) -> Page:
    """`report/resolution.html`: how much of the finding is the picture's size?"""
    question = (
        "The same photos made smaller: how much of what a probe reads of the {kind} goes with the size of the pictures?"
    )
    sections = [is_it_real.of_resolution(inputs), resolution.section(inputs)]
    page = _page("resolution.html", question, resolution.answer(inputs), inputs, sections)
    return replace(page, figure=resolution.curve(inputs))


def finetune_page(inputs: Finetune) -> Page:
    """`report/finetune.html`: does fine-tuning close the gap, and what moves?"""
    question = (
        "A probe reads the {kind} from the decoder and the answer does not say it. Does fine-tuning close this gap, "
        "and what moves in the model when it does?"
    )
    sections = [finetune.section(inputs), finetune.is_it_real(inputs), tuned_layers.section(inputs)]
    page = _page("finetune.html", question, finetune.answer(inputs), inputs, sections)
    return replace(page, figure=finetune.curve(inputs))


def motion_page(inputs: Motion) -> Page:
    """`report/motion.html`: does the decoder hold movement, or a bag of hand shapes?"""
    question = (
        "Signs move. Does the decoder hold the movement, which is in the order of the frames, or a bag of hand shapes?"
    )
    sections = [order.section(inputs), order.is_it_real(inputs), clips.frames(inputs), clips.words(inputs)]
    sections += [clips.data(inputs), settings.section(inputs.settings)]
    signers, signs = (count(inputs.found.number(what)) for what in ("signers", "signs"))
    facts = (
        ("model", str(inputs.found["model"])),
        ("clips", f"{count(len(inputs.sample))} of {signs} signs, {count(inputs.found.number('frames'))} frames each"),
        ("signers", few_groups(inputs) or signers),
        *((("frames", inputs.settings.hidden),) if inputs.settings.hidden else ()),
    )
    return Page("motion.html", question, motion.answer(inputs), facts, _shown(sections), motion.curve(inputs))


def _page(file: str, question: str, answer: Sequence[str], inputs: Inputs, sections: Sequence[Section | None]) -> Page:
    """The page of a further question."""
    photos = inputs.sample["photo"].nunique()
    facts = (
        ("model", str(inputs.found["model"])),
        ("sample", f"{count(len(inputs.sample))} images of {count(photos)} photos"),
        *_said_of_images(inputs),
        (f"{inputs.kind}s", f"{count(inputs.sample['label'].nunique())}, chance {percent(inputs.chance)}"),
    )
    shown = _shown([*sections, settings.section(inputs.settings)])
    return Page(file, question.format(kind=inputs.kind), tuple(answer), facts, shown)


def _with_picture(page: Page, place: int = 0) -> Page:
    """The page with the chart `place` of its sections, or the last, on the first screen, and not below once more."""
    charts = [one for section in page.sections for one in section.pictures if one.spec]
    if not charts:
        return page
    shown = charts[min(place, len(charts) - 1)]
    rest = (replace(part, pictures=tuple(one for one in part.pictures if one is not shown)) for part in page.sections)
    return replace(page, figure=shown, sections=tuple(rest))


def _said_of_images(inputs: Inputs) -> tuple[tuple[str, str], ...]:
    """How many groups there are and what so few are worth; that no image is shown, and why."""
    said = []
    if inputs.groups.kind != "photo":
        said.append((inputs.group.many, few_groups(inputs) or count(len(set(inputs.groups.of_image)))))
    if inputs.settings.hidden:
        said.append(("images", inputs.settings.hidden))
    return tuple(said)


def _shown(sections: Sequence[Section | None]) -> tuple[Section, ...]:
    """The sections of what was run, without those that would be a heading alone."""
    return tuple(section for section in sections if section is not None and section.shows)
