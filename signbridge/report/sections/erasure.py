"""Erasure: what a probe still reads, what later layers restore, and whether the answer changes."""

import math

import pandas as pd

from signbridge.report import palette
from signbridge.report.charts.by_site import map_by_site
from signbridge.report.curve import lines_by_site
from signbridge.report.inputs import Causal
from signbridge.report.page_parts import Picture, Section, Table
from signbridge.report.wording import (
    EDITED,
    POSITIONS,
    number,
    percent,
    points_with_interval,
    share_with_interval,
)

TITLE = "Does the answer change when the {kind} is erased: erasure"


def section(causal: Causal) -> Section | None:
    """Probes at and after the erased site, and the share of answers that change."""
    title = TITLE.format(kind=causal.kind)
    if causal.erasure.empty:
        return None
    there = _erased(causal)
    pictures = [picture for at in there for picture in (_read_after(causal, at), _answers(causal, at))]
    return Section("erasure", title, _lead(causal, there), tuple(pictures))


def answer(causal: Causal) -> tuple[str, ...]:
    """Whether answers change when the letter is erased, as a sentence; none where nothing was erased."""
    there = _erased(causal)
    if not there:
        return ()
    at = max(there, key=lambda one: causal.found.number(f"erasure_{one}_leace_changed"))
    changed, shuffled = (causal.found.share(f"erasure_{at}_{name}_changed") for name in ("leace", "shuffled_labels"))
    return (
        f"Erasing the {causal.kind} from the {EDITED[at]} changes {share_with_interval(*changed)} of the answers, "
        f"erasing shuffled {causal.kind}s {percent(shuffled.value)}: {_verdict(causal, at)}.",
    )


def _verdict(causal: Causal, at: str) -> str:
    over = [causal.found.share(f"erasure_{at}_over_{name}") for name in ("random_subspace", "shuffled_labels")]
    depends = "depends" if min(difference.low for difference in over) > 0 else "is not shown to depend"
    return f"the answer {depends} on what was erased"


def _erased(causal: Causal) -> list[str]:
    """The kinds of token at which the letter was erased."""
    return [at for at in EDITED if at in set(causal.erasure_answers["at"])]


def _lead(causal: Causal, there: list[str]) -> tuple[str, ...]:
    chance = percent(causal.chance)
    left, in_sample = (percent(causal.found.number(f"erasure_accuracy_left{where}")) for where in ("", "_in_sample"))
    lines = [
        "LEACE (Belrose et al. 2023) removes from the stream at one site all that a linear probe could read of the "
        f"{causal.kind}, with the smallest possible change. At the image tokens it removes what can be read of their "
        f"mean. It was fitted on {_fitted_on(causal)}. New probes of the erased "
        f"stream, cross-validated over {causal.group.many}, then read at most {left} (chance {chance})"
        + _one_token(causal)
        + f" Footnote: fitted on the very images that it erases, it seems to leave at most {in_sample}. Such probes "
        "fall below chance, since a class that is frequent in training is rare among the held-out "
        f"{causal.group.many}. Every share weights images equally; intervals resample {causal.group.many}, and the "
        "draws of a control.",
    ]
    if "erasure_comes_back" in causal.found:
        lines.append(_comes_back(causal))
    return (*lines, *(_missed(causal, at) for at in there))


def _fitted_on(causal: Causal) -> str:
    drawn = causal.found.number("erasure_drawn_images")
    other_half = f"the half of the {causal.group.many} that it does not erase"
    return f"{drawn:,.0f} other images, drawn for it" if drawn > 0 else other_half


def _one_token(causal: Causal) -> str:
    single = causal.found.number("erasure_accuracy_left_at_one_image_token")
    return "." if math.isnan(single) else f", and LEACE of the mean leaves {percent(single)} at a single image token."


def _comes_back(causal: Causal) -> str:
    back, more = (causal.found.share(f"erasure_{key}") for key in ("comes_back", "given_back_by_image_tokens"))
    erased, site = (causal.found[f"erasure_comes_back_{what}"] for what in ("erased_site", "site"))
    verdict = "it is read again later" if back.low > causal.chance else "it is not shown to be read again"
    clean = percent(causal.found.number("erasure_nothing_erased"))
    line = (
        f"Erased from the last token at {erased}, {verdict}: at {site} {share_with_interval(*back)}, with nothing "
        f"erased {clean}."
    )
    if not more.known:
        return line
    given = (
        "that much comes from tokens that were not erased"
        if more.low > 0 else "so it is not shown to come from the image tokens"
    )  # fmt: skip
    return (
        f"{line} If the image tokens are erased there too, it is {points_with_interval(*more)} less: {given}. The rest "
        "comes from the tokens of the question or from what a linear eraser does not remove."
    )


def _missed(causal: Causal, at: str) -> str:
    key = f"erasure_{at}"
    changed, *over = (
        causal.found.share(f"{key}_{name}")
        for name in ("leace_changed", "over_random_subspace", "over_shuffled_labels")
    )
    site = causal.found[f"{key}_site"]
    shares = {name: percent(causal.found.number(f"{key}_{name}_changed")) for name in palette.ERASERS}
    rises = {name: number(causal.found.number(f"{key}_{name}_damage"), 2) for name in palette.ERASERS}
    agreed = (
        ""
        if causal.found[f"{key}_halves_agree"]
        else " (the two halves chose different sites; the figures are those of both choices)"
    )
    return (
        f"Erasing the {causal.kind} from the {EDITED[at]} changes the most answers at {site}{agreed}: "
        f"{share_with_interval(*changed)} begin with another token. Erasing a random subspace of the same rank changes "
        f"{shares['random_subspace']}, erasing shuffled {causal.kind}s {shares['shuffled_labels']} (a difference of "
        f"{points_with_interval(*over[1])}): {_verdict(causal, at)}. Damage to descriptions: {rises['leace']} nats a "
        f"token (random {rises['random_subspace']}, shuffled {rises['shuffled_labels']})."
    )


def _read_after(causal: Causal, at: str) -> Picture:
    """A row an erased site (and the controls of the first), a column a site that was read."""
    rows = causal.erasure[causal.erasure["read_position"] == "prompt_last"]
    mine = rows[rows["at"] == at]
    first = mine["site"].iloc[0]
    mine = mine[mine["eraser"].isin(palette.ERASERS)]
    kept = mine[(mine["eraser"] == "leace") | (mine["site"] == first)]
    table = pd.concat([rows[rows["eraser"] == "nothing"], kept])
    looks = palette.of_kind(palette.ERASERS, causal.kind)
    labels = [
        "nothing erased" if row["eraser"] == "nothing" else f"{looks[row['eraser']].name}\nat {row['site']}"
        for _, row in table.iterrows()
    ]
    table = table.assign(name=labels, at_site=table["read_site"])
    sites = list(dict.fromkeys(rows["read_site"]))
    drawn = table[["at_site", "name", "accuracy"]].rename(columns={"at_site": "site", "accuracy": "value"})
    spec = map_by_site(drawn, sites, row=44)
    cells = {(row["name"], row["at_site"]): share_with_interval(*row[["accuracy", "accuracy_low", "accuracy_high"]])
             for _, row in table.iterrows()}  # fmt: skip
    order = list(dict.fromkeys(labels))
    twin = Table(
        f"Read right at the {POSITIONS['prompt_last']}", ("erased", *sites),
        tuple((label.replace("\n", " "), *(cells.get((label, site), "–") for site in sites)) for label in order),
    )  # fmt: skip
    sees = (
        "Each row is one erasure, at the site where the row begins. Each column is a site at which a new probe was "
        f"fitted and tested afterwards. Dark: the {causal.kind} is still gone; bright: it is read again."
    )
    title = f"What a probe still reads at the {POSITIONS['prompt_last']}; erased: {EDITED[at]}"
    return Picture(f"erasure-read-{at.replace('_', '-')}", title, sees, twin, spec)


def _answers(causal: Causal, at: str) -> Picture:
    looks = palette.of_kind(palette.ERASERS, causal.kind)
    rows = causal.erasure_answers[causal.erasure_answers["at"] == at]
    table = rows.assign(series=[looks[name].name for name in rows["eraser"]]).rename(
        columns={"changed": "value", "changed_low": "low", "changed_high": "high"}
    )
    sites = list(dict.fromkeys(rows["site"]))
    spec = lines_by_site(
        table[["series", "site", "value", "low", "high"]], sites, list(looks.values()), "answers changed"
    )
    twin = Table(
        f"Answers changed, and damage; erased: {EDITED[at]}",
        ("erased", "site", "answers changed", "damage (nats a token)"),
        tuple((row["series"], row["site"], share_with_interval(row["value"], row["low"], row["high"]),
               number(row["damage"], 3)) for _, row in table.iterrows()),
    )  # fmt: skip
    sees = (
        "The share of answers that begin with another token. A random subspace of the same rank and an eraser of "
        f"shuffled {causal.kind}s show how many answers any erasure of that size changes."
    )
    title = f"Answers changed; erased: {EDITED[at]}"
    return Picture(f"erasure-answers-{at.replace('_', '-')}", title, sees, twin, spec)
