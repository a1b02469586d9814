"""Do image tokens and words share directions: neighbours across the two, geometry, a probe trained on text."""

import math

import pandas as pd

from signbridge.report.charts.lines_by_site import lines_by_site
from signbridge.report.charts.style import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    VERMILLION,
    Series,
)
from signbridge.report.layer_table import layer_table
from signbridge.report.page_parts import Picture, Section
from signbridge.report.study import Share, Study
from signbridge.report.wording import (
    number,
    percent,
    plural,
    share_with_interval,
    value_with_interval,
)

TITLE = "Do image tokens and words share directions?"
NEIGHBOURS = {
    "text_near_image": Series("text near image tokens", BLUE, "circle", (1, 0)),
    "image_near_text": Series("image tokens near text", VERMILLION, "square", (1, 0)),
    "text_near_image_centred": Series("text near image tokens, centred", BLUE, "diamond", (2, 2)),
    "image_near_text_centred": Series("image tokens near text, centred", VERMILLION, "triangle-up", (2, 2)),
}
MIXED = Series("if the two were mixed", GREY, "stroke", (8, 4))
GEOMETRY = {
    "cka": Series("linear CKA of images and their captions", BLUE, "circle", (1, 0)),
    "cka_null": Series("null: captions dealt at random", GREY, "stroke", (8, 4)),
    "cosine_between": Series("mean cosine, image token and text token", VERMILLION, "square", (1, 0)),
    "cosine_within_image": Series("mean cosine, tokens of two images", GREEN, "triangle-up", (6, 3)),
    "cosine_within_text": Series("mean cosine, tokens of two phrases", PURPLE, "diamond", (2, 2)),
}
PROBES = {
    "text_probe_on_image": Series("trained on text, held to images", BLUE, "circle", (1, 0)),
    "text_probe_on_image_null": Series("null: words dealt to phrases at random", GREY, "stroke", (8, 4)),
    "text_probe_on_text": Series("trained on text, held to other text", PURPLE, "diamond", (2, 2)),
    "image_probe_on_image": Series("trained on images, held to other images", GREEN, "triangle-up", (6, 3)),
}


def section(study: Study) -> Section:
    """What image and text tokens have in common, layer by layer."""
    if study.alignment.empty:
        return Section("alignment", TITLE, ("Image and text tokens were not compared in this run.",))
    pictures = [_neighbours(study), _geometry(study)]
    if "text_probe_on_image" in set(study.alignment["measure"]):
        pictures.append(_probes(study))
    return Section("alignment", TITLE, (_lead(study), _verdict(study)), tuple(pictures))


def _lead(study: Study) -> str:
    images = plural(study.number("images", "aligned"), "image")
    return (
        f"The tokens of {images} and of phrases are read at the same layers. “Line of Sight” (2025) finds that deeper "
        "layers of its model share more between the two; here that is asked of neighbours, of geometry, and of a probe "
        "of hand words (up, bent, curved, ...) that has seen text alone."
    )


def _verdict(study: Study) -> str:
    sites = list(dict.fromkeys(study.alignment["site"]))
    said = [
        _change(study, "text_near_image", "text among the nearest neighbours of image tokens", in_percent=True),
        _change(study, "cka", "CKA"),
        _change(study, "text_probe_on_image", "the text-trained probe's AUC on images"),
    ]
    return f"From {sites[0]} to {sites[-1]}: {'; '.join(one for one in said if one)}."


def _change(study: Study, measure: str, name: str, in_percent: bool = False) -> str:
    """`CKA from 0.38 to 0.43, no clear change`, or nothing where it was not measured."""
    change = study.share(f"{measure}_last_minus_first", "aligned")
    if not change.known:
        return ""
    first, last = (study.number(f"{measure}_{end}", "aligned") for end in ("first", "last"))
    values = (percent(first), percent(last)) if in_percent else (number(first, 2), number(last, 2))
    return f"{name} from {values[0]} to {values[1]}, {_direction(change)}"


def _direction(change: Share) -> str:
    if change.low > 0:
        return "more"
    return "less" if change.high < 0 else "no clear change"


def _neighbours(study: Study) -> Picture:
    rows = _drawn(study.alignment, NEIGHBOURS)
    sites = list(dict.fromkeys(rows["site"]))
    mixed = pd.DataFrame({"series": MIXED.name, "site": sites, "accuracy": 0.5})
    spec = lines_by_site(pd.concat([rows, mixed]), sites, [*NEIGHBOURS.values(), MIXED], "share of nearest neighbours")
    twin = layer_table("Neighbours of the other kind", rows, share_with_interval)
    sees = (
        "Among as many image as text tokens, how many of a token's nearest ones are of the other kind; its own image "
        "or phrase does not count. Half would mean that the two lie mixed, none that they lie apart. Centred: with the "
        "mean of either kind taken off first."
    )
    return Picture("alignment-neighbours", "Neighbours of the other kind", sees, twin, spec)


def _geometry(study: Study) -> Picture:
    rows = _drawn(_with_null(study.alignment, "cka"), GEOMETRY)
    sites = list(dict.fromkeys(rows["site"]))
    spec = lines_by_site(rows, sites, list(GEOMETRY.values()), "CKA, or cosine", in_percent=False)
    sees = (
        "CKA asks whether images that lie near each other have captions that do; it needs no shared directions, and is "
        "0 where the two have nothing to do with each other. The cosines say how near two tokens are."
    )
    twin = layer_table("Geometry of images and text", rows, value_with_interval)
    return Picture("alignment-geometry", "Geometry of images and text", sees, twin, spec)


def _probes(study: Study) -> Picture:
    rows = _drawn(_with_null(study.alignment, "text_probe_on_image"), PROBES)
    sites = list(dict.fromkeys(rows["site"]))
    spec = lines_by_site(rows, sites, list(PROBES.values()), "AUC, mean over hand words", in_percent=False)
    own = study.alignment[study.alignment["measure"] == "text_probe_on_image"]
    sees = (
        "The chance that a probe puts an image whose hand a word holds for above one that it does not; 0.5 is chance. "
        f"Trained on text and held to images it is above {percent(own['beaten'].min(), 0)} to "
        f"{percent(own['beaten'].max(), 0)} of the draws in which words were dealt to phrases at random, by layer."
    )
    twin = layer_table("Probes of hand words", rows, value_with_interval)
    return Picture("alignment-probes", "A probe of hand words, from text to images", sees, twin, spec)


def _with_null(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The table with the null of a measure as a measure of its own."""
    own = table[table["measure"] == measure]
    null = own.assign(measure=f"{measure}_null", value=own["null"], low=math.nan, high=math.nan)
    return pd.concat([table, null], ignore_index=True)


def _drawn(table: pd.DataFrame, series: dict[str, Series]) -> pd.DataFrame:
    rows = table[table["measure"].isin(list(series))]
    named = rows.assign(series=rows["measure"].map({measure: look.name for measure, look in series.items()}))
    return named.rename(columns={"value": "accuracy"})[["series", "site", "accuracy", "low", "high"]]
