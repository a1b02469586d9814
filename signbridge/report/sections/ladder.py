"""The layer curve on the page: accuracy from the pixels to the last layer, beside controls and chance."""

import math

import numpy as np
import pandas as pd

from signbridge.report import palette
from signbridge.report.curve import at_one_position, lines_by_site
from signbridge.report.inputs import Study
from signbridge.report.page_parts import Picture, Section, Table
from signbridge.report.palette import Series
from signbridge.report.sections.signers import seen_and_unseen
from signbridge.report.sentences import few_groups
from signbridge.report.wording import (
    GROUPS,
    POSITIONS,
    count,
    interval,
    listing,
    p_value,
    percent,
    plural,
    points,
    points_with_interval,
    share_with_interval,
)

READ = "letters read right"


def curve(study: Study) -> Picture | None:
    """The picture of the first screen: the model at the headline's position, its controls, chance, and its text.

    None where the protocol that keeps each group on one side of the split was not run.
    """
    rows = at_one_position(study.accuracy.query("protocol == 'grouped'"), study.position or "prompt_last")
    if rows.empty:
        return None
    lines, series = _lines(study, rows)
    title = (
        f"{READ.replace('letter', study.kind).capitalize()} at each site, {study.split_name('grouped')} of the split"
    )
    spec = lines_by_site(lines, study.sites, series, f"read right, other {study.group.many}")
    return Picture("curve", title, _what_to_see(study, rows), _twin(study, lines, series), spec)


def section(study: Study) -> Section | None:
    """Both protocols side by side, every position a line."""
    protocols = study.protocols()
    if not protocols:
        return None
    lead = (
        f"The notebook's split draws single images, so {study.group.apart} can stand on both sides of it. The other "
        f"split keeps {study.group.whole} on one side. Only the second answers the question.",
    )
    few = few_groups(study)
    if few:
        lead = (*lead, f"The number of {study.group.many} is {few}.")
    pictures = tuple(_by_position(study, protocol) for protocol in protocols)
    by_signer = seen_and_unseen(study)
    pictures += (by_signer,) if by_signer else ()
    title = "Accuracy by protocol, position and site"
    return Section("protocols", title, (*lead, *_remembered(study)), pictures, tables=_selectivity(study))


def _remembered(study: Study) -> tuple[str, ...]:
    """What the control task of Hewitt and Liang reads under the notebook's split, as a sentence."""
    told = []
    for name, what in (("pixels", "raw pixels"), ("vision", "the vision tower"), ("peak", "the best layer")):
        read, selectivity = (
            study.found.number(f"{study.notebook}{name}_{key}") for key in ("control_task", "selectivity")
        )
        if not math.isnan(read):
            told.append(f"{percent(read)} from {what} (selectivity {points(selectivity)})")
    if not told:
        return ()
    return (
        f"How much a probe can remember under {study.protocol_name('signbridge')}: each photo gets one random "
        f"{study.kind}, its copies with it, and a probe still reads {listing(told)}. Selectivity is the accuracy of "
        f"the true {study.kind}s less that (Hewitt and Liang 2019).",
    )


def _selectivity(study: Study) -> tuple[Table, ...]:
    rows = tuple(
        (row["site"], row["position"], percent(row["accuracy"]), percent(row["control_task"]),
         points_with_interval(*row[["selectivity", "selectivity_low", "selectivity_high"]]))
        for _, row in study.selectivity.iterrows()
    )  # fmt: skip
    columns = ("site", "position", f"{study.kind}s", "one random label a photo", "selectivity")
    caption = f"The control task under {study.protocol_name('signbridge')}"
    return (Table(caption, columns, rows),) if rows else ()


def _lines(study: Study, rows: pd.DataFrame) -> tuple[pd.DataFrame, list[Series]]:
    """What the curve draws (series, site, accuracy, low, high) and how each series looks."""
    tables, series = [rows.assign(series=palette.MODEL.name)], [palette.MODEL]
    for control, looks in palette.of_kind(palette.CONTROLS, study.kind).items():
        of_control = study.controls[study.controls["control"] == control]
        tables.append(at_one_position(of_control, study.position or "prompt_last").assign(series=looks.name))
        series.append(looks)
    text = study.accuracy.query("protocol == 'grouped' and position == 'text'")
    if not text.empty:
        tables.append(_level(study, palette.ANSWER.name, float(text["accuracy"].iloc[0])))
        series.append(palette.ANSWER)
    chance = study.found.number("chance")
    if not math.isnan(chance):
        tables.append(_level(study, palette.CHANCE.name, chance))
        series.append(palette.CHANCE)
    lines = pd.concat([_drawn(table) for table in tables if len(table)])
    return lines, [one for one in series if one.name in set(lines["series"])]


def _drawn(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that `lines_by_site` draws."""
    return table.rename(columns={"accuracy": "value"}).reindex(
        columns=["series", "site", "position", "value", "low", "high"]
    )


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
        f"{study.control_name(control)} {percent(study.found.number(f'grouped_{control}'))}"
        for control in palette.CONTROLS
        if not math.isnan(study.found.number(f"grouped_{control}"))
    ]
    beside = f" Controls: {listing(controls)}." if controls else ""
    beside = " No control was run." if study.controls.empty else beside
    p = p_value(study.found.number("grouped_p_value"))
    draws = study.found.number("grouped_shuffled_draws")
    of_draws = "" if math.isnan(draws) else f" ({plural(int(draws), 'draw')} at the layer that most folds chose)"
    tested = f" Against shuffled labels {p}{of_draws}." if p else ""
    where = "Before the layers the probe sees the mean over image tokens"
    if study.position:
        where += f", in the layers the {POSITIONS[study.position]}"
    shade = f"the shade is the {percent(study.found.number('confidence'), 0)} interval, {study.group.many} resampled"
    return f"Read right: {listing(shown)}; {shade}. {where}.{beside}{tested}"


def _twin(study: Study, lines: pd.DataFrame, series: list[Series]) -> Table:
    """A row a site; a column a series, and how far the model lies above each control."""
    names = [one.name for one in series]
    cells = {
        (row["series"], row["site"]): share_with_interval(row["value"], row["low"], row["high"])
        for _, row in lines.iterrows()
    }
    above = (
        {
            (study.control_name(row["control"]), row["site"]): points(row["over_control"])
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
    named = {position: one.name for position, one in palette.POSITIONS.items()} | {"text": palette.ANSWER.name}
    text = rows[rows["position"] == "text"]
    lines = rows[rows["position"] != "text"].assign(series=lambda table: table["position"].map(named))
    levels = [_level(study, palette.ANSWER.name, share) for share in text["accuracy"].head(1)]
    levels.append(_level(study, palette.CHANCE.name, study.found.number("chance")))
    drawn = pd.concat([_drawn(table) for table in (lines, *levels)])
    series = [*palette.POSITIONS.values(), palette.ANSWER, palette.CHANCE]
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
            "of their photo in training, so its accuracy also measures memory of photos."
        )
    own = study.group.own if protocol == "grouped" else GROUPS["photo"].own
    return f"{best}No test image has {own} in training."
