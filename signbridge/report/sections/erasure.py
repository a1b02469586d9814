"""Erasure: what is left to read, what comes back, and whether the answer minds."""

import math

import pandas as pd

from signbridge.report.charts.heat_map import position_by_site
from signbridge.report.charts.lines_by_site import lines_by_site
from signbridge.report.charts.style import (
    BLUE,
    GREY,
    VERMILLION,
    Series,
)
from signbridge.report.page_parts import Picture, Section, Table
from signbridge.report.study import Study
from signbridge.report.wording import (
    EDITED,
    ERASERS,
    POSITIONS,
    number,
    percent,
    points_with_interval,
    share_with_interval,
)

TITLE = "Is it missed: the {kind} taken out of the stream"
LOOKS = {"leace": (BLUE, "circle", (1, 0)), "shuffled_labels": (VERMILLION, "triangle-up", (6, 3)),
         "random_subspace": (GREY, "diamond", (8, 4))}  # fmt: skip


def section(study: Study) -> Section:
    """Probes at and after the site, and the share of answers that change."""
    title = TITLE.format(kind=study.kind)
    if study.erasure.empty:
        return Section("erasure", title, ("Nothing was erased in this run.",))
    there = [at for at in EDITED if at in set(study.erasure_answers["at"])]
    pictures = [picture for at in there for picture in (_read_after(study, at), _answers(study, at))]
    return Section("erasure", title, _lead(study, there), tuple(pictures))


def _lead(study: Study, there: list[str]) -> tuple[str, ...]:
    chance = percent(study.number("chance"))
    left, elsewhere = (
        percent(study.number(f"erasure_accuracy_left{where}", "causal")) for where in ("", "_in_other_photos")
    )
    lines = [
        "LEACE (Belrose et al. 2023) takes out of the stream at one site what a linear probe reads of the "
        f"{study.kind}, changing it as little as can be; at the image tokens, what it reads of their "
        "mean. It is fitted on the images that it erases, so that there new probes, cross-validated over photos, are "
        f"left with at most {left} by "
        f"construction (chance {chance}; below it, since what is balanced over all images leans the other way in the "
        f"photos left out). In photos that it was not fitted on it would leave up to {elsewhere}" + _one_token(study),
    ]
    if "erasure_comes_back" in study.causal:
        lines.append(_comes_back(study))
    return (*lines, *(_missed(study, at) for at in there))


def _one_token(study: Study) -> str:
    single = study.number("erasure_accuracy_left_at_one_image_token", "causal")
    return "." if math.isnan(single) else f", and at a single image token {percent(single)}."


def _comes_back(study: Study) -> str:
    back, more = (study.share(f"erasure_{key}", "causal") for key in ("comes_back", "given_back_by_image_tokens"))
    erased, site = (study.causal[f"erasure_comes_back_{what}"] for what in ("erased_site", "site"))
    verdict = "it is read again later" if back.low > study.number("chance") else "it is not shown to be read again"
    clean = percent(study.number("erasure_nothing_erased", "causal"))
    line = (
        f"Erased from the last token at {erased}, {verdict}: at {site} {share_with_interval(*back)}, with nothing "
        f"erased {clean}."
    )
    if not more.known:
        return line
    given = (
        "so much comes from tokens that were not touched"
        if more.low > 0 else "so it is not shown to come from the image tokens"
    )  # fmt: skip
    return (
        f"{line} Where the image tokens are erased there too it is {points_with_interval(*more)} less: {given}, and "
        "the rest from the question's words or from what a linear eraser cannot reach."
    )


def _missed(study: Study, at: str) -> str:
    key = f"erasure_{at}"
    changed, *over = (
        study.share(f"{key}_{name}", "causal")
        for name in ("leace_changed", "over_random_subspace", "over_shuffled_labels")
    )
    site = study.causal[f"{key}_site"]
    verdict = (
        "the answer hangs on what was erased"
        if min(difference.low for difference in over) > 0 else "the answer is not shown to hang on what was erased"
    )  # fmt: skip
    shares = {name: percent(study.number(f"{key}_{name}_changed", "causal")) for name in LOOKS}
    rises = {name: number(study.number(f"{key}_{name}_damage", "causal"), 2) for name in LOOKS}
    agreed = "" if study.causal[f"{key}_halves_agree"] else " (the halves chose differently; quoted is what each chose)"
    return (
        f"Erased from the {EDITED[at]}, most answers change at {site}{agreed}: {share_with_interval(*changed)} of them "
        f"begin with another token, against {shares['random_subspace']} where a random subspace of the same rank is "
        f"erased in its place and {shares['shuffled_labels']} where shuffled {study.kind}s are "
        f"({points_with_interval(*over[1])} more): {verdict}. Damage to descriptions: {rises['leace']} nats a token "
        f"(random {rises['random_subspace']}, shuffled {rises['shuffled_labels']})."
    )


def _name(study: Study, eraser: str) -> str:
    return ERASERS[eraser].format(kind=study.kind)


def _read_after(study: Study, at: str) -> Picture:
    """A row an erased site (and the controls of the first), a column a site that was read."""
    rows = study.erasure[study.erasure["read_position"] == "prompt_last"]
    mine = rows[rows["at"] == at]
    first = mine["site"].iloc[0]
    mine = mine[mine["eraser"].isin(LOOKS)]
    kept = mine[(mine["eraser"] == "leace") | (mine["site"] == first)]
    table = pd.concat([rows[rows["eraser"] == "nothing"], kept])
    labels = [
        "nothing erased" if row["eraser"] == "nothing" else f"{_name(study, row['eraser'])}\nat {row['site']}"
        for _, row in table.iterrows()
    ]
    table = table.assign(position=labels, at_site=table["read_site"])
    sites = list(dict.fromkeys(rows["read_site"]))
    drawn = table[["at_site", "position", "accuracy"]].rename(columns={"at_site": "site"})
    spec = position_by_site(drawn, sites, row=44)
    cells = {(row["position"], row["at_site"]): share_with_interval(*row[["accuracy", "accuracy_low", "accuracy_high"]])
             for _, row in table.iterrows()}  # fmt: skip
    order = list(dict.fromkeys(labels))
    twin = Table(
        f"Read right at the {POSITIONS['prompt_last']}", ("erased", *sites),
        tuple((label.replace("\n", " "), *(cells.get((label, site), "–") for site in sites)) for label in order),
    )  # fmt: skip
    sees = (
        "Each row is one erasure, each column a site at which a new probe was fitted and tested afterwards; where a "
        "row begins it was erased. Dark where it stays gone, bright where it is read again."
    )
    title = f"What a probe still reads at the {POSITIONS['prompt_last']}; erased: {EDITED[at]}"
    return Picture(f"erasure-read-{at.replace('_', '-')}", title, sees, twin, spec)


def _answers(study: Study, at: str) -> Picture:
    rows = study.erasure_answers[study.erasure_answers["at"] == at]
    table = rows.assign(series=[_name(study, name) for name in rows["eraser"]]).rename(
        columns={"changed": "accuracy", "changed_low": "low", "changed_high": "high"}
    )
    series = [Series(_name(study, name), *looks) for name, looks in LOOKS.items()]
    sites = list(dict.fromkeys(rows["site"]))
    spec = lines_by_site(table[["series", "site", "accuracy", "low", "high"]], sites, series, "answers changed")
    twin = Table(
        f"Answers changed, and damage; erased: {EDITED[at]}",
        ("erased", "site", "answers changed", "damage (nats a token)"),
        tuple((row["series"], row["site"], share_with_interval(row["accuracy"], row["low"], row["high"]),
               number(row["damage"], 3)) for _, row in table.iterrows()),
    )  # fmt: skip
    sees = (
        "The share of answers that begin with another token. A random subspace of the same rank and an eraser of "
        f"shuffled {study.kind}s say how much of that any erasure would do."
    )
    title = f"Does the answer mind? Erased: {EDITED[at]}"
    return Picture(f"erasure-answers-{at.replace('_', '-')}", title, sees, twin, spec)
