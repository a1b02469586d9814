"""The leakage audit: how many photos there are, and under which protocol copies of one stand on both sides."""

import math

import pandas as pd

from signbridge.report.charts.shares import bars
from signbridge.report.figures.class_grid import MOST_LETTERS, MOST_SIGNERS
from signbridge.report.inputs import LEAKING, PROTOCOLS, Study
from signbridge.report.page_parts import (
    REAL,
    Picture,
    Section,
    Table,
    Thumbnail,
    data_uri,
)
from signbridge.report.sentences import what_leaks
from signbridge.report.wording import count, interval, number, percent, plural, short

TITLE = "The leakage audit"
FACTS = {
    "images": "images",
    "photos": "photos that they are copies of",
    "images_per_photo": "images a photo",
    "largest_photo": "images of the largest photo",
    "exact_duplicates": "images equal to another, pixel by pixel",
}
OF_SIGNERS = {"signers": "signers", "photos_under_two_signers": "photos that two signers have"}
IN_TRAINING = {
    "copies_in_train": "a copy in training",
    "clip_in_train": "its clip in training",
    "signer_in_train": "its signer in training",
    "nearest_image": "the nearest image\nshows the same",
}
COARSER = {"clip_in_train", "signer_in_train"}  # than a photo: known of some datasets


def section(study: Study) -> Section:
    """Photos and copies, and how often the nearest training image shows the same letter."""
    leaks = what_leaks(study)
    lead = (f"{leaks[0].upper()}{leaks[1:]}.",)
    pictures = [picture for picture in (_shares(study), _grid(study)) if picture]
    tables = [_photos(study), *_protocols(study), *_looks(study)]
    if study.settings.hidden:
        tables.append(_sample(study))
    return Section("audit", TITLE, lead, tuple(pictures), tables=tuple(tables), part=REAL)


def _shares(study: Study) -> Picture | None:
    rows = []
    for key, what in IN_TRAINING.items():
        for protocol in PROTOCOLS:
            share = study.leakage.number(f"{protocol}_{key}")
            leaks = study.leaks(protocol) or (key in COARSER and share > 0)
            rows.append((f"{study.protocol_name(protocol)}:\n{what}", share, leaks))
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


def _protocols(study: Study) -> tuple[Table, ...]:
    """What each protocol puts on both sides, where the dataset knows more than photos."""
    shares = {key: [study.leakage.number(f"{protocol}_{key}") for protocol in PROTOCOLS] for key in IN_TRAINING}
    known = [key for key, of_key in shares.items() if not all(map(math.isnan, of_key))]
    if not COARSER & set(known):
        return ()
    rows = tuple(
        (study.protocol_name(protocol), *(percent(shares[key][place]) for key in known))
        for place, protocol in enumerate(PROTOCOLS)
        if protocol in study.protocols()
    )
    columns = ("protocol", *(IN_TRAINING[key].replace("\n", " ") for key in known))
    return (Table("What each split gives away, as shares of its test images", columns, rows),)


def _looks(study: Study) -> tuple[Table, ...]:
    """Size, colour and brightness of the images, signer by signer where signers are known."""
    rows = tuple(
        (short(row.who), count(row.images), percent(row.share), percent(row.in_colour), row.smallest, row.median,
         row.largest, f"{percent(row.middle, 0)} ({interval(row.dark, row.bright, 0)})")
        for row in study.looks.itertuples(index=False)
    )  # fmt: skip
    columns = ("signer" if len(rows) > 1 else "whose", "images", "of all", "in colour", "smallest", "median", "largest")
    if not rows:
        return ()
    looked_at = int(study.looks["images"].iloc[0])
    of = f", of {count(looked_at)} of them, evenly" if looked_at < len(study.sample) else ""
    caption = f"What the images look like{of}: pixels, and brightness from black to white with that of 90 % of them"
    return (Table(caption, (*columns, "brightness"), rows),)


def _grid(study: Study) -> Picture | None:
    if not study.class_grid or study.settings.hidden:
        return None
    letters = study.sample["label"].nunique()
    sees = f"One image of each of the {count(letters)} {study.kind}s, as the model sees it."
    shows = f"A grid with one image of each {study.kind}"
    if "signer" in study.sample:
        shows += ", a row for each signer"
        sees = f"One image of each {_first(letters, MOST_LETTERS, study.kind)} and each "
        sees += f"{_first(study.sample['signer'].nunique(), MOST_SIGNERS, 'signer')}, as the model sees it."
    image = Thumbnail(data_uri(study.class_grid), shows)
    return Picture("class-grid", "The images", sees, _sample(study), image=image)


def _first(there: int, most: int, what: str) -> str:
    """`of the 20 letters`, or `of the first 26 of 40 signs`."""
    return f"of the {plural(there, what)}" if there <= most else f"of the first {most} of {plural(there, what)}"


def _sample(study: Study) -> Table:
    """How many images, photos and, where they are known, signers each letter has."""
    by_letter = study.sample.groupby("label")
    counted = {"images": by_letter.size(), "photos": by_letter["photo"].nunique()}
    if "signer" in study.sample:
        counted["signers"] = by_letter["signer"].nunique()
    rows = tuple((label[:160], *(count(of[label]) for of in counted.values())) for label in sorted(by_letter.groups))
    return Table("The sample", (study.kind, *counted), rows)


def _photos(study: Study) -> Table:
    def shown(part: str, fact: str) -> str:
        value = study.leakage.number(f"{part}_{fact}")
        return number(value, 1 if fact == "images_per_photo" else 0)

    facts = FACTS | (OF_SIGNERS if "dataset_signers" in study.leakage else {})
    rows = tuple((words, shown("dataset", fact), shown("sample", fact)) for fact, words in facts.items())
    return Table("Images and the photos that they are copies of", ("what", "in the dataset", "in the sample"), rows)
