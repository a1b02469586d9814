"""Activation patching: where the answer is carried, beside where a probe reads it."""

import pandas as pd

from signbridge.report.charts.heat_map import position_by_site
from signbridge.report.charts.lines_by_site import lines_by_site
from signbridge.report.charts.style import (
    BLUE,
    GREEN,
    GREY,
    Series,
)
from signbridge.report.page_parts import Picture, Section, Table
from signbridge.report.study import Study
from signbridge.report.wording import (
    EDITED,
    count,
    percent,
    points,
    share_with_interval,
)

HARDLY = 0.1  # of the answer
TITLE = "Where the answer comes from: another image's stream put in"
PROBE, LAST, IMAGE = (
    Series("a probe reads the {kind}, last token of the prompt", GREY, "diamond", (2, 2)),
    Series("answer moved, last token of the prompt", BLUE, "circle", (1, 0)),
    Series("answer moved, image tokens", GREEN, "square", (6, 3)),
)


def section(study: Study) -> Section:
    """Layer by position, and the curve beside the probe's."""
    if study.patching.empty:
        return Section("patching", TITLE, ("No image was patched into another in this run.",))
    return Section("patching", TITLE, _lead(study), (_beside_the_probe(study), _heat_map(study)))


def _lead(study: Study) -> tuple[str, ...]:
    pairs, causal = count(study.number("patching_pairs", "causal")), study.causal
    handover, step = causal["patching_handover_site"], causal["patching_largest_step_site"]
    low, high = (causal[f"patching_handover_site_{end}"] for end in ("low", "high"))
    confidence = percent(study.number("confidence", "causal"), 0)
    between = str(low) if low == high else f"{low} to {high}"
    question = (
        f"the logits of the two {study.kind}s, which the prompt offers,"
        if causal.get("patching_question") == "two_letters"
        else "the logits of the two images' answers"
    )
    carried = " against ".join(
        percent(study.number(f"patching_handover_{position}", "causal")) for position in ("prompt_last", "image")
    )
    return (
        f"A probe shows that the {study.kind} can be read, not that the model uses it. So {pairs} pairs of photos "
        "were put into each other: in the run on one, the residual stream of the other takes its place at one site, "
        f"and the difference of {question} tells how far the answer follows (0: not at all, 1: all the way; swaps of "
        "real runs and logit differences, after Zhang and Nanda 2023).",
        f"From {handover} on the last token carries more of the answer than the image tokens do, {carried} there "
        f"({between} in {confidence} of the resamples); the block that brings most of it there is {step}, "
        f"{points(study.number('patching_largest_step', 'causal'))} at once. {_read_before(study)}",
    )


def _read_before(study: Study) -> str:
    """Whether a probe reads the letter at the last token where the answer hardly hangs on it."""
    probe = _probe(study)
    effect = study.patching[study.patching["position"] == "prompt_last"].set_index("site")["effect"]
    layers = probe[probe["site"].str.startswith("layer_") & probe["site"].isin(effect.index)]
    if layers.empty:
        return "No layer was probed at the last token, so nothing says where it could be read."
    read = layers[layers["site"].map(effect) < HARDLY]
    if read.empty:
        return "At no probed layer could the last token be exchanged without the answer following."
    best = read.loc[read["accuracy"].idxmax()]
    moved = percent(effect[best["site"]])
    if best["low"] <= study.number("chance"):
        return f"Where the answer hardly follows the last token, a probe of it is not shown to read the {study.kind}."
    return (
        f"Yet at {best['site']} a probe of the last token reads {percent(best['accuracy'])} of the {study.kind}s, "
        f"where putting in another image's moves {moved} of the answer: read there, and hardly used."
    )


def _probe(study: Study) -> pd.DataFrame:
    rows = study.accuracy[(study.accuracy["protocol"] == "grouped") & (study.accuracy["position"] == "prompt_last")]
    return rows.sort_values("depth")


def _beside_the_probe(study: Study) -> Picture:
    name = PROBE.name.format(kind=study.kind)
    curves = [_probe(study)[["site", "accuracy", "low", "high"]].assign(series=name)]
    for position, series in (("prompt_last", LAST), ("image", IMAGE)):
        rows = study.patching[study.patching["position"] == position]
        rows = rows.rename(columns={"effect": "accuracy", "effect_low": "low", "effect_high": "high"})
        curves.append(rows[["site", "accuracy", "low", "high"]].assign(series=series.name))
    table = pd.concat(curves, ignore_index=True)
    sites = list(study.patching["site"].unique())
    spec = lines_by_site(table, sites, [PROBE._replace(name=name), LAST, IMAGE], "share")
    cells = {(row["series"], row["site"]): share_with_interval(row["accuracy"], row["low"], row["high"])
             for _, row in table.iterrows()}  # fmt: skip
    columns = [name, LAST.name, IMAGE.name]
    twin = Table(
        "What is read and what is used, by site", ("site", *columns),
        tuple((site, *(cells.get((column, site), "–") for column in columns)) for site in sites),
    )  # fmt: skip
    sees = (
        "Grey: where a probe finds the letter. Blue and green: how much of the answer the last token and the image "
        "tokens carry at that depth. At the last site only the last token is still read, so its curve ends at 1; at "
        "the embedding it is the same token in every prompt, so it begins at 0."
    )
    return Picture("patching-curve", "Where it is read, and where it is used", sees, twin, spec)


def _heat_map(study: Study) -> Picture:
    rows, sites = study.patching, list(study.patching["site"].unique())
    order = [position for position in EDITED if position in set(rows["position"])]
    drawn = pd.concat([rows[rows["position"] == position] for position in order])
    drawn = drawn.assign(position=drawn["position"].map(EDITED), accuracy=drawn["effect"].clip(0, 1))
    spec = position_by_site(drawn[["site", "position", "accuracy"]], sites, "answer moved")
    cells = {(row["site"], row["position"]): (row["effect"], row["says_donor"]) for _, row in rows.iterrows()}
    columns = [text for position in order for text in (EDITED[position], "likeliest is the other")]
    table = tuple((site, *(percent(value) for position in order for value in cells[site, position])) for site in sites)
    twin = Table("How far the answer follows, and how often it becomes the other's", ("site", *columns), table)
    sees = (
        "With all tokens swapped the run is the other image's from there on, so that row is filled in, not run. What "
        "leaves the image tokens' row turns up behind them; where both rows are pale it is in the question's words."
    )
    return Picture("patching-map", "How far the answer follows, by site and token", sees, twin, spec)
