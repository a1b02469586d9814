"""What single features of the autoencoders fire for: a browser, the best of each letter, and the joints they track."""

import pandas as pd

from signbridge.report.feature_browser import feature_browser, joint_name, tracked
from signbridge.report.inputs import Sae
from signbridge.report.page_parts import Section, Table
from signbridge.report.wording import (
    POSITIONS,
    count,
    listing,
    number,
    p_value,
    plural,
    short,
)

TITLE = "What single features fire for"
NAME = "features"
MOST_TRACKED = 60  # rows of the table


def section(sae: Sae) -> Section | None:
    """What the stage `examples` found, and which features track a joint, where that is known."""
    if sae.features.empty:
        return None
    lead = [_rule(sae), _read(sae), *_told(sae), *_tracks(sae)]
    found = [table for table in (_letters(sae), _joints(sae)) if table.rows]
    return Section(NAME, TITLE, tuple(lead), tables=tuple(found), features=feature_browser(sae))


def _rule(sae: Sae) -> str:
    settings = sae.examples_made_by["examples"]
    return (
        "The features shown are chosen by a fixed rule, not by how they look: at each layer the "
        f"{count(settings['letters'])} best for each {sae.kind}, then the most active by their mean over image and "
        f"over text tokens, up to {count(settings['features'])} a layer, without dead ones. The score of a feature for "
        f"a {sae.kind} is its AUC: how often its mean over image tokens is higher in an image of the {sae.kind} than "
        f"in another. Half of the {sae.group.many} rank the features; the AUC shown is that on the others."
    )


def _read(sae: Sae) -> str:
    made_by = sae.examples_made_by
    photos, phrases = (
        f"{'all' if made_by[f'{kind}_read'] == made_by[kind] else count(made_by[f'{kind}_read'])} of {there}"
        for kind, there in (
            ("images", f"the {plural(made_by['images'], 'photo')} of the sample"),
            ("phrases", f"the {plural(made_by['phrases'], 'phrase')} of the corpus"),
        )
    )
    return (
        f"The strongest images were searched in one image of {photos}, the strongest sentences in {phrases}. No two "
        "sentences of a feature are the same up to its strongest token."
    )


def _told(sae: Sae) -> list[str]:
    """The best feature of each letter beside the best dimension of the stream, chosen in the same way."""
    best = sae.letters[sae.letters["rank"] == 1]
    if best.empty:
        enough = f"No {sae.kind} has enough {sae.group.many}"
        return [f"{enough} to rank features on one half of them and test on the other."]
    means = best.groupby(["site", "reads"], sort=False)["auc_held_out"].mean()
    said = [
        f"{number(means[site, 'sae'], 3)} at {site} (the best dimension of the stream, chosen in the same way: "
        f"{number(means[site, 'stream'], 3)})"
        for site in dict.fromkeys(best["site"])
        if (site, "sae") in means and (site, "stream") in means
    ]
    if not said:
        return []
    return [f"The best feature of a {sae.kind} has an AUC of {listing(said)}, on average over {sae.kind}s."]


def _tracks(sae: Sae) -> list[str]:
    if sae.fingers.empty:
        return []
    found = tracked(sae.fingers)
    if found.empty:
        return ["No feature tracks a joint of a finger after correction for the number of features tried."]
    features = len(found.drop_duplicates(["site", "feature"]))
    return [
        f"{plural(features, 'feature')} {'tracks' if features == 1 else 'track'} a joint of a finger over photos, "
        "against shuffled hands and corrected for the number of features tried."
    ]


def _letters(sae: Sae) -> Table:
    best = sae.letters[sae.letters["rank"] == 1]
    cells = {(row.letter, row.site, row.reads): row for row in best.itertuples(index=False)}
    sites = list(dict.fromkeys(best["site"]))

    def cell(letter: str, site: str, reads: str) -> str:
        row = cells.get((letter, site, reads))
        return "–" if row is None else f"{number(row.auc_held_out, 3)} (no. {row.feature})"

    return Table(
        f"The best feature and the best dimension of the stream for each {sae.kind}: AUC on other {sae.group.many}",
        (sae.kind, *(f"{site}, {name}" for site in sites for name in ("feature", "dimension"))),
        tuple(
            (short(letter), *(cell(letter, site, reads) for site in sites for reads in ("sae", "stream")))
            for letter in sae.letter_names if letter in set(best["letter"])
        ),
    )  # fmt: skip


def _joints(sae: Sae) -> Table:
    found: pd.DataFrame = tracked(sae.fingers)
    rows = list(found.iloc[:MOST_TRACKED].itertuples(index=False))
    more = f", the {count(MOST_TRACKED)} strongest of {count(len(found))}" if len(found) > MOST_TRACKED else ""
    return Table(
        f"Features that track a joint{more}",
        ("feature", "joint", "read at", "r over photos", "corrected p", f"r within {sae.kind}s", "its p"),
        tuple(
            (f"{row.site}, {count(row.feature)}", joint_name(row), POSITIONS.get(row.position, row.position),
             number(row.r, 2), p_value(row.p), number(row.within_r, 2), p_value(row.within_p) or "–")
            for row in rows
        ),
    )  # fmt: skip
