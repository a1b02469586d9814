"""Which letters the probe reads, and which it takes for which."""

import pandas as pd

from signbridge.report.charts.shares import confusion_matrix, intervals
from signbridge.report.inputs import LEAKING, Study
from signbridge.report.page_parts import Example, Gallery, Picture, Section, Table, Thumbnail, thumbnail
from signbridge.report.wording import (
    count,
    interval,
    listing,
    percent,
    plural,
    share_with_interval,
    short,
)

TITLE = "Which {kind}s are confused"
MISREAD = "Images that are read wrong"
NAMED = 3  # pairs named in the sentence
MOST_SIGNERS = 12


def section(study: Study) -> Section | None:
    """The headline's probe: its confusions, each letter's accuracy and the pairs most confused."""
    title = TITLE.format(kind=study.kind)
    if not study.position and study.leaks("signbridge") and "grouped" not in study.protocols():
        title = f"{title} ({LEAKING})"
    if study.confusion.empty:
        return None
    pictures = [_matrix(study)]
    if not study.letter_accuracy.empty:
        pictures.append(_letters(study))
    lead = _which_probe(study)
    pairs = study.confused_pairs
    tables = (_pairs(pairs),) if len(pairs) else ()
    return Section("confusions", title, (lead,), tuple(pictures), gallery=_misread(study), tables=tables)


def _misread(study: Study) -> Gallery | None:
    """The images that are most often read wrong, by signer where signers are known."""
    if study.misread is None or study.misread.worst.empty:
        return None
    table, images, png = study.misread.worst, study.misread.images, study.png
    groups = []
    for who, rows in list(table.groupby("who"))[:MOST_SIGNERS]:
        examples = []
        for row in rows.itertuples(index=False):
            read = f"{short(row.label)}, read as {short(row.read)}"
            times = f"{count(row.wrong)} of {plural(row.tests, 'test')}"
            examples.append(Example(read, times, Thumbnail(thumbnail(png[row.image_id]), f"{read} in {times}")))
        groups.append((f"Signer {short(who)}" if who else "", tuple(examples)))
    of_each = " of each signer" if table["who"].any() else ""
    sees = (
        f"{plural(images, 'image')} of {count(len(study.sample))} {'is' if images == 1 else 'are'} read wrong in one "
        f"test or more at {study.found['grouped_peak_site']}, the layer that most folds chose. Shown are the "
        f"images{of_each} that are read wrong most often."
    )
    return Gallery(MISREAD, sees, tuple(groups))


def _which_probe(study: Study) -> str:
    if study.position:
        return "The probe is that of the answer above: its layer and penalty were chosen inside the training folds."
    split = study.protocol_name("grouped" if "grouped" in study.protocols() else "signbridge")
    return f"No layer was chosen inside training folds, so this is the site with the highest accuracy under {split}."


def _matrix(study: Study) -> Picture:
    table = study.confusion.groupby(["actual", "predicted"]).size().rename("count").reset_index()
    table["share"] = table["count"] / table.groupby("actual")["count"].transform("sum")
    times = {(row.actual, row.predicted): str(row.n) for row in table.rename(columns={"count": "n"}).itertuples()}
    actual, predicted = (sorted(table[column].unique()) for column in ("actual", "predicted"))
    rows = tuple((short(shown), *(times.get((shown, read), "") for read in predicted)) for shown in actual)
    twin = Table(f"Tests by {study.kind} shown (rows) and read (columns)", ("shown", *map(short, predicted)), rows)
    return Picture("confusion", "Confusion matrix", _sees_pairs(study), twin, confusion_matrix(table, study.kind))


def _sees_pairs(study: Study) -> str:
    pairs = study.confused_pairs.head(NAMED)
    if pairs.empty:
        return f"No {study.kind} was taken for another."
    named = [
        f"{short(row['letter_a'])} and {short(row['letter_b'])} ({percent(row['share'])} of their tests)"
        for _, row in pairs.iterrows()
    ]
    return f"Correct readings lie on the diagonal. Most often confused: {listing(named)}."


def _letters(study: Study) -> Picture:
    table = study.letter_accuracy.sort_values(["accuracy", "letter"], ascending=[False, True])
    best, worst = table.iloc[0], table.iloc[-1]
    sees = (
        f"Best read: {short(best['letter'])}, {percent(best['accuracy'])}; worst: {short(worst['letter'])}, "
        f"{share_with_interval(worst['accuracy'], worst['low'], worst['high'])}."
    )
    rows = tuple(
        (short(row["letter"]), count(row["images"]), percent(row["accuracy"]), interval(row["low"], row["high"]))
        for _, row in table.iterrows()
    )
    twin = Table(f"Share read right of each {study.kind}", (study.kind, "images", "read right", "interval"), rows)
    drawn = table.rename(columns={"letter": "name", "accuracy": "value"}).assign(chance=study.found.number("chance"))
    spec = intervals(drawn[["name", "value", "low", "high", "chance"]], f"read right, other {study.group.many}", row=18)
    return Picture("letter-accuracy", f"Each {study.kind}", sees, twin, spec)


def _pairs(pairs: pd.DataFrame) -> Table:
    rows = tuple(
        (f"{short(row['letter_a'])} and {short(row['letter_b'])}", count(row["count"]), percent(row["share"]))
        for _, row in pairs.head(10).iterrows()
    )
    return Table("The pairs most often confused", ("pair", "times", "of their tests"), rows)
