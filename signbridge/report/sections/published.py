"""The published figures beside the reproduced ones."""

import pandas as pd

from signbridge.report.charts.shares import published_beside_reproduced
from signbridge.report.inputs import LEAKING, Study
from signbridge.report.page_parts import Picture, Section, Table
from signbridge.report.wording import listing, share_with_interval

TITLE = "The published figures, and this run's"


def section(study: Study) -> Section | None:
    """The notebook's layers under the notebook's split: the printed figures and those of this run."""
    table = study.published
    if table.empty:
        return None
    published, reproduced = (
        f"published ({LEAKING})",
        f"reproduced ({LEAKING})" if table["leaking"].any() else "reproduced",
    )
    both = [_series(table, "published", published), _series(table, "reproduced", reproduced)]
    drawn = pd.concat(both)
    twin = Table(
        "Share read right at the notebook's layers under the notebook's split",
        ("site", published, reproduced),
        tuple(
            (row["site"], *(_shown(row, which) for which in ("published", "reproduced")))
            for _, row in table.iterrows()
        ),
    )  # fmt: skip
    spec = published_beside_reproduced(drawn[drawn["value"].notna()], published, reproduced)
    picture = Picture("published-figures", "Published and reproduced, layer by layer", _sees(study), twin, spec)
    return Section("published", TITLE, (_comparable(study),), (picture,))


def _series(table: pd.DataFrame, which: str, name: str) -> pd.DataFrame:
    columns = {f"{which}_{what}": name for what, name in (("accuracy", "value"), ("low", "low"), ("high", "high"))}
    return table[["site", *columns]].rename(columns=columns).assign(series=name)


def _shown(row: pd.Series, which: str) -> str:
    share, low, high = (row[f"{which}_{what}"] for what in ("accuracy", "low", "high"))
    return share_with_interval(share, low, high) if share == share else "not probed here"


def _comparable(study: Study) -> str:
    if study.published["comparable"].all():
        return "The same model and the same data as the notebook's, so the two should agree within their intervals."
    return (
        f"Not comparable: the notebook read LLaVA-1.5-7B on Sign Language MNIST, and this run is of {study.model} on "
        "other images or of another model. The published figures are shown for orientation only."
    )


def _sees(study: Study) -> str:
    table = study.published
    there = table[table["reproduced_accuracy"].notna()]
    overlap = (there["published_low"] <= there["reproduced_high"]) & (
        there["reproduced_low"] <= there["published_high"]
    )
    top = table.loc[table["published_accuracy"].idxmax()]
    lowest_high = table["published_high"].min()
    text = ""
    if top["published_low"] < lowest_high:
        text = f"With 60 test images the published intervals overlap, so {top['site']} was not shown to be the peak. "
    if "signbridge" not in study.protocols():
        return f"{text}The notebook's split was not run here."
    if there.empty:
        return f"{text}This model has none of the notebook's layers."
    meeting = [
        f"{listing(list(rows['site']))} {'overlap' if overlaps else 'do not overlap'}"
        for overlaps, rows in there.groupby(overlap.rename("overlap"), sort=False)
    ]
    return f"{text}Published and reproduced intervals at {listing(meeting, 'and at')}."
