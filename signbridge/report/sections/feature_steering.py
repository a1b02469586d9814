"""Steering by single features: pushed up, held at a value or pushed down, against noise and against other features."""

import math

import pandas as pd

from signbridge.report.charts.planes import NULLS as BAND
from signbridge.report.charts.planes import dose_response
from signbridge.report.inputs import SteeredByFeatures
from signbridge.report.page_parts import (
    Cell,
    Picture,
    Section,
    Table,
    Thumbnail,
    dose_table,
    thumbnail,
)
from signbridge.report.palette import BLUE, GREEN, PURPLE, SOLID, VERMILLION, Series
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

TITLE = "Steering by a single feature"
LOOKS = {
    "feature": Series("the feature, added", BLUE, "circle", SOLID),
    "clamp": Series("the feature, held", VERMILLION, "triangle-up", (6, 3)),
    "clamp_decoded": Series("the same, stream decoded", PURPLE, "diamond", (6, 2, 2, 2)),
    "feature_down": Series("the other's feature, subtracted", GREEN, "square", (2, 2)),
}
NULLS = {  # as metrics call them: of what is subtracted, subtracted
    "random": "noise",
    "like_features": "features of similar activation",
    "neighbours": "the feature's neighbours in index",
    "equal_logit": "noise of equal logit effect",
}
DOWN = {
    "random": "noise",
    "like_features_down": "features like the other's, subtracted",
    "neighbours_down": "its neighbours in index, subtracted",
    "equal_logit_down": "noise of equal logit effect, subtracted",
}
DRAWN = {  # what one chart shows: the edits, and what they are held against
    "added": (("feature", "clamp", "clamp_decoded"), NULLS),
    "subtracted": (("feature_down",), DOWN),
}
NAMES = {**{edit: look.name for edit, look in LOOKS.items()}, **NULLS, **DOWN}
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


def section(run: SteeredByFeatures) -> Section | None:
    """What the stages `steer` and `effects` found."""
    there = [name for name in STEERED if name in set(run.steering["steered"])]
    if run.steering.empty:
        return None
    lead = (_lead(run, there), *(_verdict(run, name) for name in there))
    pictures = tuple(_dose_response(run, name, way) for way in DRAWN for name in there if _was_done(run, name, way))
    return Section("feature-steering", TITLE, lead, pictures, tables=(_at_their_best(run, there), *_texts(run)))


def answer(run: SteeredByFeatures) -> tuple[str, ...]:
    """Where adding one feature does more than every null, and where that is not shown."""
    shown, others = [], []
    for steered in (name for name in STEERED if name in set(run.steering["steered"])):
        gaps = [run.steered.share(f"{steered}_feature_over_{null}") for null in NULLS]
        if all(gap.low > 0 for gap in gaps):
            over = points_with_interval(*min(gaps, key=lambda gap: gap.value))
            shown.append(f"{_name(run, steered)} (its probability: {over} over the strongest null)")
        else:
            others.append(_name(run, steered))
    said = [f"Adding one feature steers the answer {listing(shown)}."] if shown else []
    if others:
        what = "That is" if shown else "That adding one feature steers the answer is"
        said.append(f"{what} not shown {listing(others)}.")
    return (" ".join(said),) if said else ()


def _lead(run: SteeredByFeatures, there: list[str]) -> str:
    draws = run.steered.number(f"{there[0]}_draws")
    return (
        "There are three edits. The decoder direction of one feature is added to the stream; at strength 1 it is as "
        "long as the largest activation that the feature has on the images that chose it. Or the feature is held at "
        "that value, and the part of the stream that the autoencoder does not explain is kept, or dropped as in "
        "multimodal-sae. Or a feature of the present class is subtracted. "
        f"Features are chosen on half of the {run.group.many} by their mean activation; images of the other half are "
        "steered. Efficacy is the probability of the wanted answer; damage is how much less likely the model's own "
        "descriptions "
        "of other images become. Nulls of the same length: noise, other features with a similar activation, the "
        "feature's neighbours in index, and noise that raises the answer's logit through the unembedding as much as "
        f"the feature does ({plural(draws, 'draw')} of each). For what is subtracted the nulls are subtracted too."
    )


def _name(run: SteeredByFeatures, steered: str) -> str:
    return STEERED[steered].format(kind=run.kind, concept=run.found.get("concept", "the concept"))


def _verdict(run: SteeredByFeatures, steered: str) -> str:
    """Whether adding the one feature, or subtracting the other, does more than every null."""
    name, images = _name(run, steered), plural(run.steered.number(f"{steered}_images"), "image")
    told = "; ".join(_one_way(run, steered, direction) for direction in ADDED_OR_SUBTRACTED)
    return f"{name[0].upper()}{name[1:]}, {images}: {told}."


def _one_way(run: SteeredByFeatures, steered: str, direction: str) -> str:
    key, what = f"{steered}_{direction}", f"with {LOOKS[direction].name}"
    if f"{key}_probability" not in run.steered:
        return f"{what}, on one half or both, no place was found that does no more damage than allowed"
    gaps = [run.steered.share(f"{key}_over_{null}") for null in NULLS]
    least = min(gaps, key=lambda gap: gap.value)
    holds = "it steers" if all(gap.low > 0 for gap in gaps) else "it is not shown to do more than every null"
    probability = share_with_interval(*run.steered.share(f"{key}_probability"))
    return (
        f"{what} {_where(run, key)}, the probability of the wanted answer is "
        f"{probability}{_at_natural(run, key)}, damage is "
        f"{number(run.steered.number(f'{key}_damage'), 2)} nats a token, and {holds} (by "
        f"{points_with_interval(*least)} over the strongest null)"
    )


def _at_natural(run: SteeredByFeatures, key: str) -> str:
    """The probability at strength 1, where another strength works best."""
    natural = run.steered.share(f"{key}_natural_probability")
    best = float(run.steered.number(f"{key}_best_strength"))
    return f" ({share_with_interval(*natural)} at strength 1)" if natural.known and best != 1 else ""


def _where(run: SteeredByFeatures, key: str) -> str:
    site, at, strength = (run.steered[f"{key}_best_{what}"] for what in ("site", "at", "strength"))
    tokens = EDITED[str(at)] if at == "every" else f"the {EDITED[str(at)]}"
    return f"at {tokens} of {site}, strength {float(strength):g}"


def _at_their_best(run: SteeredByFeatures, there: list[str]) -> Table:
    """What each push does where it works best."""
    rows = []
    for steered in there:
        for direction in LOOKS:
            key = f"{steered}_{direction}"
            if f"{key}_probability" in run.steered:
                gaps = [run.steered.share(f"{key}_over_{null}") for null in NULLS]
                rows.append(
                    (f"{_name(run, steered)}: {LOOKS[direction].name}, {_where(run, key)}",
                     share_with_interval(*run.steered.share(f"{key}_probability")),
                     percent(run.steered.number(f"{key}_says")),
                     number(run.steered.number(f"{key}_damage"), 2),
                     *(points_with_interval(*gap) for gap in gaps))
                )  # fmt: skip
    beyond = (f"over {name}" for name in NULLS.values())
    columns = ("where it works best", "probability", "text says it", "damage (nats a token)", *beyond)
    return Table("Each edit where it works best, without more damage than allowed", columns, tuple(rows))


def _best_place(run: SteeredByFeatures, steered: str) -> pd.Series:
    rows = run.steering_area
    rows = rows[(rows["steered"] == steered) & (rows["direction"] == "feature")]
    return rows.loc[rows["area"].idxmax()]


def _was_done(run: SteeredByFeatures, steered: str, way: str) -> bool:
    """Whether one of the edits that this chart shows was made."""
    done = run.steering.loc[run.steering["steered"] == steered, "direction"]
    return bool(done.isin(DRAWN[way][0]).any())


def _dose_response(run: SteeredByFeatures, steered: str, way: str) -> Picture:
    best, (edits, nulls) = _best_place(run, steered), DRAWN[way]
    rows = run.steering[run.steering["steered"] == steered]
    rows = rows[(rows[["at", "during", "site"]] == best[["at", "during", "site"]]).all(axis=1)]
    rows = rows[rows["direction"].isin([*edits, *nulls])]
    table = rows.assign(series=rows["direction"].map(NAMES))
    table = table.rename(columns={"probability_low": "low", "probability_high": "high"})
    caption = f"Dose and response {_name(run, steered)} at {best['site']}, {way}"
    twin = dose_table(caption, table, f"what is {way}", "probability")
    of_edit = table["direction"].isin(edits)
    columns = ["series", "strength", "damage", "probability", "low", "high"]
    spec = dose_response(
        table.loc[of_edit, columns], [*(LOOKS[edit] for edit in edits), BAND], "probability of the wanted answer",
        table.loc[~of_edit, columns],
    )  # fmt: skip
    sees = (
        "Each line goes from strength 0 (bottom left) to the strongest; efficacy rises upwards, damage to the right. "
        f"Grey: what {listing(list(nulls.values()))} reach with no more damage, from the weakest to the strongest."
    )
    if way == "added":
        broken = None if math.isnan(best["breakdown_strength"]) else f"{best['breakdown_strength']:g}"
        sees += (
            f" {_features(run, steered, best)} The place is where the feature has the largest area over noise: "
            f"{points_with_interval(*best[['area', 'area_low', 'area_high']])} over the strengths tried. "
            f"Descriptions {'break down at strength ' + broken if broken else 'do not break down at these strengths'}."
        )
    title = f"Dose and response {_name(run, steered)}, {way}: {EDITED[best['at']]}, {best['site']}"
    name = "-".join(["feature-steering", steered.replace("_", "-"), *([way] if way == "subtracted" else [])])
    return Picture(name, title, sees, twin, spec)


def _features(run: SteeredByFeatures, steered: str, best: pd.Series) -> str:
    """Which features are pushed there, to look them up. An autoencoder that is trained anew has other numbers."""
    of = run.steered_features
    rows = of[(of["steered"] == steered) & (of["at"] == best["at"]) & (of["site"] == best["site"])]
    pairs = [f"{row['up']} ({short(row['a'])} to {short(row['b'])})" for _, row in rows.iterrows()]
    return f"Added: {plural(len(rows), 'feature').split(' ')[1]} {listing(pairs)}." if pairs else ""


def _texts(run: SteeredByFeatures) -> tuple[Table, ...]:
    """Descriptions before and after, at the strength that is quoted of the feature."""
    told = run.descriptions
    png = run.png
    rows = []
    for steered in STEERED:
        key = f"{steered}_feature_best"
        if f"{key}_site" not in run.steered:
            continue
        site, at, strength = (run.steered[f"{key}_{what}"] for what in ("site", "at", "strength"))
        here = told[(told["steered"] == steered) & (told["at"] == at) & (told["site"] == site)]
        for (a, b), pair in here[here["strength"] == strength].groupby(["a", "b"], sort=False):
            after, image_id = pair.set_index("direction")["after"], pair["image_id"].iloc[0]
            shown: Cell = "–"
            if image_id in png:
                shown = Thumbnail(thumbnail(png[image_id]), f"{short(str(a))}, steered to {short(str(b))}")
            where = f"{short(str(a))} to {short(str(b))}, {_where(run, f'{steered}_feature')}"
            texts = (pair["before"].iloc[0], *(after.get(name, "–") for name in TOLD))
            rows.append((where, shown, *map(short, texts)))
    columns = ("steered", "image", "before", *TOLD.values())
    return (Table("Descriptions before and after", columns, tuple(rows[:MOST_TEXTS])),) if rows else ()
