"""Were there enough photos? The study's probes trained on fewer photos, on fewer images of each, and pixels on more."""

import pandas as pd

from signbridge.report.charts.by_training import lines_by_training
from signbridge.report.inputs import Study
from signbridge.report.page_parts import Picture, Section, Table
from signbridge.report.wording import count, plural, points, points_with_interval, share_with_interval

TITLE = "Were there enough {many}?"
SITES = {"pixels": "raw pixels", "vision": "the vision tower"}


def section(study: Study) -> Section | None:
    """Accuracy by what a probe was trained on; None where no less than the sample was tried."""
    table = study.learning_curve
    if table.empty:
        return None
    lead = (
        f"The study's own probes at three sites, trained on a part of each fold's training {study.group.many}, or on "
        "fewer images of each photo. The tested images stay the same. The penalty keeps the proportion to the loss "
        f"that the fold chose. The intervals resample the {study.group.many} and the repeats of the folds, in each of "
        f"which other {study.group.many} were drawn. Nothing is extrapolated.",
        *(sentence for sentence in (_still_rises(study), _more(study)) if sentence),
    )
    return Section("learning-curve", TITLE.format(many=study.group.many), lead, (_curve(study),))


def _still_rises(study: Study) -> str:
    """What the last part of the training groups is worth at each site, and whether that is shown."""
    said = []
    for site, of_site in _of_sample(study).groupby("site", sort=False):
        fewer = of_site[of_site["trained_on"].str.startswith("share ")]
        if fewer.empty:
            continue
        row = fewer.loc[fewer["groups"].idxmax()]
        all_of_them = of_site.loc[of_site["trained_on"] == "all", "groups"].iloc[0]
        gain = points_with_interval(*_gain(row))
        verdict = "still rises" if row["difference_high"] < 0 else "is not shown to rise"
        said.append(
            f"at {SITES.get(site, site)} accuracy {verdict} from {count(row['groups'])} to {count(all_of_them)} "
            f"training {study.group.many}: {gain}"
        )
    return (
        f"{_capital('; '.join(said))}. That none is shown does not prove that more would add nothing." if said else ""
    )


def _more(study: Study) -> str:
    """What pixels gain from the rest of the dataset."""
    beyond = study.learning_curve[study.learning_curve["of"] == "dataset"].set_index("trained_on")
    if beyond.empty:
        return ""
    own, said = beyond.loc["all"], []
    if "more photos" in beyond.index:
        row = beyond.loc["more photos"]
        worth = points_with_interval(row["difference"], row["difference_low"], row["difference_high"])
        gains = row["difference_low"] > 0
        so = " So what a layer adds over pixels depends on the number of photos." if gains else ""
        said.append(
            f"With one image of each other photo as well ({count(row['images'])} training images, "
            f"{count(own['images'])} before) pixels read {worth} more.{so}"
        )
    if "more images" in beyond.index:
        row = beyond.loc["more images"]
        worth = points_with_interval(row["difference"], row["difference_low"], row["difference_high"])
        said.append(f"With more images of the same photos ({count(row['images'])}) they read {worth} more.")
    return (
        "The dataset has more images than the sample, and pixels need no model: in one repeat of the folds they also "
        f"learn from those. {' '.join(said)} For the tower and the layers, raise sample.per_class in params.yaml."
    )


def _curve(study: Study) -> Picture:
    table = study.learning_curve
    drawn = table[table["trained_on"].str.startswith("share ") | table["trained_on"].isin(["all", "more photos"])]
    series = drawn["site"].where(drawn["site"].isin(SITES), "layer").where(drawn["of"] == "sample", "beyond")
    spec = lines_by_training(drawn.assign(series=series), study.found.number("chance"), study.group)
    ends = [
        f"{SITES.get(site, site)} from {points(of_site['accuracy'].iloc[0]).split()[0]} to "
        f"{share_with_interval(*of_site[of_site['trained_on'] == 'all'][['accuracy', 'low', 'high']].iloc[0])}"
        for site, of_site in _of_sample(study).groupby("site", sort=False)
    ]
    sees = f"From the fewest {study.group.many} to all: {'; '.join(ends)}."
    return Picture("learning-curve", f"Accuracy by the number of training {study.group.many}", sees, _twin(study), spec)


def _twin(study: Study) -> Table:
    rows = tuple(
        (row["site"], _called(row, study.group.many), count(row["groups"]), count(row["images"]),
         share_with_interval(row["accuracy"], row["low"], row["high"]),
         "–" if row["trained_on"] == "all" else
         points_with_interval(row["difference"], row["difference_low"], row["difference_high"]),
         plural(row["repeats"], "repeat"))
        for row in study.learning_curve.to_dict("records")
    )  # fmt: skip
    columns = ("site", "trained on", study.group.many, "images", "read right", "less all of the sample", "folds")
    return Table("What each probe was trained on, and what it reads", columns, rows)


def _called(row: dict, many: str) -> str:
    name, of_dataset = row["trained_on"], row["of"] == "dataset"
    if name == "all":
        return "all of the sample"
    if name.startswith("share "):
        return f"{float(name.removeprefix('share ')) * 100:.0f} % of the {many}"
    if of_dataset:
        return "and one image of each other photo" if name == "more photos" else "and more images of its photos"
    return f"{plural(int(name.removeprefix('images ')), 'image')} of each photo at most"


def _of_sample(study: Study) -> pd.DataFrame:
    return study.learning_curve[study.learning_curve["of"] == "sample"]


def _gain(row: pd.Series) -> tuple[float, float, float]:
    return -row["difference"], -row["difference_high"], -row["difference_low"]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
