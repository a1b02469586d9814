"""Steering: does a direction between two classes turn one into the other, and what does that cost?"""

import math

import pandas as pd

from signbridge.report.charts.dose_response import dose_response
from signbridge.report.charts.heat_map import position_by_site
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
    DIRECTIONS,
    EDITED,
    listing,
    number,
    percent,
    plural,
    points_with_interval,
    share_with_interval,
    short,
)

TITLE = "Can it be steered: a direction added to the stream"
LOOKS = {
    "class_means": Series(DIRECTIONS["class_means"], BLUE, "circle", (1, 0)),
    "probe": Series(DIRECTIONS["probe"], VERMILLION, "triangle-up", (6, 3)),
    "unembedding": Series(DIRECTIONS["unembedding"], GREEN, "square", (2, 2)),
    "shuffled_means": Series(DIRECTIONS["shuffled_means"], PURPLE, "cross", (8, 2, 2, 2)),
    "random": Series(DIRECTIONS["random"], GREY, "diamond", (8, 4)),
}
OF_CLASSES = ("class_means", "probe", "unembedding")
DURING = {"prefill": "while the prompt is read", "every_step": "at every step"}
AT = ("image", "prompt_last", "every")
MOST_TEXTS = 12
DAMAGE_AREA = ["damage_area", "damage_area_low", "damage_area_high"]


def section(study: Study) -> Section:
    """What holds against random directions, the price, and texts before and after."""
    if study.steering.empty:
        return Section("steering", TITLE, ("Nothing was steered in this run.",))
    pictures = [_dose_response(study, at) for at in AT if at in set(study.steering["at"])]
    return Section("steering", TITLE, _lead(study), (*pictures, _areas(study)), tables=_texts(study))


def _lead(study: Study) -> tuple[str, ...]:
    steered, pairs, described, draws = (
        study.number(f"steering_{name}", "causal") for name in ("images", "class_pairs", "described_images", "draws")
    )
    return (
        f"Directions from one {study.kind} to another whose commonest answer differs, fitted on half of the photos, "
        "are added to the stream of photos of the other half; strength 1 is as long as the stream itself. Efficacy is "
        "the probability of the other answer; damage is how much less likely the model's own descriptions of other "
        f"images become. Two nulls have the same norm: random directions, and differences of the means of "
        f"{study.kind}s that were shuffled over photos, which lie where the data lie. "
        "Where a direction works best was chosen on one half "
        "of the photos and is quoted on the other, both ways, among the places whose damage is bearable "
        f"(steering_effects.most_damage). Behind it stand {plural(steered, 'steered image')} of "
        f"{plural(pairs, 'pair')} of {study.kind}s, {plural(described, 'described image')} and "
        f"{plural(draws, 'draw')} of each null.",
        *(_verdict(study, direction) for direction in OF_CLASSES),
    )


def _verdict(study: Study, direction: str) -> str:
    key = f"steering_{direction}"
    name = DIRECTIONS[direction]
    name = name[0].upper() + name[1:]
    if f"{key}_probability" not in study.causal:
        return f"{name}: no place was found, on both halves, that does no more damage than allowed."
    random, shuffled = (study.share(f"{key}_over_{null}", "causal") for null in ("random", "shuffled_means"))
    holds = "Not shown to do more than directions that mean nothing"
    if random.low > 0 and shuffled.low > 0:
        holds = "It steers"
    elif random.low > 0:
        holds = f"More than random directions, not shown to be more than means of shuffled {study.kind}s"
    site, at, strength = (study.causal[f"{key}_best_{what}"] for what in ("site", "at", "strength"))
    during = DURING[str(study.causal[f"{key}_best_during"])]
    where = f"at the {EDITED[str(at)]} of {site}, {during}, strength {float(strength):g}"
    if not study.causal[f"{key}_halves_agree"]:
        where = f"best {where} (the halves chose differently; quoted is what each chose)"
    says, damages = (
        [study.number(f"{key}_{null}{what}", "causal") for null in ("", "random_", "shuffled_means_")]
        for what in ("says", "damage")
    )
    return (
        f"{name}, {where}: {share_with_interval(*study.share(f'{key}_probability', 'causal'))} for the other answer, "
        f"which the text says for {percent(says[0])} of the images (random {percent(says[1])}, shuffled "
        f"{percent(says[2])}), at {number(damages[0], 2)} nats a token of damage (random {number(damages[1], 2)}, "
        f"shuffled {number(damages[2], 2)}). {holds}: {points_with_interval(*random)} beyond random, "
        f"{points_with_interval(*shuffled)} beyond shuffled."
    )


def _name(study: Study, direction: str) -> str:
    return DIRECTIONS[direction].format(kind=study.kind)


def _site_of(study: Study, at: str, direction: str = "class_means") -> tuple[str, str]:
    """Where (during, site) the area is largest at these tokens, for the difference of class means."""
    rows = study.steering_area[(study.steering_area["at"] == at) & (study.steering_area["direction"] == direction)]
    best = rows.loc[rows["area"].idxmax()]
    return str(best["during"]), str(best["site"])


def _dose_response(study: Study, at: str) -> Picture:
    during, site = _site_of(study, at)
    rows = study.steering
    rows = rows[(rows["at"] == at) & (rows["during"] == during) & (rows["site"] == site)]
    table = rows.assign(series=rows["direction"].map(lambda name: _name(study, name))).rename(
        columns={"probability_low": "low", "probability_high": "high"}
    )
    twin = dose_table(f"Dose and response at {site}", table, "direction", "probability of the other answer")
    series = [look._replace(name=_name(study, name)) for name, look in LOOKS.items()]
    spec = dose_response(
        table[["series", "strength", "damage", "probability", "low", "high"]], series,
        "probability of the other answer",
    )  # fmt: skip
    title = f"Dose and response: {EDITED[at]}, {site}, {DURING[during]}"
    return Picture(f"steering-{at.replace('_', '-')}", title, _sees_doses(study, at, during, site), twin, spec)


def _sees_doses(study: Study, at: str, during: str, site: str) -> str:
    rows = study.steering_area
    rows = rows[(rows["at"] == at) & (rows["during"] == during) & (rows["site"] == site)].set_index("direction")
    broken = rows["breakdown_strength"]
    ends = [
        f"{_name(study, name)} {'never' if math.isnan(broken[name]) else f'at {broken[name]:g}'}"
        for name in LOOKS if name in broken.index
    ]  # fmt: skip
    sees = (
        "Each line goes from no edit (bottom left) to the strongest; up is efficacy, right is damage. Shown is the "
        f"site where the difference of class means has the largest area over random: "
        f"{points_with_interval(*rows.loc['class_means', ['area', 'area_low', 'area_high']])} over the strengths "
        f"swept; at equal damage {points_with_interval(*rows.loc['class_means', DAMAGE_AREA])}."
    )
    return sees + (f" The text breaks down, of the strengths swept: {listing(ends)}." if ends else "")


def _areas(study: Study) -> Picture:
    rows = study.steering_area[study.steering_area["direction"].isin(OF_CLASSES)]
    last = rows.groupby("at", sort=False)["during"].transform("last")
    rows = rows[rows["during"] == last]
    sites = sorted(rows["site"].unique())
    order = [(at, name) for at in AT for name in OF_CLASSES if at in set(rows["at"])]
    label = {(at, name): f"{DIRECTIONS[name]},\n{EDITED[at]}" for at, name in order}
    drawn = pd.concat([rows[(rows["at"] == at) & (rows["direction"] == name)] for at, name in order])
    keys = zip(drawn["at"], drawn["direction"], strict=True)
    drawn = drawn.assign(position=[label[key] for key in keys], accuracy=drawn["area"].clip(lower=0))
    spec = position_by_site(drawn[["site", "position", "accuracy"]], sites, "area over random", row=40)
    cells = {(row["at"], row["direction"], row["site"]): points_with_interval(*row[["area", "area_low", "area_high"]])
             for _, row in drawn.iterrows()}  # fmt: skip
    columns = tuple(label[key].replace("\n", " ") for key in order)
    twin = Table(
        "Area between steered and random, over the strengths swept", ("site", *columns),
        tuple((site, *(cells.get((*key, site), "–") for key in order)) for site in sites),
    )  # fmt: skip
    best = drawn.loc[drawn["area"].idxmax()]
    sees = (
        "The area between the curve of a direction and that of random ones, over the strengths swept and divided by "
        f"the largest. Greatest: {DIRECTIONS[best['direction']]} at the {EDITED[best['at']]} of {best['site']}, "
        f"{points_with_interval(*best[['area', 'area_low', 'area_high']])}."
    )
    return Picture("steering-areas", "Where a direction steers", sees, twin, spec)


def _texts(study: Study) -> tuple[Table, ...]:
    """Descriptions before and after, where the difference of class means works best at each kind of token."""
    told = study.steering_descriptions
    png = dict(zip(study.sample["image_id"], study.sample["image"], strict=True))
    rows = []
    for at in [at for at in AT if at in set(told["at"])]:
        here = told[told["at"] == at]
        during = str(here["during"].iloc[0])
        site = _told_site(study, at, during, list(here["site"].unique()))
        here = here[(here["site"] == site) & (here["strength"] == _told_strength(study, at, during, site))]
        for (a, b), pair in here.groupby(["a", "b"], sort=False):
            after = pair.set_index("direction")["after"]
            image_id, strength = pair["image_id"].iloc[0], pair["strength"].iloc[0]
            shown: Cell = "–"
            if image_id in png:
                shown = Thumbnail(thumbnail(png[image_id]), f"{short(str(a))}, steered to {short(str(b))}")
            where = f"{short(str(a))} to {short(str(b))}, {EDITED[at]} of {site}, strength {strength:g}"
            rows.append(
                (where, shown, short(pair["before"].iloc[0]), short(after["class_means"]), short(after["random"]))
            )
    columns = ("steered", "image", "before", "steered", "random direction")
    return (Table("Descriptions before and after", columns, tuple(_spread(rows))),) if rows else ()


def _spread(rows: list) -> list:
    """At most `MOST_TEXTS` of the rows, evenly."""
    step = max(1, math.ceil(len(rows) / MOST_TEXTS))
    return rows[::step]


def _told_site(study: Study, at: str, during: str, sites: list[str]) -> str:
    rows = study.steering_area
    rows = rows[(rows["at"] == at) & (rows["during"] == during) & (rows["direction"] == "class_means")]
    rows = rows[rows["site"].isin(sites)]
    return str(rows.loc[rows["area"].idxmax(), "site"])


def _told_strength(study: Study, at: str, during: str, site: str) -> float:
    """The smallest strength at which the other answer is likelier than not, or the largest of all."""
    rows = study.steering
    rows = rows[(rows["at"] == at) & (rows["during"] == during) & (rows["site"] == site)]
    rows = rows[rows["direction"] == "class_means"]
    likely = rows[(rows["probability"] >= 0.5)]
    return float(likely["strength"].min() if len(likely) else rows["strength"].max())
