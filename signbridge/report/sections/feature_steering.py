"""Steering by single features: pushed up, held at a value or pushed down, against noise and against other features."""

import math

import pandas as pd

from signbridge.report.charts.dose_response import dose_response
from signbridge.report.charts.style import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    VERMILLION,
    Series,
)
from signbridge.report.dose_table import dose_table
from signbridge.report.images import thumbnail
from signbridge.report.page_parts import (
    Cell,
    Picture,
    Section,
    Table,
    Thumbnail,
)
from signbridge.report.study import Study
from signbridge.report.wording import (
    EDITED,
    listing,
    number,
    percent,
    plural,
    points_with_interval,
    share_with_interval,
    short,
)

TITLE = "Pushing a single feature"
LOOKS = {
    "feature": Series("the feature, added", BLUE, "circle", (1, 0)),
    "clamp": Series("the feature, held at a value", VERMILLION, "triangle-up", (6, 3)),
    "clamp_decoded": Series("the same, in the autoencoder's decoding", VERMILLION, "triangle-right", (12, 3, 2, 3)),
    "feature_down": Series("the other's feature, subtracted", GREEN, "square", (2, 2)),
    "like_features": Series("features of like activation", PURPLE, "cross", (8, 2, 2, 2)),
    "neighbours": Series("the feature's neighbours in index", PURPLE, "triangle-down", (3, 3)),
    "like_features_down": Series("those like the other's feature, subtracted", GREEN, "cross", (8, 2, 2, 2)),
    "neighbours_down": Series("its neighbours in index, subtracted", GREEN, "triangle-down", (12, 3)),
    "random": Series("noise", GREY, "diamond", (8, 4)),
}
NULLS = ("random", "like_features", "neighbours")  # as metrics call them: of what is subtracted, subtracted
PUSHED = ("feature", "clamp", "clamp_decoded", "feature_down")
TOLD = {"feature": "feature added", "clamp": "feature held", "clamp_decoded": "feature held, stream decoded",
        "feature_down": "other's feature subtracted", "random": "noise"}  # fmt: skip
ADDED_OR_SUBTRACTED = ("feature", "feature_down")
STEERED = {
    "concept": "towards “{concept}”",
    "concept_undone": "away from “{concept}”",
    "classes": "from {kind} to {kind}",
    "pretrained": "from {kind} to {kind}, by features of the pretrained autoencoder",
}
MOST_TEXTS = 8


def section(study: Study) -> Section:
    """What the stages `sae_steer` and `sae_effects` found."""
    there = [name for name in STEERED if name in set(study.sae_steering["steered"])]
    if study.sae_steering.empty:
        return Section("feature-steering", TITLE, ("Nothing was steered by features in this run.",))
    lead = (_lead(study, there), *(_verdict(study, name) for name in there))
    pictures = tuple(_dose_response(study, name) for name in there)
    return Section("feature-steering", TITLE, lead, pictures, tables=(_at_their_best(study, there), *_texts(study)))


def _lead(study: Study, there: list[str]) -> str:
    draws = study.number(f"{there[0]}_draws", "sae_steered")
    return (
        "The decoder direction of one feature is added to the stream (strength 1 is as long as the stream itself), the "
        "feature is held at that value (and what the autoencoder does not explain of the stream is kept, or lost as in "
        "multimodal-sae), or a feature of what is there is subtracted. Features are chosen on half of "
        "the photos by their mean activation; images of the other half are steered. Efficacy is the probability of the "
        "wanted answer, damage how much less likely the model's own descriptions of other images become. Nulls of the "
        "same length: noise, other features of like activation, and the feature's neighbours in index "
        f"({plural(draws, 'draw')} of each); what is subtracted is compared with such features subtracted."
    )


def _name(study: Study, steered: str) -> str:
    return STEERED[steered].format(kind=study.kind, concept=study.sae.get("concept", "the concept"))


def _verdict(study: Study, steered: str) -> str:
    """Whether adding the one feature, or subtracting the other, does more than every null."""
    name, images = _name(study, steered), plural(study.number(f"{steered}_images", "sae_steered"), "image")
    told = "; ".join(_one_way(study, steered, direction) for direction in ADDED_OR_SUBTRACTED)
    return f"{name[0].upper()}{name[1:]}, {images}: {told}."


def _one_way(study: Study, steered: str, direction: str) -> str:
    key, what = f"{steered}_{direction}", f"with {LOOKS[direction].name}"
    if f"{key}_probability" not in study.sae_steered:
        return f"{what}, no place was found, on both halves, that does no more damage than allowed"
    gaps = [study.share(f"{key}_over_{null}", "sae_steered") for null in NULLS]
    least = min(gaps, key=lambda gap: gap.value)
    holds = "it steers" if all(gap.low > 0 for gap in gaps) else "it is not shown to do more than every null"
    probability = share_with_interval(*study.share(f"{key}_probability", "sae_steered"))
    return (
        f"{what} {_where(study, key)}, the wanted answer has {probability}, at "
        f"{number(study.number(f'{key}_damage', 'sae_steered'), 2)} nats a token of damage, and {holds} (by "
        f"{points_with_interval(*least)} over the one that does most)"
    )


def _where(study: Study, key: str) -> str:
    site, at, strength = (study.sae_steered[f"{key}_best_{what}"] for what in ("site", "at", "strength"))
    tokens = EDITED[str(at)] if at == "every" else f"the {EDITED[str(at)]}"
    return f"at {tokens} of {site}, strength {float(strength):g}"


def _at_their_best(study: Study, there: list[str]) -> Table:
    """What each push does where it works best."""
    rows = []
    for steered in there:
        for direction in PUSHED:
            key = f"{steered}_{direction}"
            if f"{key}_probability" in study.sae_steered:
                gaps = [study.share(f"{key}_over_{null}", "sae_steered") for null in NULLS]
                rows.append(
                    (f"{_name(study, steered)}: {LOOKS[direction].name}, {_where(study, key)}",
                     share_with_interval(*study.share(f"{key}_probability", "sae_steered")),
                     percent(study.number(f"{key}_says", "sae_steered")),
                     number(study.number(f"{key}_damage", "sae_steered"), 2),
                     *(points_with_interval(*gap) for gap in gaps))
                )  # fmt: skip
    beyond = (f"beyond {LOOKS[null].name}" for null in NULLS)
    columns = ("where it works best", "probability", "text says it", "damage (nats a token)", *beyond)
    return Table("Each push where it works best without more damage than is borne", columns, tuple(rows))


def _best_place(study: Study, steered: str) -> pd.Series:
    rows = study.sae_steering_area
    rows = rows[(rows["steered"] == steered) & (rows["direction"] == "feature")]
    return rows.loc[rows["area"].idxmax()]


def _dose_response(study: Study, steered: str) -> Picture:
    best = _best_place(study, steered)
    rows = study.sae_steering[study.sae_steering["steered"] == steered]
    rows = rows[(rows[["at", "during", "site"]] == best[["at", "during", "site"]]).all(axis=1)]
    table = rows.assign(series=[LOOKS[name].name for name in rows["direction"]])
    table = table.rename(columns={"probability_low": "low", "probability_high": "high"})
    caption = f"Dose and response {_name(study, steered)} at {best['site']}"
    twin = dose_table(caption, table, "what is added", "probability")
    columns = ["series", "strength", "damage", "probability", "low", "high"]
    spec = dose_response(table[columns], list(LOOKS.values()), "probability of the wanted answer")
    broken = None if math.isnan(best["breakdown_strength"]) else f"{best['breakdown_strength']:g}"
    sees = (
        f"Each line goes from no edit (bottom left) to the strongest; up is efficacy, right is damage. "
        f"{_features(study, steered, best)} Shown is where it has the largest area over noise: "
        f"{points_with_interval(*best[['area', 'area_low', 'area_high']])} over the strengths swept. "
        f"Descriptions {'break down at strength ' + broken if broken else 'do not break down at these strengths'}."
    )
    title = f"Dose and response {_name(study, steered)}: {EDITED[best['at']]}, {best['site']}"
    return Picture(f"feature-steering-{steered.replace('_', '-')}", title, sees, twin, spec)


def _features(study: Study, steered: str, best: pd.Series) -> str:
    """Which features are pushed there."""
    of = study.sae_steered_features
    rows = of[(of["steered"] == steered) & (of["at"] == best["at"]) & (of["site"] == best["site"])]
    pairs = [f"{row['up']} ({short(row['a'])} to {short(row['b'])})" for _, row in rows.iterrows()]
    return f"Pushed up: {plural(len(rows), 'feature').split(' ')[1]} {listing(pairs)}." if pairs else ""


def _texts(study: Study) -> tuple[Table, ...]:
    """Descriptions before and after, at the strength that is quoted of the feature."""
    told = study.sae_steering_descriptions
    png = dict(zip(study.sample["image_id"], study.sample["image"], strict=True))
    rows = []
    for steered in STEERED:
        key = f"{steered}_feature_best"
        if f"{key}_site" not in study.sae_steered:
            continue
        site, at, strength = (study.sae_steered[f"{key}_{what}"] for what in ("site", "at", "strength"))
        here = told[(told["steered"] == steered) & (told["at"] == at) & (told["site"] == site)]
        for (a, b), pair in here[here["strength"] == strength].groupby(["a", "b"], sort=False):
            after, image_id = pair.set_index("direction")["after"], pair["image_id"].iloc[0]
            shown: Cell = "–"
            if image_id in png:
                shown = Thumbnail(thumbnail(png[image_id]), f"{short(str(a))}, steered to {short(str(b))}")
            where = f"{short(str(a))} to {short(str(b))}, {_where(study, f'{steered}_feature')}"
            texts = (pair["before"].iloc[0], *(after.get(name, "–") for name in TOLD))
            rows.append((where, shown, *map(short, texts)))
    columns = ("steered", "image", "before", *TOLD.values())
    return (Table("Descriptions before and after", columns, tuple(rows[:MOST_TEXTS])),) if rows else ()
