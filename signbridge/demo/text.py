"""The sentences of the page, and the parts of it that are text."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from signbridge.datasets.images import encode_png
from signbridge.demo.familiarity import FAR, Familiarity
from signbridge.demo.neighbours import Nearest
from signbridge.demo.panels import percent
from signbridge.demo.reading import Reading
from signbridge.demo.study import DemoStudy, Place
from signbridge.report import palette
from signbridge.report.page_parts import data_uri, thumbnail

PIXELS = ("pixels", "flat")
POSITIONS = {name: series.name for name, series in palette.POSITIONS.items()}
NOT_A_TRANSLATOR = "For research: it does not understand sign language, and a probe always names some letter."
WHERE_PICTURES_GO = (
    "What you show is read on the machine that runs this page: an upload lies there as a file for a minute at most, "
    "and in memory until you close the page. The camera's picture is not mirrored: a left hand stays a left hand."
)
ADVICE = {
    "unfamiliar": "This does not look like the study's hands: do not believe the letter.",
    "careful": "This is unlike most of the study's hands: do not rely on the letter.",
    "familiar": "This looks like the study's hands.",
    "untold": "Nobody can tell whether this looks like the study's hands: do not rely on the letter.",
}
BLIND = "This site does not see the picture: its vectors are the same whatever is shown."
SHARED = " This page is shared: what you show also passes through gradio.live."
ON_A_SPACE = (
    "What you show is read in the memory of this Space of Hugging Face: an upload lies there as a file for a minute at "
    "most. The camera's picture is not mirrored: a left hand stays a left hand."
)
_macros = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
).get_template("page.html.j2")


def words(answer: str, notes: Sequence[str]) -> str:
    """The model's answer, large, and what was done to the picture."""
    return _macros.module.words(answer, notes)


def message(text: str, kind: str = "status") -> str:
    """One sentence in place of an answer; `kind` is `status` or `problem`."""
    return _macros.module.message(text, kind)


def about(model: str, question: str, images: int, letters: Sequence[str]) -> str:
    """What this page is, of which model, and what it is not."""
    return _macros.module.about(model, question, images, len(letters), NOT_A_TRANSLATOR)


def heading(title: str, below: str) -> str:
    """Above a panel: its title, and how to read it."""
    return _macros.module.heading(title, below)


def label(words: str) -> str:
    """A few words above a part of the page."""
    return _macros.module.label(words)


def examples(study: DemoStudy, selected: int | None) -> str:
    """A button an example, with its picture and letter; the `selected` one is pressed."""
    images = [(thumbnail(row.image), row.label) for row in study.examples().itertuples()]
    return _macros.module.examples(images, selected)


def seen(image: Image.Image, what: str = "What the model saw") -> str:
    """The picture as the vision tower takes it in, or `what` else it is."""
    return _macros.module.seen(data_uri(encode_png(np.asarray(image))), image.width, image.height, what)


def verdict(study: DemoStudy, reading: Reading, place: Place, familiarity: Familiarity, blind: bool = False) -> str:
    """Whether to believe the letters at all, then what the layer and the raw pixels say; `blind` if it sees nothing."""
    lines = [BLIND if blind else _said(study, reading, place)]
    if PIXELS in reading.probabilities and place != PIXELS:
        lines.append(_said(study, reading, PIXELS))
    known = reading.photo is not None
    return _macros.module.verdict(lines, ADVICE[familiarity.level], trust(familiarity, known), familiarity.level)


def trust(familiarity: Familiarity, known: bool = False) -> str:
    """What the verdict on the picture rests on; `known` if it is a copy of one of the sample's photos."""
    if familiarity.level == "untold":
        return f"The sample has {familiarity.images} images, too few to tell what is unlike them."
    share = percent(familiarity.share)
    said = f"{share} of the study's own images are less unusual. It stands out most at {named(familiarity.where)}."
    if familiarity.level == "unfamiliar":
        said += f" Of the study's own images {percent(1 - FAR)} would get this warning too."
    if familiarity.level == "familiar":
        said += " That makes it no hand, and no letter right."
    learnt = " It is a copy of one of the sample's photos, so the probe has learnt its letter: no test of anything."
    return said + (learnt if known else "")


def nearest(study: DemoStudy, place: Place, found: Nearest) -> str:
    """The images of the sample that lie nearest, with letter and distance."""
    rows = study.sample.iloc[found.rows]
    images = [
        {
            "uri": thumbnail(row.image),
            "image_id": row.image_id,
            "label": row.label,
            "distance": f"{distance:.2f}",
        }
        for row, distance in zip(rows.itertuples(), found.distances, strict=True)
    ]
    return _macros.module.nearest(images, named(place))


def confidence(table: pd.DataFrame) -> str:
    """The first panel as a table."""
    rows = [
        (
            row.site,
            POSITIONS.get(row.position, row.position),
            row.letter,
            percent(row.probability),
            "not measured" if np.isnan(row.accuracy) else percent(row.accuracy),
        )
        for row in table.itertuples()
    ]
    columns = ["site", "position", "top letter", "probability", "reads unseen photos right"]
    return _macros.module.table("each site's top letter", columns, rows, "confidence")


def likeliest(table: pd.DataFrame, place: Place) -> str:
    """The second panel as a table."""
    rows = [(row.letter, percent(row.probability)) for row in table.itertuples()]
    return _macros.module.table(
        f"the likeliest letters at {named(place)}", ["letter", "probability"], rows, "likeliest"
    )


def heat_map(table: pd.DataFrame) -> str:
    """The third panel as a table."""
    rows = [(site, *(percent(share) for share in row)) for site, row in zip(table.index, table.to_numpy(), strict=True)]
    return _macros.module.table("every letter at every site", ["site", *table.columns], rows, "heat-map")


def named(place: Place) -> str:
    """`layer_05, last token of the prompt`."""
    site, position = place
    return site if position == "flat" else f"{site}, {POSITIONS.get(position, position)}"


def _said(study: DemoStudy, reading: Reading, place: Place) -> str:
    probabilities = reading.probabilities[place]
    letter, share = study.letters[int(probabilities.argmax())], percent(float(probabilities.max()))
    who = "Raw pixels alone say" if place == PIXELS else f"The probe at {named(place)} says"
    accuracy = study.accuracy.get(place)
    record = (
        f" Such probes read {percent(accuracy)} of photos right that they had not seen." if accuracy is not None else ""
    )
    return f"{who} {letter} ({share}).{record}"
