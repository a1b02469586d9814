"""Do image tokens and words share directions: nearest neighbours, geometry, and a probe trained on text."""

import math

import pandas as pd

from signbridge.report.curve import lines_by_site
from signbridge.report.inputs import Lenses, Share
from signbridge.report.page_parts import Picture, Section, layer_table
from signbridge.report.palette import BLUE, GREEN, GREY, LINE_ALONE, PURPLE, SOLID, VERMILLION, Series
from signbridge.report.wording import (
    number,
    percent,
    plural,
    share_with_interval,
    value_with_interval,
)

TITLE = "Do image tokens and words share directions?"
NEIGHBOURS = {
    "text_near_image": Series("text near image tokens", BLUE, "circle", SOLID),
    "image_near_text": Series("image tokens near text", VERMILLION, "square", SOLID),
    "text_near_image_centred": Series("text near image tokens, centred", BLUE, "diamond", (2, 2)),
    "image_near_text_centred": Series("image tokens near text, centred", VERMILLION, "triangle-up", (2, 2)),
}
MIXED = Series("if the two were mixed", GREY, LINE_ALONE, (8, 4))
GEOMETRY = {
    "cka": Series("linear CKA of images and their captions", BLUE, "circle", SOLID),
    "cka_null": Series("null: captions assigned at random", GREY, LINE_ALONE, (8, 4)),
    "cosine_between": Series("mean cosine, image token and text token", VERMILLION, "square", SOLID),
    "cosine_within_image": Series("mean cosine, tokens of two images", GREEN, "triangle-up", (6, 3)),
    "cosine_within_text": Series("mean cosine, tokens of two phrases", PURPLE, "diamond", (2, 2)),
}
PROBES = {
    "text_probe_on_image": Series("trained on text, tested on images", BLUE, "circle", SOLID),
    "text_probe_on_image_null": Series("null: words assigned to phrases at random", GREY, LINE_ALONE, (8, 4)),
    "text_probe_on_text": Series("trained on text, tested on other text", PURPLE, "diamond", (2, 2)),
    "image_probe_on_image": Series("trained on images, tested on other images", GREEN, "triangle-up", (6, 3)),
}


def section(lenses: Lenses) -> Section | None:
    """What image and text tokens have in common, layer by layer."""
    if lenses.alignment.empty:
        return None
    pictures = [_neighbours(lenses), _geometry(lenses)]
    if "text_probe_on_image" in set(lenses.alignment["measure"]):
        pictures.append(_probes(lenses))
    return Section("alignment", TITLE, (_lead(lenses), _verdict(lenses)), tuple(pictures))


def _lead(lenses: Lenses) -> str:
    images = plural(lenses.aligned.number("images"), "image")
    return (
        f"The tokens of {images} and of phrases are read at the same layers. “Line of Sight” (2025) finds that the two "
        "share more in the deeper layers of its model. Here that is tested with nearest neighbours, with geometry, and "
        "with a probe of hand words (up, bent, curved, ...) that was trained on text alone."
    )


def _verdict(lenses: Lenses) -> str:
    sites = list(dict.fromkeys(lenses.alignment["site"]))
    said = [
        _change(lenses, "text_near_image", "text among the nearest neighbours of image tokens", in_percent=True),
        _change(lenses, "cka", "CKA"),
        _change(lenses, "text_probe_on_image", "the text-trained probe's AUC on images"),
    ]
    return f"From {sites[0]} to {sites[-1]}: {'; '.join(one for one in said if one)}."


def _change(lenses: Lenses, measure: str, name: str, in_percent: bool = False) -> str:
    """`CKA from 0.38 to 0.43, no clear change`, or nothing where it was not measured."""
    change = lenses.aligned.share(f"{measure}_last_minus_first")
    if not change.known:
        return ""
    first, last = (lenses.aligned.number(f"{measure}_{end}") for end in ("first", "last"))
    values = (percent(first), percent(last)) if in_percent else (number(first, 2), number(last, 2))
    return f"{name} from {values[0]} to {values[1]}, {_direction(change)}"


def _direction(change: Share) -> str:
    if change.low > 0:
        return "more"
    return "less" if change.high < 0 else "no clear change"


def _neighbours(lenses: Lenses) -> Picture:
    rows = _drawn(lenses.alignment, NEIGHBOURS)
    sites = list(dict.fromkeys(rows["site"]))
    mixed = pd.DataFrame({"series": MIXED.name, "site": sites, "value": 0.5})
    spec = lines_by_site(pd.concat([rows, mixed]), sites, [*NEIGHBOURS.values(), MIXED], "share of nearest neighbours")
    twin = layer_table("Neighbours of the other kind", rows, share_with_interval)
    sees = (
        "The share of a token's nearest neighbours that are of the other kind, among as many image as text tokens, "
        "without tokens of its own image or phrase. 0.5: the two kinds are mixed; 0: they are apart. Centred: the mean "
        "of each kind is subtracted first."
    )
    return Picture("alignment-neighbours", "Neighbours of the other kind", sees, twin, spec)


def _geometry(lenses: Lenses) -> Picture:
    rows = _drawn(_with_null(lenses.alignment, "cka"), GEOMETRY)
    sites = list(dict.fromkeys(rows["site"]))
    spec = lines_by_site(rows, sites, list(GEOMETRY.values()), "CKA, or cosine", in_percent=False)
    sees = (
        "CKA is high if images that are near each other have captions that are near each other. It needs no shared "
        "directions, and is 0 if the two are unrelated. The cosines say how near two tokens are."
    )
    twin = layer_table("Geometry of images and text", rows, value_with_interval)
    return Picture("alignment-geometry", "Geometry of images and text", sees, twin, spec)


def _probes(lenses: Lenses) -> Picture:
    rows = _drawn(_with_null(lenses.alignment, "text_probe_on_image"), PROBES)
    sites = list(dict.fromkeys(rows["site"]))
    spec = lines_by_site(rows, sites, list(PROBES.values()), "AUC, mean over hand words", in_percent=False)
    own = lenses.alignment[lenses.alignment["measure"] == "text_probe_on_image"]
    sees = (
        "AUC: how often the probe of a word gives a higher score to an image whose hand the word describes than to "
        "another; 0.5 is chance. The AUC of the probe trained on text and tested on images is above "
        f"{percent(own['beaten'].min(), 0)} to {percent(own['beaten'].max(), 0)} of the draws of the null, by layer."
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
    return named[["series", "site", "value", "low", "high"]]
