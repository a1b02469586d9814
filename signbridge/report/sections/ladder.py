"""The ladder: what each site gives away, from the pixels to the last layer, beside controls and chance."""

import math

import numpy as np
import pandas as pd

from signbridge.report.charts import style
from signbridge.report.charts.lines_by_site import lines_by_site
from signbridge.report.page_parts import Picture, Section, Table
from signbridge.report.study import Study
from signbridge.report.wording import (
    POSITIONS,
    count,
    interval,
    listing,
    p_value,
    percent,
    points,
    share_with_interval,
)

READ = "letters read right"
MODEL = style.Series("the model", style.BLUE, "circle", (1, 0))
CONTROLS = {
    "untrained_twin": (style.VERMILLION, "triangle-up", (6, 3)),
    "no_image": (style.GREEN, "square", (2, 2)),
    "other_letter": (style.PURPLE, "diamond", (6, 2, 2, 2)),
    "shuffled_labels": (style.INK, "cross", (3, 3)),
}


def curve(study: Study) -> Picture | None:
    """The picture of the first screen: the model at the headline's position, its controls, chance, and its text.

    None where no photo was kept on one side of the split: there is nothing to head the page with then.
    """
    rows = at_one_position(study.accuracy.query("protocol == 'grouped'"), study.position or "prompt_last")
    if rows.empty:
        return None
    lines, series = _lines(study, rows)
    title = f"{READ.replace('letter', study.kind).capitalize()} at each site, no photo on both sides of the split"
    spec = lines_by_site(lines, study.sites, series, "read right, other photos")
    return Picture("curve", title, _what_to_see(study, rows), _twin(study, lines, series), spec)


def at_one_position(rows: pd.DataFrame, position: str) -> pd.DataFrame:
    """The ladder proper: one row a site, the layers at `position`, those before them at `image_mean` (pixels flat).

    What enters the decoder at a text token is the same vector for every image, which says nothing of the ladder.
    """
    is_layer = rows["site"].str.startswith("layer_")
    before = ~is_layer & rows["position"].isin(["flat", "image_mean"])
    return rows[before | (is_layer & (rows["position"] == position))].sort_values("depth", kind="stable")


def section(study: Study) -> Section:
    """Both protocols side by side, every position a line."""
    protocols = study.protocols()
    if not protocols:
        return Section("protocols", "The ladder, by protocol and position", ("No site was probed in this run.",))
    lead = (
        "The notebook's split draws single images, so copies of one photo may stand on both sides of it; the other "
        "keeps every photo on one side. Only the second answers the question.",
    )
    pictures = tuple(_by_position(study, protocol) for protocol in protocols)
    return Section("protocols", "The ladder, by protocol and position", lead, pictures)


def _lines(study: Study, rows: pd.DataFrame) -> tuple[pd.DataFrame, list[style.Series]]:
    """What the curve draws (series, site, accuracy, low, high) and how each series looks."""
    tables, series = [rows.assign(series=MODEL.name)], [MODEL]
    for control, looks in CONTROLS.items():
        of_control = study.controls[study.controls["control"] == control]
        name = study.control_name(control)
        tables.append(at_one_position(of_control, study.position or "prompt_last").assign(series=name))
        series.append(style.Series(name, *looks))
    text = study.accuracy.query("protocol == 'grouped' and position == 'text'")
    if not text.empty:
        tables.append(_level(study, style.ANSWER.name, float(text["accuracy"].iloc[0])))
        series.append(style.ANSWER)
    chance = study.number("chance")
    if not math.isnan(chance):
        tables.append(_level(study, style.CHANCE.name, chance))
        series.append(style.CHANCE)
    lines = pd.concat([table[["series", "site", "accuracy", "low", "high"]] for table in tables if len(table)])
    return lines, [one for one in series if one.name in set(lines["series"])]


def _level(study: Study, name: str, share: float) -> pd.DataFrame:
    return pd.DataFrame({"series": name, "site": study.sites, "accuracy": share, "low": np.nan, "high": np.nan})


def _what_to_see(study: Study, rows: pd.DataFrame) -> str:
    shown = [
        f"{name} {share_with_interval(row['accuracy'], row['low'], row['high'])}"
        for site, name in (("pixels", "raw pixels"), ("vision", "the vision tower"))
        for _, row in rows[rows["site"] == site].iterrows()
    ]
    layers = rows[rows["site"].str.startswith("layer_")]
    if not layers.empty:
        low, high = layers["accuracy"].min(), layers["accuracy"].max()
        shown.append(f"the layers {percent(low)} to {percent(high)}")
    controls = [
        f"{study.control_name(control)} {percent(study.number(f'grouped_{control}'))}"
        for control in CONTROLS
        if not math.isnan(study.number(f"grouped_{control}"))
    ]
    beside = f" Controls: {listing(controls)}." if controls else ""
    beside = " No control was run." if study.controls.empty else beside
    p = p_value(study.number("grouped_p_value"))
    tested = f" Against shuffled labels {p}." if p else ""
    where = "Before the layers it is the mean over image tokens"
    if study.position:
        where += f", in them the {POSITIONS[study.position]}"
    shade = f"the shade is the {percent(study.number('confidence'), 0)} interval, photos resampled"
    return f"Read right: {listing(shown)}; {shade}. {where}.{beside}{tested}"


def _twin(study: Study, lines: pd.DataFrame, series: list[style.Series]) -> Table:
    """A row a site; a column a series, and how far the model lies above each control."""
    names = [one.name for one in series]
    cells = {
        (row["series"], row["site"]): share_with_interval(row["accuracy"], row["low"], row["high"])
        for _, row in lines.iterrows()
    }
    above = (
        {
            (study.control_name(row["control"]), row["site"]): points(row["selectivity"])
            for _, row in at_one_position(study.controls, study.position or "prompt_last").iterrows()
        }
        if not study.controls.empty
        else {}
    )
    compared = [name for name in names if any(name == key for key, _ in above)]
    rows = tuple(
        (
            site,
            *(cells.get((name, site), "–") for name in names),
            *(above.get((name, site), "–") for name in compared),
        )
        for site in study.sites
    )
    columns = ("site", *names, *(f"above {name}" for name in compared))
    position = f", {study.position}" if study.position else ""
    return Table(f"Share read right at each site{position}, with intervals", columns, rows)


def _by_position(study: Study, protocol: str) -> Picture:
    rows = study.accuracy[study.accuracy["protocol"] == protocol]
    named = {position: one.name for position, one in style.POSITIONS.items()} | {"text": style.ANSWER.name}
    text = rows[rows["position"] == "text"]
    lines = rows[rows["position"] != "text"].assign(series=lambda table: table["position"].map(named))
    levels = [_level(study, style.ANSWER.name, share) for share in text["accuracy"].head(1)]
    levels.append(_level(study, style.CHANCE.name, study.number("chance")))
    drawn = pd.concat([lines[["series", "site", "accuracy", "low", "high"]], *levels])
    series = [*style.POSITIONS.values(), style.ANSWER, style.CHANCE]
    name = study.protocol_name(protocol)
    spec = lines_by_site(drawn, study.sites, series, "read right")
    twin = Table(
        f"Every probe: {name}",
        ("site", "position", "read right", "interval", "images tested"),
        tuple(
            (row["site"], row["position"], percent(row["accuracy"]), interval(row["low"], row["high"]),
             count(row["images_tested"]))
            for _, row in rows.iterrows()
        ),
    )  # fmt: skip
    return Picture(
        f"protocol-{protocol}", name[0].upper() + name[1:], _sees_protocol(study, protocol, rows), twin, spec
    )


def _sees_protocol(study: Study, protocol: str, rows: pd.DataFrame) -> str:
    layers = rows[rows["site"].str.startswith("layer_")]
    best = ""
    if not layers.empty:
        top = layers.loc[layers["accuracy"].idxmax()]
        best = f"The highest figure of any layer is {percent(top['accuracy'])} ({top['site']}, {top['position']})"
        pixels = rows[rows["site"] == "pixels"]["accuracy"]
        best += f", raw pixels have {percent(pixels.iloc[0])}. " if len(pixels) else ". "
    if study.leaks(protocol):
        return (
            f"{best}This split is leaking: {percent(study.copies_in_train(protocol))} of its test images have a copy "
            "of their photo in training, so these figures measure memory of photos as well."
        )
    return f"{best}No test image has a copy of its photo in training."
