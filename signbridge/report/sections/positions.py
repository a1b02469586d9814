"""Accuracy by token position and site, as a map."""

import pandas as pd

from signbridge.report.charts.by_site import map_by_site
from signbridge.report.inputs import Study
from signbridge.report.page_parts import Picture, Section, Table
from signbridge.report.palette import POSITIONS
from signbridge.report.wording import POSITIONS as WORDS
from signbridge.report.wording import percent, points

TITLE = "Which token, at which depth"


def section(study: Study) -> Section | None:
    """Position by site under the protocol without leakage, or under the notebook's split where only that was run."""
    protocols = study.protocols()
    if not protocols:
        return None
    protocol = protocols[-1]
    rows = study.accuracy[(study.accuracy["protocol"] == protocol) & (study.accuracy["position"] != "text")]
    order = [position for position in POSITIONS if position in set(rows["position"])]
    rows = rows.sort_values(["position", "depth"], key=lambda c: c.map(order.index) if c.name == "position" else c)
    drawn = pd.DataFrame({"site": rows["site"], "name": rows["position"].map(_two_lines), "value": rows["accuracy"]})
    spec = map_by_site(drawn, study.sites)
    title = f"Share read right, {study.protocol_name(protocol)}"
    return Section("positions", TITLE, (), (Picture("heat-map", title, _sees(rows), _twin(study, rows, order), spec),))


def _two_lines(position: str) -> str:
    words = WORDS[position].split()
    return f"{' '.join(words[:-2])}\n{' '.join(words[-2:])}".strip()


def _twin(study: Study, rows: pd.DataFrame, order: list[str]) -> Table:
    cells = {(row["position"], row["site"]): percent(row["accuracy"]) for _, row in rows.iterrows()}
    table = tuple((site, *(cells.get((position, site), "–") for position in order)) for site in study.sites)
    return Table("Share read right, by site and position", ("site", *order), table)


def _sees(rows: pd.DataFrame) -> str:
    layers = rows[rows["site"].str.startswith("layer_")]
    best = [
        f"{WORDS[position]}: {percent(group['accuracy'].max())} at {group.loc[group['accuracy'].idxmax(), 'site']}"
        for position, group in layers.groupby("position", sort=False)
    ]
    if not best:
        return "No layer was probed; the sites before the decoder have one position each."
    sees = f"The highest of each row: {'; '.join(best)}."
    mean = layers.groupby("position")["accuracy"].mean()
    if {"prompt_last", "answer_last"} <= set(mean.index):
        gap = mean["answer_last"] - mean["prompt_last"]
        sees += (
            f" On average over the layers, the last token of the answer, which comes after the model's own word, is "
            f"{points(abs(gap))} {'above' if gap >= 0 else 'below'} the last token of the prompt."
        )
    return sees
