"""The leakage audit: how many photos there are, and under which protocol copies of one stand on both sides."""

import math

import pandas as pd

from signbridge.report.charts.shares import bars
from signbridge.report.inputs import LEAKING, PROTOCOLS, Study
from signbridge.report.page_parts import (
    Picture,
    Section,
    Table,
    Thumbnail,
    data_uri,
)
from signbridge.report.sentences import what_leaks
from signbridge.report.wording import count, number, percent

TITLE = "The leakage audit"
FACTS = {
    "images": "images",
    "photos": "photos that they are copies of",
    "images_per_photo": "images a photo",
    "largest_photo": "images of the largest photo",
    "exact_duplicates": "images equal to another, pixel by pixel",
}


def section(study: Study) -> Section:
    """Photos and copies, and how often the nearest training image shows the same letter."""
    leaks = what_leaks(study)
    lead = (f"{leaks[0].upper()}{leaks[1:]}.",)
    pictures = [picture for picture in (_shares(study), _grid(study)) if picture]
    return Section("audit", TITLE, lead, tuple(pictures), tables=(_photos(study),))


def _shares(study: Study) -> Picture | None:
    measures = [
        *((f"{protocol}_copies_in_train", protocol, "a copy in training") for protocol in PROTOCOLS),
        *((f"{protocol}_nearest_image", protocol, "the nearest image\nshows the same") for protocol in PROTOCOLS),
    ]
    rows = [
        (f"{study.protocol_name(protocol)}:\n{what}", study.leakage.number(key), study.leaks(protocol))
        for key, protocol, what in measures
    ]
    official = study.leakage.number("official_test_copies_in_train")
    rows.append((f"the data's own test file:\n{'a copy in training'}", official, official > 0))
    table = pd.DataFrame(rows, columns=["name", "share", "leaking"])
    table = table[table["share"].notna()]
    if table.empty:
        return None
    twin = Table(
        "Copies on both sides of each split",
        ("protocol and measure", "share of test images", LEAKING),
        tuple(
            (row["name"].replace("\n", " "), percent(row["share"]), "yes" if row["leaking"] else "no")
            for _, row in table.iterrows()
        ),
    )
    return Picture(
        "leakage",
        "What a split gives away without a model",
        _sees(study),
        twin,
        bars(table, "share of the test images"),
    )


def _sees(study: Study) -> str:
    nearest = {protocol: study.leakage.number(f"{protocol}_nearest_image") for protocol in PROTOCOLS}
    if any(math.isnan(share) for share in nearest.values()):
        return "Where copies stand in training, a probe can be right because it remembers the photo."
    return (
        f"A guess without any model, the {study.kind} of the training image with the nearest pixels, is right for "
        f"{percent(nearest['signbridge'])} of the test images under {study.protocol_name('signbridge')} and for "
        f"{percent(nearest['grouped'])} with {study.protocol_name('grouped')}."
    )


def _grid(study: Study) -> Picture | None:
    if not study.class_grid:
        return None
    labels = sorted(study.sample["label"].unique())
    counts = study.sample["label"].value_counts()
    photos = study.sample.groupby("label")["photo"].nunique()
    twin = Table(
        "The sample",
        (study.kind, "images", "photos"),
        tuple((label[:160], count(counts[label]), count(photos[label])) for label in labels),
    )
    sees = f"One image of each of the {count(len(labels))} {study.kind}s, as the model sees it."
    image = Thumbnail(data_uri(study.class_grid), f"A grid with one image of each {study.kind}")
    return Picture("class-grid", "The images", sees, twin, image=image)


def _photos(study: Study) -> Table:
    def shown(part: str, fact: str) -> str:
        value = study.leakage.number(f"{part}_{fact}")
        return number(value, 1 if fact == "images_per_photo" else 0)

    rows = tuple((words, shown("dataset", fact), shown("sample", fact)) for fact, words in FACTS.items())
    return Table("Images and the photos that they are copies of", ("what", "in the dataset", "in the sample"), rows)
