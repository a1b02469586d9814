"""What single features of the autoencoders fire for: a browser, the letters they tell, and the joints they track."""

import pandas as pd

from signbridge.report.feature_browser import feature_browser, joint_name, tracked
from signbridge.report.page_parts import Section, Table
from signbridge.report.study import Study
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


def section(study: Study) -> Section:
    """What the stage `sae_examples` found, and which features track a joint, where that is known."""
    if study.sae_features.empty:
        return Section(NAME, TITLE, ("No feature of a sparse autoencoder was looked at in this run.",))
    lead = [_rule(study), _read(study), *_told(study), *_tracks(study)]
    found = [table for table in (_letters(study), _joints(study)) if table.rows]
    return Section(NAME, TITLE, tuple(lead), tables=tuple(found), features=feature_browser(study))


def _rule(study: Study) -> str:
    settings = study.sae_examples["sae_examples"]
    return (
        f"Which features are shown follows a rule that asks nothing of what they look like: of each {study.kind} the "
        f"{count(settings['letters'])} at each layer that tell it best, and beside them the most active, by their mean "
        f"over image and over text tokens, up to {count(settings['features'])} a layer; none that is dead. How well a "
        f"feature tells a {study.kind} is its AUC: how often its mean over image tokens is higher in an image of the "
        f"{study.kind} than in another. Half of the photos rank the features; the AUC that is shown is on the others."
    )


def _read(study: Study) -> str:
    made_by = study.sae_examples
    photos, phrases = (
        f"{'all' if made_by[f'{kind}_read'] == made_by[kind] else count(made_by[f'{kind}_read'])} of {there}"
        for kind, there in (
            ("images", f"the {plural(made_by['images'], 'photo')} of the sample"),
            ("phrases", f"the {plural(made_by['phrases'], 'phrase')} of the corpus"),
        )
    )
    return (
        f"The strongest images were looked for in one image of {photos}, the strongest sentences in {phrases}; no two "
        "sentences of a feature begin alike up to its strongest token."
    )


def _told(study: Study) -> list[str]:
    """The best feature of each letter beside the best dimension of the stream, which was picked alike."""
    best = study.sae_letters[study.sae_letters["rank"] == 1]
    if best.empty:
        return [f"No {study.kind} has photos enough to rank features on one half of them and test on the other."]
    means = best.groupby(["site", "reads"], sort=False)["auc_held_out"].mean()
    said = [
        f"{number(means[site, 'sae'], 3)} at {site} (the best of the stream's own dimensions, picked alike: "
        f"{number(means[site, 'stream'], 3)})"
        for site in dict.fromkeys(best["site"])
        if (site, "sae") in means and (site, "stream") in means
    ]
    if not said:
        return []
    return [f"The best feature of a {study.kind} has an AUC of {listing(said)}, in the mean over {study.kind}s."]


def _tracks(study: Study) -> list[str]:
    if study.sae_fingers.empty:
        return []
    found = tracked(study.sae_fingers)
    if found.empty:
        return ["No feature tracks a joint of a finger, once the number of features that were tried is allowed for."]
    features = len(found.drop_duplicates(["site", "feature"]))
    return [
        f"{plural(features, 'feature')} {'tracks' if features == 1 else 'track'} a joint of a finger over photos, "
        "beyond the features of shuffled hands and corrected for how many were tried."
    ]


def _letters(study: Study) -> Table:
    best = study.sae_letters[study.sae_letters["rank"] == 1]
    cells = {(row.letter, row.site, row.reads): row for row in best.itertuples(index=False)}
    sites = list(dict.fromkeys(best["site"]))

    def cell(letter: str, site: str, reads: str) -> str:
        row = cells.get((letter, site, reads))
        return "–" if row is None else f"{number(row.auc_held_out, 3)} (no. {row.feature})"

    return Table(
        f"The one feature, and the one dimension of the stream, that tells each {study.kind} best: AUC on other photos",
        (study.kind, *(f"{site}, {name}" for site in sites for name in ("feature", "dimension"))),
        tuple(
            (short(letter), *(cell(letter, site, reads) for site in sites for reads in ("sae", "stream")))
            for letter in study.sae_letter_names if letter in set(best["letter"])
        ),
    )  # fmt: skip


def _joints(study: Study) -> Table:
    found: pd.DataFrame = tracked(study.sae_fingers)
    rows = list(found.iloc[:MOST_TRACKED].itertuples(index=False))
    more = f", the {count(MOST_TRACKED)} strongest of {count(len(found))}" if len(found) > MOST_TRACKED else ""
    return Table(
        f"Features that track a joint{more}",
        ("feature", "joint", "read at", "r over photos", "corrected p", f"r within {study.kind}s", "its p"),
        tuple(
            (f"{row.site}, {count(row.feature)}", joint_name(row), POSITIONS.get(row.position, row.position),
             number(row.r, 2), p_value(row.p), number(row.within_r, 2), p_value(row.within_p) or "–")
            for row in rows
        ),
    )  # fmt: skip
